"""From what clips gave (states of torchmetrics metrics) to figures: of a clip, of the set, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.seeds import derive
from components.evaluation.statistics import Interval, draws_interval, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.evaluation.panel.measures import Measure, Parts

State = dict[str, "NDArray"]
"""Field → array: sums of a metric of single clips, or the features (N,D) of a distance of sets."""

NO_INTERVAL = (
    "none: a Fréchet distance falls with the number of items, and a resample repeats clips, so its draws lie "
    "above the figure"
)
OVER_CLIPS = "bootstrap over clips"
ONE_CLIP = "none: fewer than two clips have the figure"


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: percentile bootstrap over clips, as in an evaluation."""

    seed: int = 0
    resamples: int = 2000
    level: float = 0.95

    def protocol(self) -> dict[str, Any]:
        """For the result."""
        return {
            "interval": f"percentile bootstrap over clips, {self.resamples} resamples; of FID and FVD none: "
            "a resample repeats clips, which raises the distance",
            "level": self.level, "resamples": self.resamples, "bootstrap_seed": self.seed,
        }  # fmt: skip


USUAL = Bootstrap()


def state_of(metric: Any) -> State:
    """A copy of what a metric has accumulated."""
    import torch

    made = {}
    for name, value in metric.metric_state.items():
        tensor = torch.cat(list(value)) if isinstance(value, list) else value
        made[name] = tensor.detach().cpu().numpy().copy()
    return made


def figures_of(metric: Any, states: Sequence[Mapping[str, NDArray]]) -> dict[str, float]:
    """A metric's figures over clips by the states they gave; "" is the name of its only one.

    Raises:
        InputError: there are too few clips for it.
    """
    import torch

    metric.reset()
    lists = {name for name, value in metric.metric_state.items() if isinstance(value, list)}
    for state in states:
        tensors = {name: torch.as_tensor(value) for name, value in state.items()}
        metric.merge_state({name: [t] if name in lists else t for name, t in tensors.items()})
    value = type(metric).compute(metric)  # one process holds all: no gathering over ranks, nothing cached
    found = value if isinstance(value, dict) else {"": value}
    return {key: float(each) for key, each in found.items()}


def intervals(metric: Any, states: Sequence[State], bootstrap: Bootstrap, name: str) -> dict[str, Interval]:
    """Figures of a metric of single clips over the set with their intervals.

    The value is the metric's own (sums over all frames over their count, as published), and so is every
    draw: clips of different lengths weigh by their frames. n: clips that have the figure.
    """
    values = figures_of(metric, states)
    singles = [figures_of(metric, [state]) for state in states]
    rows = resampled(len(states), derive(bootstrap.seed, "bootstrap", name), bootstrap.resamples)
    sums = {key: np.stack([state[key] for state in states])[rows].sum(1) for key in states[0]}
    draws = [
        figures_of(metric, [{key: part[index] for key, part in sums.items()}]) for index in range(len(rows))
    ]
    found = {}
    for key, value in values.items():
        count = sum(not math.isnan(single[key]) for single in singles)
        known = np.array([draw[key] for draw in draws])
        found[key] = (
            draws_interval(value, known[np.isfinite(known)], bootstrap.level, count)
            if math.isfinite(value)
            else Interval(value, None, None, count)
        )
    return found


def figure_rows(
    measures: Sequence[Measure],
    parts: Mapping[str, Parts],
    accepted: set[str],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """One row a figure: name, value (null where it is missing), interval, n (clips that count), network, and
    why clips are left out.

    Args:
        parts: clip → what it gave. accepted: labels of networks whose figures carry them in their name.
    """
    rows = []
    for each in measures:
        states = [part.states[each.name] for part in parts.values() if each.name in part.states]
        reasons = [f"{clip}: {part.reasons[each.name]}" for clip, part in parts.items()
                   if each.name in part.reasons]  # fmt: skip
        found: dict[str, Interval] = {}
        if each.of_set and states:
            try:
                values = figures_of(each.metric, states)
                found = {key: Interval(value, None, None, len(states)) for key, value in values.items()}
            except InputError as error:
                reasons.append(str(error))
        elif states:
            found = intervals(each.metric, states, bootstrap, each.name)
        label = getattr(each.metric, "network", None)
        for key, figure in (found or {"": Interval(None, None, None, len(states))}).items():
            value = math.nan if figure.value is None else figure.value
            rows.append(
                {
                    "name": figure_name(each.name, key, label, accepted),
                    "value": value if math.isfinite(value) else None,
                    "low": figure.low,
                    "high": figure.high,
                    "infinite": math.isinf(value),
                    "n": figure.n,
                    "network": label,
                    "interval": NO_INTERVAL if each.of_set else OVER_CLIPS if figure.n > 1 else ONE_CLIP,
                    "left_out": reasons,
                }
            )
    return rows


def figure_name(metric: str, key: str, label: str | None, accepted: set[str]) -> str:
    """metric, metric.key; with the network's label in brackets where its file is not the published one."""
    return (f"{metric}.{key}" if key else metric) + (f"[{label}]" if label in accepted else "")
