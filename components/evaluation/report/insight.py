"""What the averages hide: groups, the weakest clips, how the generator looks and moves, other studies."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_sources, digest_tree, read_json, read_parquet
from components.core.paths import Workspace
from components.core.seeds import derive
from components.evaluation.catalogue import entry
from components.evaluation.report import figures
from components.evaluation.report.media import data_uri

BROKEN_DOWN = ("aperture_correlation_own", "sync_confidence", "identity_top1", "psnr")
WORST_BY, WORST = "aperture_correlation_own", 6
COMPARED = ("aperture_correlation_own", "sync_confidence", "face_sim_proxy", "action_recognised")
COMPARISON, ABLATION, KEPT = "state/compare/report", "state/ablations/report", "docs/ablations"
RESAMPLES = 1000


def breakdown(workspace: Workspace, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of the generated clips by framing of the picture, delivery of the sound, and kind of person."""
    path = workspace.artifacts("curate", "manifest.parquet")
    items = content.get("items", [])
    if not items or not path.exists():
        return []
    table = read_parquet(path).drop_duplicates("clip_id").set_index("clip_id")
    level = content.get("protocol", {}).get("level", 0.95)

    def of(clip: str | None, column: str) -> str:
        return str(table.at[clip, column]) if clip in table.index else "unknown"

    ways = {
        "framing": [of(item.get("reference"), "framing") for item in items],
        "delivery": [of(item.get("sound"), "delivery") for item in items],
        "person": ["never seen" if item["split"] == "test" else "in training" for item in items],
    }
    made = []
    for way, groups in ways.items():
        lines = [
            {"title": group, "cells": [_cell(items, groups, group, name, level) for name in BROKEN_DOWN]}
            for group in dict.fromkeys(groups)
        ]
        made.append({"title": way, "columns": [entry(name).title for name in BROKEN_DOWN], "lines": lines})
    return made


def _cell(
    items: Sequence[Mapping[str, Any]], groups: Sequence[str], group: str, name: str, level: float
) -> dict[str, Any]:
    from components.evaluation.statistics import mean_interval

    values = [
        item[name] for item, own in zip(items, groups, strict=True)
        if own == group and isinstance(item.get(name), (int, float))
    ]  # fmt: skip
    found = mean_interval(values, derive(0, "breakdown", group, name), RESAMPLES, level)
    unit = entry(name).unit
    low = "" if found.low is None else f"{_shown(found.low, unit)} … {_shown(found.high, unit)}"
    return {"value": _shown(found.value, unit), "interval": low, "n": found.n}


def _shown(value: float | None, unit: str) -> str:
    return figures.short(round(100 * value, 2) if unit == "share" and value is not None else value)


def worst(folder: Path, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The clips whose mouth follows the sound least (a missing value is worse than any), weakest first."""

    def rank(item: Mapping[str, Any]) -> float:
        value = item.get(WORST_BY)
        return -math.inf if value is None else float(value)

    return [
        {
            "picture": data_uri(folder / "posters" / f"{item['index']:02d}_generated.jpg"),
            "title": item["identity"], "split": "never seen" if item["split"] == "test" else "in training",
            "value": figures.short(item.get(WORST_BY)), "sync": figures.short(item.get("sync_confidence")),
            "instruction": item["instruction"],
        }
        for item in sorted(items, key=rank)[:WORST]
    ]  # fmt: skip


def drawings(workspace: Workspace, items: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Attention over the reference, w_t over the waveform, motion energy against onsets, of the clip in the
    middle of the ranking; drawn once for a pipeline and kept below state/report.

    Raises:
        InputError: the pipeline or a video cannot be read.
    """
    from components.evaluation.ablations import pictures

    pipeline = workspace.artifacts("train_stage2", "pipeline")
    known = [item for item in items if item.get(WORST_BY) is not None]
    if not known or not (pipeline / "model_index.json").exists():
        return []
    item = sorted(known, key=lambda each: each[WORST_BY])[len(known) // 2]
    videos = workspace.artifacts("evaluation", "videos")
    made, real = (videos / f"{item['index']:02d}_{kind}.mp4" for kind in ("generated", "ground_truth"))
    portrait = workspace.artifacts("annotate", "frames") / f"{item.get('reference')}.png"
    if not (made.exists() and real.exists() and portrait.exists()):
        return []
    code = digest_sources(Path(pictures.__file__))
    key = hashlib.sha256(f"{digest_tree(pipeline)}{item}{code}".encode()).hexdigest()[:16]
    folder = workspace.state("report") / key
    names = ("attention.png", "audio_weights.png", "rhythm.png")
    if not (folder / names[-1]).exists():
        pictures.draw_run(pipeline, made, real, portrait, str(item["prompt"]), int(item["seed"]), folder)
    notes = (
        ("Where identity tokens look", "Top: each identity token over the reference. Bottom: where the "
         "generated picture listens to that token. Means stand below: colours are each map's own."),
        ("Which moments of the sound weigh", "The Audio Dynamics Encoder's w_t over the waveform."),
        ("Motion against the sound's onsets", "Mean change of luminance in the videos for watching; dots are "
         "its peaks, dashed lines the onsets of loudness."),
    )  # fmt: skip
    case = f" ({item['identity']}, the clip in the middle of the ranking)"
    return [
        {"title": title, "note": note + case, "uri": str(data_uri(folder / name))}
        for name, (title, note) in zip(names, notes, strict=True)
        if (folder / name).exists()
    ]


def comparison(workspace: Workspace) -> dict[str, Any] | None:
    """The last `syncdreamer compare`: its leaderboard, breakdown and curves against noise."""
    path = workspace.root / COMPARISON / "leaderboard.json"
    if not path.exists():
        return None
    from components.evaluation.comparison import page
    from components.evaluation.comparison.catalogue import FIGURES, REFERENCE_ROWS

    result = read_json(path)
    cells = {(row["system"], row["name"]): row for row in result["rows"]}
    systems = dict.fromkeys(row["system"] for row in result["rows"])
    titles = {name: REFERENCE_ROWS.get(name, name) for name in systems}
    names = [name for name in COMPARED if any((system, name) in cells for system in systems)]
    return {
        "lead": result["lead"],
        "columns": [FIGURES[name][0].title for name in names],
        "lines": [
            {"title": title, "cells": [page.cell(cells.get((system, name)), name) for name in names]}
            for system, title in titles.items()
        ],
        "breakdown": page.breakdown(result.get("breakdown", []), titles),
        "robustness": page.curves(result.get("robustness", {}), titles),
    }


def ablation(workspace: Workspace) -> dict[str, Any] | None:
    """The last `syncdreamer ablate`, else the one that lies in the repository; says which."""
    for folder, file in ((ABLATION, "leaderboard.json"), (KEPT, "ablation.json")):
        path = workspace.root / folder / file
        if path.exists():
            return {"source": f"{folder}/{file}", "result": read_json(path)}
    return None


def sections(workspace: Workspace, content: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, for the page; a drawing that cannot be made is left out with its reason."""
    items = content.get("items", [])
    reason = ""
    try:
        drawn = drawings(workspace, items)
    except InputError as error:
        drawn, reason = [], str(error)
    return {
        "breakdown": breakdown(workspace, content),
        "worst": worst(workspace.artifacts("evaluation"), items),
        "drawings": drawn,
        "not_drawn": reason,
        "comparison": comparison(workspace),
        "ablation": ablation(workspace),
    }
