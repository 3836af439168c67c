"""Contact sheets: the thumbnails of all clips that share a reason, for a person to look over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.core.media import read_image
from components.core.paths import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

CELL = 128
GAP = 4
BACKGROUND = 24


def contact_sheet(pictures: list[Path], columns: int = 8, limit: int = 48) -> NDArray[np.uint8]:
    """One picture (H,W,3) of up to `limit` thumbnails, centred in cells of 128 px; missing ones grey."""
    import numpy as np

    chosen = pictures[:limit]
    columns = max(1, min(columns, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    step = CELL + GAP
    sheet = np.full((rows * step + GAP, columns * step + GAP, 3), BACKGROUND, np.uint8)
    for number, path in enumerate(chosen):
        top, left = GAP + number // columns * step, GAP + number % columns * step
        picture = read_image(path)[:CELL, :CELL] if path.exists() else np.full((CELL, CELL, 3), 96, np.uint8)
        height, width = picture.shape[:2]
        top, left = top + (CELL - height) // 2, left + (CELL - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet


def sheets(workspace: Workspace, manifest: pd.DataFrame, limit: int = 48) -> dict[str, NDArray[np.uint8]]:
    """A sheet for each reason that occurs, and for kept, repaired and cut clips; most frequent first.

    `manifest` is artifacts/curate/manifest.parquet. A clip with two reasons is on both sheets.
    """
    folder = workspace.artifacts("curate", "thumbnails")
    kept = manifest[manifest["decision"] == "keep"]
    groups = {name: kept.loc[kept["outcome"] == name, "clip_id"] for name in ("keep", "repair", "cut")}
    named = manifest[["clip_id"]].assign(reason=manifest["reasons"].str.split(";")).explode("reason")
    for reason, count in named["reason"].value_counts().items():
        if reason and count:
            groups[str(reason)] = named.loc[named["reason"] == reason, "clip_id"]
    return {
        name: contact_sheet([folder / f"{clip_id}.jpg" for clip_id in sorted(ids)], limit=limit)
        for name, ids in groups.items()
        if len(ids)
    }
