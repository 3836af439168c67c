"""Stage `ingest`: an inventory of every file of every source, with its content hash and what it claims."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file, read_parquet, write_json, write_parquet, write_text
from components.core.paths import Workspace, inside, require
from components.core.progress import say, track
from components.curation.params import IngestParams, SourceParams
from components.curation.probe import Probe, probe
from components.curation.sources import Entry, Listing, places, reader, remote, synthetic

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "source", "file", "sha256", "bytes", "source_video", "start", "end", "licence", "consent", "split",
    "audio", "delivery", "caption", "has_video", "has_audio", "duration", "fps", "width", "height", "problem",
)  # fmt: skip


def run(params: IngestParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/ingest/inventory.parquet (one row a file or span) and metrics.json.

    Where a source names videos that are not there, or has lines that cannot be used, also missing.csv and
    malformed.csv.

    Raises:
        InputError: data/raw or a source is missing or empty, a `source.yaml` is missing or wrong, or two
            sources carry one name.
    """
    found = listings(params, workspace)
    table = inventory(found, workspace)
    folder = workspace.artifacts("ingest")
    write_parquet(folder / "inventory.parquet", table)
    figures = {
        "files": len(table),
        "sources": table["source"].nunique(),
        "bytes": int(table["bytes"].sum()),
        "unreadable": int(table["problem"].notna().sum()),
        "without_sound": int((~table["has_audio"]).sum()),
        "claimed_minutes": round(float(table["duration"].sum()) / 60, 3),
    }
    write_json(folder / "metrics.json", figures | tell_gaps(found, folder))


def tell_gaps(found: list[Listing], folder: Path) -> dict[str, int]:
    """Writes missing.csv and malformed.csv where there is anything to tell; returns the counts."""
    import pandas as pd

    missing = [(one.card.name, each.file, each.url) for one in found for each in one.missing]
    malformed = [
        (one.card.name, each.file, each.line, each.reason) for one in found for each in one.malformed
    ]
    counts = {}
    for name, rows, columns in (
        ("missing", missing, ["source", "file", "url"]),
        ("malformed", malformed, ["source", "file", "line", "reason"]),
    ):
        if rows:
            text = pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
            write_text(folder / f"{name}.csv", text)
            counts[name] = len(rows)
    if counts:
        told = " and ".join(f"{count} {name}" for name, count in counts.items())
        say(f"ingest: {told} (artifacts/ingest/*.csv; `syncdreamer sources check` shows them)")
    return counts


def read_inventory(workspace: Workspace) -> pd.DataFrame:
    """The inventory that `run` wrote.

    Raises:
        InputError: it is missing.
    """
    path = require(workspace.artifacts("ingest", "inventory.parquet"), "syncdreamer stage ingest")
    return read_parquet(path)


def listings(params: IngestParams, workspace: Workspace) -> list[Listing]:
    """What each source holds, in their order.

    Raises:
        InputError: as `run`.
    """
    require(workspace.raw, "dvc pull data.dvc")
    found: list[Listing] = []
    names: dict[str, str] = {}
    for source in params.sources:
        listing = read_source(source, workspace)
        name = listing.card.name
        if name in names:
            raise InputError(f"sources {names[name]!r} and {source.path!r} are both named {name!r}")
        names[name] = source.path
        found.append(listing)
    return found


def read_source(source: SourceParams, workspace: Workspace) -> Listing:
    """What one source holds; what lies on a server is fetched first, synthetic people are rendered.

    Raises:
        InputError: as `run`, for this source.
    """
    read = reader(source.kind)
    scheme = places.scheme(source.path)
    if scheme == places.S3:
        return read(remote.fetch(workspace, source.path))
    if scheme == places.SYNTHETIC:
        return read(synthetic.render(workspace, source.path))
    return read(inside(workspace.raw, source.path))


def inventory(found: list[Listing], workspace: Workspace) -> pd.DataFrame:
    """The table that `run` writes, sorted by source, file and start."""
    import pandas as pd

    entries = [entry for listing in found for entry in listing.entries]
    claims: dict[Path, tuple[Probe, str]] = {}
    rows = []
    for entry in track(entries, "ingest"):
        if entry.path not in claims:  # several spans of one file: read once
            claims = {entry.path: (probe(entry.path), digest_file(entry.path))}
        rows.append(describe(entry, *claims[entry.path], workspace))
    columns = [
        *COLUMNS,
        *(["crop"] if any(entry.crop for entry in entries) else []),
        *(["language"] if any(row["language"] for row in rows) else []),
    ]
    table = pd.DataFrame(rows, columns=columns).sort_values(["source", "file", "start"], kind="stable")
    floats = ("start", "end", "duration", "fps", "width", "height")
    return table.astype(dict.fromkeys(floats, "float64")).reset_index(drop=True)


def describe(entry: Entry, claims: Probe, digest: str, workspace: Workspace) -> dict[str, Any]:
    """One row of the inventory; a bad file gets a row with its `problem`, never an exception."""
    card = entry.card
    start, end = entry.start, entry.end
    if entry.frames is not None and claims.fps:
        start, end = (round(frame / claims.fps, 6) for frame in entry.frames)
    crop = entry.crop.at(claims.height) if entry.crop is not None else None
    return asdict(claims) | {
        "source": card.name,
        "file": places.named(workspace, entry.path),
        "sha256": digest,
        "bytes": entry.path.stat().st_size,
        "source_video": entry.source_video,
        "start": start,
        "end": end,
        "licence": card.licence,
        "consent": card.consent,
        "split": entry.split or card.split,
        "audio": card.audio,
        "delivery": card.delivery,
        "caption": entry.caption,
        "language": entry.language or card.language or None,
        "crop": ",".join(map(str, crop)) if crop is not None else None,
    }
