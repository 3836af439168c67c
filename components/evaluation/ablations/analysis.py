"""With and without: differences by clip and seed, their interval, and what may be said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.evaluation.comparison.catalogue import FIGURES
from components.evaluation.comparison.scoring import Scored
from components.evaluation.report import figures
from components.evaluation.statistics import holm, sign_flip_test
from components.evaluation.table import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE_1 = ("dino_proxy", "face_sim_proxy", "sync_confidence")
"""The paper's table 1, on stand-ins."""
MORE = {
    "audio_dynamics": ("aperture_correlation_own", "beat_alignment"),
    "enhancer": ("action_recognised", "gaze_followed", "gesture_followed", "object_kept"),
}
LIPS = ("aperture_correlation_own",)
PROMPT_FIGURES = ("action_recognised", "object_kept", "gaze_followed", "gesture_followed", *TABLE_1)


def grid(scored: Sequence[Scored], name: str) -> dict[tuple[str, int], float]:
    """(case, seed) → a figure, where it is defined."""
    return {
        (one.case.id, one.made.seed): one.figures[name]
        for one in scored
        if math.isfinite(one.figures.get(name, math.nan))
    }


def crossed_interval(
    differences: Mapping[tuple[str, int], float], seed: int, resamples: int, level: float
) -> tuple[float | None, float | None]:
    """Interval of the mean difference when both the clips and the seeds could have been others.

    Clips and seeds are resampled independently; a cell that is missing is left out of a resample's mean.
    None without two clips and two seeds.
    """
    cases = sorted({case for case, _ in differences})
    seeds = sorted({each for _, each in differences})
    if len(cases) < 2 or len(seeds) < 2:
        return None, None
    cells = np.array([[differences.get((case, each), math.nan) for each in seeds] for case in cases])
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for place in range(resamples):
        rows, columns = rng.integers(0, len(cases), len(cases)), rng.integers(0, len(seeds), len(seeds))
        part = cells[np.ix_(rows, columns)]
        draws[place] = np.nanmean(part) if np.isfinite(part).any() else math.nan
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def contrast(
    with_part: Sequence[Scored], without: Sequence[Scored], name: str, seed: int, resamples: int, level: float
) -> dict[str, Any]:
    """A figure with and without a part, over the clips and seeds that both have; p is not adjusted yet."""
    a, b = grid(with_part, name), grid(without, name)
    common = sorted(a.keys() & b.keys())
    row: dict[str, Any] = {"name": name, "title": FIGURES[name][0].title, "unit": FIGURES[name][0].unit}
    if not common:
        return row | {
            "with": None, "without": None, "difference": None, "low": None, "high": None, "p": None,
            "clips": 0, "seeds": 0,
        }  # fmt: skip
    differences = {key: a[key] - b[key] for key in common}
    low, high = crossed_interval(differences, seed, resamples, level)
    by_case: dict[str, list[float]] = {}
    for (case, _), value in differences.items():
        by_case.setdefault(case, []).append(value)
    p = sign_flip_test([float(np.mean(each)) for each in by_case.values()], seed)
    return row | {
        "with": rounded(float(np.mean([a[key] for key in common]))),
        "without": rounded(float(np.mean([b[key] for key in common]))),
        "difference": rounded(float(np.mean(list(differences.values())))),
        "low": rounded(low), "high": rounded(high), "p": p if math.isfinite(p) else None,
        "clips": len(by_case), "seeds": len({each for _, each in common}),
    }  # fmt: skip


