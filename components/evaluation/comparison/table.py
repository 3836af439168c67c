"""From single videos to the leaderboard: means over cases with intervals, missing values, paired tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.evaluation.comparison.catalogue import FIGURES
from components.evaluation.comparison.scoring import Scored
from components.evaluation.statistics import (
    MISSING,
    Interval,
    holm,
    mean_interval,
    sign_flip_test,
    statistic_interval,
)
from components.evaluation.table import figures as interval_fields
from components.evaluation.table import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRECHET_RESAMPLES = 200
Distance = Callable[[Sequence[Scored], Sequence[Scored], int, int, float], Interval]
"""(videos of a system, the real clips, seed, resamples, level) → a figure of the set."""


def per_case(scored: Iterable[Scored], name: str) -> dict[str, float]:
    """case → mean over seeds of a figure; seeds of one case are no independent samples."""
    values: dict[str, list[float]] = {}
    for one in scored:
        value = one.figures.get(name, math.nan)
        if math.isfinite(value):
            values.setdefault(one.case.id, []).append(value)
    return {case: float(np.mean(each)) for case, each in values.items()}


def leaderboard(
    scored: Sequence[Scored],
    seed: int,
    resamples: int,
    level: float,
    against: str,
    names: Iterable[str] = tuple(FIGURES),
    distances: Mapping[str, Distance] | None = None,
) -> list[dict[str, Any]]:
    """One row a system and figure: value, low, high, n (cases), missing, and the paired comparison with
    `against`: difference, its interval, p (sign flips over cases, Holm over a figure's systems), significant.

    Args:
        distances: figures of a set of videos against the real clips, which no case has and no pair tests.
    """
    distances = {"fid_proxy": _frechet} if distances is None else distances
    by_system: dict[str, list[Scored]] = {}
    for one in scored:
        by_system.setdefault(one.made.system, []).append(one)
    rows: list[dict[str, Any]] = []
    for name in names:
        part = []
        for system, theirs in by_system.items():
            figure = (
                distances[name](
                    theirs, by_system.get("ground_truth", []), derive(seed, name, system), resamples, level
                )
                if name in distances
                else mean_interval(
                    list(per_case(theirs, name).values()), derive(seed, name, system), resamples, level
                )
            )
            row = {
                "system": system,
                "name": name,
                **interval_fields(figure),
                "missing": len({o.case.id for o in theirs}) - figure.n,
            }
            if name not in distances and against in by_system and system != against:
                row |= _paired(
                    theirs, by_system[against], name, derive(seed, "pair", name, system), resamples, level
                )
            part.append(row)
        adjusted = holm([row.get("p") if row.get("p") is not None else math.nan for row in part])  # type: ignore[misc]
        for row, value in zip(part, adjusted, strict=True):
            if "p" in row:
                row["p_adjusted"] = rounded(value)
                row["significant"] = bool(math.isfinite(value) and value < 1 - level)
        rows += part
    return rows


def _paired(
    theirs: Sequence[Scored], ours: Sequence[Scored], name: str, seed: int, resamples: int, level: float
) -> dict[str, Any]:
    """Difference (theirs − ours) over the cases that both have."""
    a, b = per_case(theirs, name), per_case(ours, name)
    common = sorted(a.keys() & b.keys())
    differences = [a[case] - b[case] for case in common]
    figure = mean_interval(differences, seed, resamples, level)
    p = sign_flip_test(differences, seed)
    return {
        "difference": rounded(figure.value), "difference_low": rounded(figure.low),
        "difference_high": rounded(figure.high), "pairs": len(common),
        "p": p if math.isfinite(p) else None,
    }  # fmt: skip


def _frechet(
    theirs: Sequence[Scored], truth: Sequence[Scored], seed: int, resamples: int, level: float
) -> Interval:
    """Fréchet distance of identity embeddings to the real clips of the same cases; cases are resampled."""
    import torch

    from components.evaluation.metrics.functional.frechet import frechet_distance_from_features

    real = {one.case.id: one.arrays["embeddings"] for one in truth if "embeddings" in one.arrays}
    made: dict[str, list[NDArray]] = {}
    for one in theirs:
        if one.case.id in real and len(one.arrays.get("embeddings", ())) and len(real[one.case.id]):
            made.setdefault(one.case.id, []).append(one.arrays["embeddings"])
    if len(made) < 2 or (theirs and theirs[0].made.system.startswith("ground_truth")):
        return MISSING
    sides = [(np.concatenate(each), real[case]) for case, each in made.items()]

    def distance(rows: NDArray[np.int64]) -> float:
        x, y = (torch.from_numpy(np.concatenate([sides[i][side] for i in rows])) for side in (0, 1))
        return float(frechet_distance_from_features(x, y))

    return statistic_interval(len(sides), distance, seed, min(resamples, FRECHET_RESAMPLES), level)


def by_kind(scored: Sequence[Scored], names: Sequence[str]) -> list[dict[str, Any]]:
    """Means by kind of case, framing and delivery."""
    rows = []
    for attribute in ("kind", "framing", "delivery"):
        groups: dict[tuple[str, str], list[Scored]] = {}
        for one in scored:
            groups.setdefault((getattr(one.case, attribute), one.made.system), []).append(one)
        for (value, system), theirs in groups.items():
            for name in names:
                values = list(per_case(theirs, name).values())
                if values:
                    rows.append(
                        {"by": attribute, "group": value, "system": system, "name": name,
                         "value": rounded(float(np.mean(values))), "n": len(values)}
                    )  # fmt: skip
    return rows


def robustness(scored: Sequence[Scored], name: str) -> dict[str, list[tuple[float, float]]]:
    """system → (signal-to-noise ratio in dB, mean) of the noisy cases, ascending."""
    points: dict[str, dict[float, list[Scored]]] = {}
    for one in scored:
        if one.case.snr_db is not None:
            points.setdefault(one.made.system, {}).setdefault(one.case.snr_db, []).append(one)
    curves: dict[str, list[tuple[float, float]]] = {}
    for system, levels in points.items():
        means = [(level, list(per_case(part, name).values())) for level, part in sorted(levels.items())]
        line = [(level, float(np.mean(values))) for level, values in means if values]
        if line:
            curves[system] = line
    return curves


def missing(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Why videos are missing, per system."""
    reasons = Counter((one.made.system, one.made.reason) for one in scored if one.made.reason)
    return [
        {"system": system, "reason": reason, "videos": count}
        for (system, reason), count in sorted(reasons.items())
    ]


def items(
    scored: Sequence[Scored], official: Sequence[Mapping[str, float]] | None = None
) -> list[dict[str, Any]]:
    """One row a video, for the parquet table; figures of official networks (one mapping a video) in columns
    of their own, `official.NAME`."""
    facts: list[Mapping[str, Any]] = []
    extra = official or [{}] * len(scored)
    columns = sorted({name for each in extra for name in each})
    for one, more in zip(scored, extra, strict=True):
        case = one.case
        facts.append(
            {"system": one.made.system, "case": case.id, "kind": case.kind, "person": case.person,
             "framing": case.framing, "delivery": case.delivery, "snr_db": case.snr_db, "seed": one.made.seed,
             "instruction": case.instruction, "prompt": case.prompt, "reason": one.made.reason,
             "seconds": one.made.seconds}
            | {name: rounded(one.figures.get(name, math.nan)) for name in FIGURES if name != "fid_proxy"}
            | {f"official.{name}": rounded(more.get(name, math.nan)) for name in columns}
        )  # fmt: skip
    return [dict(each) for each in facts]
