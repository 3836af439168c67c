"""The data card: what is in the curated set, as one self-contained HTML page and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import read_json, read_parquet, write_text
from components.core.paths import Workspace

if TYPE_CHECKING:
    import pandas as pd

SCORES = (
    ("duration", "length of a clip, s"), ("face_size", "height of the face, raw pixels"),
    ("face_rate", "share of looks with a face"), ("blur", "sharpness of the face (variance of Laplacian)"),
    ("exposure", "luminance of the face"), ("yaw", "turn of the head, degrees"),
    ("voice_rate", "share of the time with a voice"), ("sync_confidence", "sync confidence"),
    ("sync_offset", "offset of the sound, frames"),
)  # fmt: skip
BINS = 20
SPAN = (0.005, 0.995)
"""Quantiles between which a histogram lies; the tails are counted in its outer bars."""


def write(manifest: pd.DataFrame, workspace: Workspace, folder: Path) -> list[Path]:
    """Writes data_card.html and data_card.md from artifacts/curate/manifest.parquet; returns the paths."""
    tables = sections(manifest, workspace)
    kept = manifest[manifest["decision"] == "keep"]
    graphs = [(told, histogram(kept[name])) for name, told in SCORES if name in kept]
    return [
        write_text(folder / "data_card.html", html(tables, graphs)),
        write_text(folder / "data_card.md", markdown(tables, graphs)),
    ]


Section = tuple[str, list[str], list[list[str]]]
"""Title, column names, rows."""


def sections(manifest: pd.DataFrame, workspace: Workspace) -> list[Section]:
    """The tables of the card."""
    kept = manifest[manifest["decision"] == "keep"]
    known = [
        ["clips seen", str(len(manifest))],
        ["clips kept", f"{len(kept)} ({len(kept) / max(1, len(manifest)):.1%})"],
        ["hours kept", f"{kept['duration'].sum() / 3600:.3f}"],
        ["people (clusters of faces)", str(kept["identity"].nunique())],
        ["recordings", str(kept["source_video"].nunique())],
        ["without sound (stage 1 only)", str(int((kept["has_sound"].fillna(0) == 0).sum()))],
    ]
    config = workspace.artifacts("curate", "config.json")
    models = read_json(config)["models"] if config.exists() else {}
    known += [[f"model: {name}", digest[:12]] for name, digest in sorted(models.items())]
    reasons = manifest["reasons"].fillna("").str.split(";").explode()
    counted = reasons[reasons != ""].value_counts()
    readmitted = int(kept["repairs"].fillna("").str.startswith("readmitted").sum())
    rejected = [[str(name), str(count)] for name, count in counted.items()]
    return [
        ("The set", ["", ""], known),
        ("Sources, licences and consent", ["source", "licence", "consent", "clips", "kept", "hours"],
         _sources(manifest)),
        ("Splits", ["split", "clips", "hours", "people"], _groups(kept, "split", people=True)),
        ("Framing", ["framing", "clips", "hours"], _groups(kept, "framing")),
        ("Delivery", ["delivery", "clips", "hours"], _groups(kept, "delivery")),
        ("Language", ["language", "clips", "hours"], _languages(kept, workspace)),
        ("Why clips were rejected", ["reason", "clips"], rejected),
        ("Repairs", ["repair", "clips"], [
            [name, str(int(kept["repairs"].fillna("").str.contains(name).sum()))]
            for name in ("offset", "frame_rate")] + [["readmitted by hand", str(readmitted)]]),
    ]  # fmt: skip


def _hours(part: pd.DataFrame) -> str:
    return f"{part['duration'].sum() / 3600:.3f}"


def _groups(kept: pd.DataFrame, column: str, people: bool = False) -> list[list[str]]:
    rows = []
    for name, part in kept.groupby(kept[column].astype("string").fillna("unknown")):
        rows.append([str(name), str(len(part)), _hours(part)])
        if people:
            rows[-1].append(str(part["identity"].nunique()))
    return rows


def _sources(manifest: pd.DataFrame) -> list[list[str]]:
    rows = []
    for (name, licence, consent), part in manifest.groupby(["source", "licence", "consent"], dropna=False):
        kept = part[part["decision"] == "keep"]
        rows.append(
            [
                str(name),
                str(licence),
                "yes" if consent else "NO",
                str(len(part)),
                str(len(kept)),
                _hours(kept),
            ]
        )
    return rows


def _languages(kept: pd.DataFrame, workspace: Workspace) -> list[list[str]]:
    """From a column `language` of the inventory, if a source tells it; else one row: unknown."""
    path = workspace.artifacts("ingest", "inventory.parquet")
    inventory = read_parquet(path) if path.exists() else None
    if inventory is None or "language" not in inventory:
        return [["unknown", str(len(kept)), _hours(kept)]]
    told = inventory.drop_duplicates("file").set_index("file")["language"]
    return _groups(kept.assign(language=kept["file"].map(told)), "language")


def histogram(column: pd.Series) -> tuple[list[int], float, float, int]:
    """(counts of `BINS` equal bars, left edge, right edge, values that are missing)."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    there = numbers.dropna().to_numpy()
    missing = len(numbers) - len(there)
    if not len(there):
        return [0] * BINS, 0.0, 0.0, missing
    low, high = (float(edge) for edge in np.quantile(there, SPAN))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, _ = np.histogram(np.clip(there, low, high), BINS, (low, high))
    return counts.tolist(), low, high, missing


