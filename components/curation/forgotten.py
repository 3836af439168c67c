"""What was withdrawn is left out before anything is decoded or decided: the tombstone list at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.errors import InputError
from components.core.paths import Workspace
from components.core.progress import say
from components.curation.params import CurateParams
from components.tracking.tombstones import Tombstone, covers_source, declared

if TYPE_CHECKING:
    import pandas as pd


def tombstones(params: CurateParams, workspace: Workspace) -> list[Tombstone]:
    """The list that `params` names.

    Raises:
        InputError: the list is missing, or is not the named one.
    """
    return declared(workspace, params.tombstones)


def without_files(inventory: pd.DataFrame, stones: list[Tombstone]) -> pd.DataFrame:
    """The inventory's rows that are not withdrawn as a whole: these are not even decoded.

    Raises:
        InputError: none is left.
    """
    if not stones:
        return inventory
    import pandas as pd

    gone = inventory["sha256"].str[:16].isin({digest for stone in stones for digest in stone.files})
    names = zip(inventory["source"], inventory["source_video"], inventory["file"], strict=True)
    gone |= pd.Series([covers_source(stones, *map(str, row)) for row in names], inventory.index, dtype=bool)
    if gone.any():
        say(f"curate: {int(gone.sum())} of {len(inventory)} files were withdrawn and are left out")
    if gone.all():
        raise InputError("every file of the inventory was withdrawn (tombstones.jsonl); add other clips")
    return inventory[~gone].reset_index(drop=True)


def without_clips(table: pd.DataFrame, stones: list[Tombstone]) -> pd.DataFrame:
    """Rows that are not withdrawn, of files of which other clips stay. Their numbers stay as they are."""
    if not stones:
        return table
    gone = table["clip_id"].isin({clip_id for stone in stones for clip_id in stone.clips})
    if gone.any():
        say(f"curate: {int(gone.sum())} clips were withdrawn and are left out")
    return table[~gone].reset_index(drop=True)
