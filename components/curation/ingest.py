"""Stage `ingest`: an inventory of every file of every source, with its content hash and what it claims."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file, read_parquet, write_json, write_parquet
from components.core.paths import Workspace, inside, require
from components.core.progress import track
from components.curation.params import IngestParams
from components.curation.probe import probe
from components.curation.sources import Entry, reader

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "source", "file", "sha256", "bytes", "source_video", "start", "end", "licence", "consent", "split",
    "audio", "delivery", "caption", "has_video", "has_audio", "duration", "fps", "width", "height", "problem",
)  # fmt: skip


def run(params: IngestParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/ingest/inventory.parquet (one row a file or span) and metrics.json.

    Raises:
        InputError: data/raw or a source is missing or empty, a `source.yaml` is missing or wrong, or two
            sources carry one name.
    """
    table = inventory(params, workspace)
    folder = workspace.artifacts("ingest")
    write_parquet(folder / "inventory.parquet", table)
    write_json(
        folder / "metrics.json",
        {
            "files": len(table),
            "sources": table["source"].nunique(),
            "bytes": int(table["bytes"].sum()),
            "unreadable": int(table["problem"].notna().sum()),
            "without_sound": int((~table["has_audio"]).sum()),
            "claimed_minutes": round(float(table["duration"].sum()) / 60, 3),
        },
    )


def read_inventory(workspace: Workspace) -> pd.DataFrame:
    """The inventory that `run` wrote.

    Raises:
        InputError: it is missing.
    """
    path = require(workspace.artifacts("ingest", "inventory.parquet"), "syncdreamer stage ingest")
    return read_parquet(path)


def inventory(params: IngestParams, workspace: Workspace) -> pd.DataFrame:
    """The table that `run` writes, sorted by source, file and start."""
    import pandas as pd

    raw = require(workspace.raw, "dvc pull data.dvc")
    entries: list[Entry] = []
    names: dict[str, str] = {}
    for source in params.sources:
        found = list(reader(source.kind)(inside(raw, source.path)))
        name = found[0].card.name
        if name in names:
            raise InputError(f"sources {names[name]!r} and {source.path!r} are both named {name!r}")
        names[name] = source.path
        entries += found
    rows = [describe(entry, raw) for entry in track(entries, "ingest")]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["source", "file", "start"], kind="stable")
    floats = ("start", "end", "duration", "fps", "width", "height")
    return table.astype(dict.fromkeys(floats, "float64")).reset_index(drop=True)


def describe(entry: Entry, raw: Path) -> dict[str, Any]:
    """One row of the inventory; a bad file gets a row with its `problem`, never an exception."""
    claims = asdict(probe(entry.path))
    card = entry.card
    return claims | {
        "source": card.name,
        "file": entry.path.relative_to(raw.resolve()).as_posix(),
        "sha256": digest_file(entry.path),
        "bytes": entry.path.stat().st_size,
        "source_video": entry.source_video,
        "start": entry.start,
        "end": entry.end,
        "licence": card.licence,
        "consent": card.consent,
        "split": card.split,
        "audio": card.audio,
        "delivery": card.delivery,
        "caption": entry.caption,
    }
