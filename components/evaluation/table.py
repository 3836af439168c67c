"""The table of figures: value, interval, N, network and control each, and the comparison of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.evaluation.catalogue import entry
from components.evaluation.statistics import (
    Interval,
    mean_interval,
    statistic_interval,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


DIGITS = 6


def rounded(value: float | None) -> float | None:
    """Six significant digits; None stays None, a figure that is not finite becomes None."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


@dataclass
class Table:
    """Collects figures. `names`: net → `name@digest`."""

    names: Mapping[str, str]
    seed: int
    resamples: int
    level: float
    metrics: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def interval(self, name: str, values: Sequence[float] | NDArray) -> Interval:
        """Mean over clips with its bootstrap interval."""
        return mean_interval(values, derive(self.seed, "bootstrap", name), self.resamples, self.level)

    def statistic(self, name: str, count: int, function: Callable[[NDArray[np.int64]], float]) -> Interval:
        """Any statistic of clips with its bootstrap interval."""
        return statistic_interval(
            count, function, derive(self.seed, "bootstrap", name), self.resamples, self.level
        )

    def add(
        self,
        name: str,
        figure: Interval,
        network: str | None,
        control: tuple[str, Interval | float | None] | None,
    ) -> None:
        """Adds a figure; `network` is a key of `names` or a name itself, `control` its name and figure."""
        about = entry(name)
        row: dict[str, Any] = {
            "name": name,
            "title": about.title,
            **figures(figure),
            "network": self.names.get(network or "", network),
            "control": None,
            "control_name": None,
            "unit": about.unit,
            "better": about.better,
        }
        if control is not None:
            label, other = control
            other = other if isinstance(other, Interval) else Interval(other, None, None, 0)
            row |= {"control": rounded(other.value), "control_name": label}
            row |= {"control_low": rounded(other.low), "control_high": rounded(other.high)}
        self.metrics.append(row)

    def compare(self, name: str, network: str | None, values: Mapping[str, Interval]) -> None:
        """Adds one measure on several rows (generated, ground truth …)."""
        for row, figure in values.items():
            self.rows.append(
                {
                    "name": name,
                    "row": row,
                    **figures(figure),
                    "network": self.names.get(network or "", network),
                }
            )

    def value(self, name: str) -> float | None:
        """A figure added before."""
        return next((row["value"] for row in self.metrics if row["name"] == name), None)


def figures(figure: Interval) -> dict[str, Any]:
    """value, low, high, n as they go into JSON."""
    return {
        "value": rounded(figure.value),
        "low": rounded(figure.low),
        "high": rounded(figure.high),
        "n": figure.n,
    }
