"""Official metrics of an evaluation, where this machine has their weights, apart from stand-ins' figures.

They are taken from the files for watching (videos/), as published figures are taken from video files. Without
weights there is nothing here: no official name appears.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.paths import Workspace
from components.core.progress import say
from components.evaluation.panel.states import USUAL, Bootstrap

ROWS = ("generated", "control", "ground_truth")
SOUND_ONLY = ("sync",)
"""Figures in which the control (the generated pictures with another sound) can differ."""
FIELDS = ("name", "value", "low", "high", "n", "network", "interval", "left_out")


def official_rows(workspace: Workspace, bootstrap: Bootstrap = USUAL) -> dict[str, Any] | None:
    """`official` of metrics.json: protocol and rows (row and `FIELDS`), or None.

    Raises:
        InputError: a place is named for weights that are not there or not the published ones.
    """
    from components.evaluation.panel import load_networks, score_clips
    from components.perception.official import OFFICIAL, configured, place_of

    params = configured(workspace)
    if all(place_of(name, params, root=workspace.root) is None for name in OFFICIAL):
        return None
    networks = load_networks(workspace)
    say(f"  official metrics: {', '.join(name for name in networks if hasattr(networks[name], 'digest'))}")
    folder = workspace.artifacts("evaluation")
    rows: list[dict[str, Any]] = []
    protocol: dict[str, Any] = {}
    for row in ROWS:
        scored = score_clips(clips_of(folder, row), networks, bootstrap=bootstrap)
        protocol = protocol or scored["protocol"]
        rows += [
            {"row": row, **{key: figure[key] for key in FIELDS}}
            for figure in scored["figures"]
            if _official(figure, row)
        ]
    protocol["videos"] = "h264 files for watching, scored as files; real: the sentence's own clip"
    return {"protocol": protocol, "rows": rows}


def clips_of(folder: Path, row: str) -> list[Any]:
    """The videos of a row with their real clips and reference pictures, in the order of the items.

    The real clips are compared with nothing: their distance to themselves says nothing.
    """
    from components.evaluation.panel import Clip

    clips = []
    for path in sorted((folder / "videos").glob(f"*_{row}.mp4")):
        stem = path.name.split("_")[0]
        real = folder / "videos" / f"{stem}_ground_truth.mp4"
        reference = folder / "posters" / f"{stem}_reference.jpg"
        other = row == "generated" and real.exists()
        clips.append(Clip(stem, path, real if other else None, reference if reference.exists() else None))
    return clips


def _official(figure: dict[str, Any], row: str) -> bool:
    """Whether a network of the official list measured it (and the row can differ in it)."""
    network, name = figure["network"] or "", str(figure["name"])
    return "@" in network and "proxy" not in name and (row != "control" or name.startswith(SOUND_ONLY))