def judge(rows: Sequence[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """Adjusts p over all rows (Holm) and says in words what each difference means."""
    adjusted = holm([math.nan if row["p"] is None else row["p"] for row in rows])
    judged = []
    for row, p in zip(rows, adjusted, strict=True):
        significant, reading = False, ""
        better = FIGURES[row["name"]][0].better
        if row["difference"] is None:
            reading = "not measured: no clip has this figure in both"
        elif row["low"] is None:
            reading = "not judged: it takes two clips and two seeds"
        elif (row["low"] > 0 or row["high"] < 0) and p < 1 - level:
            significant = True
            helps = (row["difference"] > 0) == (better == "higher")
            reading = f"significant: the part {'helps' if helps else 'hurts'}"
        else:
            reading = "no significant difference"
        judged.append(row | {"p_adjusted": rounded(p), "significant": significant, "reading": reading})
    return judged


def in_words(rows: Sequence[Mapping[str, Any]], seeds: int, clips: int, level: float) -> list[str]:
    """What the judged rows allow to say, part by part: which differences are significant, which are not."""
    if seeds < 2:
        return ["One training of each variant: no difference can be judged."]
    sentences = []
    for part in dict.fromkeys(row["part"] for row in rows):
        here = [row for row in rows if row["part"] == part]
        found = [
            f"{row['title']} {shown(row['without'], row['unit'])} → {shown(row['with'], row['unit'])} "
            f"({'better' if row['reading'].endswith('helps') else 'worse'} with it, difference "
            f"{shown(row['difference'], row['unit'])}, {100 * level:g}% interval "
            f"{shown(row['low'], row['unit'])} … {shown(row['high'], row['unit'])})"
            for row in here if row["significant"]
        ]  # fmt: skip
        none = [row["title"] for row in here if not row["significant"] and row["low"] is not None]
        missing = [row["title"] for row in here if row["low"] is None]
        text = f"{part}: " + (
            f"significant: {'; '.join(found)}. " if found else "no significant difference. "
        )
        if none:
            text += f"Not significant ({seeds} trainings, {clips} clips): {', '.join(none)}. "
        if missing:
            text += f"Not measured: {', '.join(missing)}."
        sentences.append(text.strip())
    return sentences


def shown(value: float | None, unit: str) -> str:
    """A number as text; shares as per cent."""
    return figures.short(round(100 * value, 2) if unit == "share" and value is not None else value)


def for_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its numbers as text."""
    unit = row["unit"]
    return dict(row) | {
        "with_shown": shown(row["with"], unit), "without_shown": shown(row["without"], unit),
        "difference_shown": shown(row["difference"], unit),
        "interval": "" if row["low"] is None else f"{shown(row['low'], unit)} … {shown(row['high'], unit)}",
        "p_shown": figures.short(row["p_adjusted"]),
    }  # fmt: skip


def ablation_rows(
    by_variant: Mapping[str, Sequence[Scored]],
    titles: Mapping[str, str],
    networks: Mapping[str, str],
    seed: int,
    resamples: int,
    level: float,
) -> list[dict[str, Any]]:
    """The table with and without each part; `by_variant` holds "full" and the parts that were left out."""
    rows = []
    for part, title in titles.items():
        for name in dict.fromkeys((*TABLE_1, *LIPS, *MORE.get(part, ()))):
            row = contrast(
                by_variant["full"], by_variant[part], name, derive(seed, part, name), resamples, level
            )
            network = FIGURES[name][1]
            rows.append(
                row | {"part": title, "key": part, "network": networks.get(network) if network else None}
            )
    return judge(rows, level)


def prompt_rows(
    by_prompt: Mapping[str, Sequence[Scored]], seed: int, resamples: int, level: float
) -> list[dict[str, Any]]:
    """One row a figure: its mean with each kind of prompt, and enhanced against minimal."""
    rows = []
    for name in PROMPT_FIGURES:
        against = contrast(
            by_prompt["enhanced"], by_prompt["minimal"], name, derive(seed, "prompt", name), resamples, level
        )
        means: dict[str, NDArray | float | None] = {}
        for kind, scored in by_prompt.items():
            values = list(grid(scored, name).values())
            means[kind] = rounded(float(np.mean(values))) if values else None
        rows.append(against | {"means": means})
    return judge(rows, level)