def html(tables: Sequence[Section], graphs: Sequence[tuple[str, Any]]) -> str:
    """One page without any outside reference."""
    from html import escape

    parts = [PAGE]
    for title, columns, rows in tables:
        head = "".join(f"<th>{escape(name)}</th>" for name in columns) if any(columns) else ""
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        parts.append(f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>")
    parts.append("<h2>Scores of the kept clips</h2><div class=graphs>")
    for told, (counts, low, high, missing) in graphs:
        most = max([*counts, 1])
        bars = "".join(_bar(10 * at, 60 * count / most, count) for at, count in enumerate(counts))
        note = f"; {missing} without" if missing else ""
        parts.append(
            f'<figure><svg viewBox="0 0 {10 * BINS} 60" role="img" aria-label="{escape(told)}">{bars}</svg>'
            f"<figcaption>{escape(told)}<br>{low:.3g} … {high:.3g}{note}</figcaption></figure>"
        )
    return "\n".join([*parts, "</div></body></html>\n"])


def _bar(left: int, height: float, count: int) -> str:
    where = f'x="{left}" y="{60 - height:.1f}" width="9" height="{height:.1f}"'
    return f"<rect {where}><title>{count}</title></rect>"


PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data card</title><style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; border-bottom: 1px solid #8884;
text-align: left; } .graphs { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr));
gap: 1rem; } figure { margin: 0; } svg { width: 100%; } rect { fill: #4477aa; } figcaption { color: #666;
font-size: .85em; }</style></head><body><h1>Data card</h1>"""
BLOCKS = "▁▂▃▄▅▆▇█"


def markdown(tables: Sequence[Section], graphs: Sequence[tuple[str, Any]]) -> str:
    """The same as text; histograms as rows of block characters."""
    lines = ["# Data card"]
    for title, columns, rows in tables:
        width = len(columns)
        lines += ["", f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * width}"]
        lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    lines += [
        "",
        "## Scores of the kept clips",
        "",
        "| score | from | | to | missing |",
        "|---|---|---|---|---|",
    ]
    for told, (counts, low, high, missing) in graphs:
        most = max([*counts, 1])
        drawn = "".join(BLOCKS[min(7, 8 * count // (most + 1))] if count else " " for count in counts)
        lines.append(f"| {told} | {low:.3g} | `{drawn}` | {high:.3g} | {missing} |")
    return "\n".join(lines) + "\n"
