"""A plain folder of videos, each with an optional caption `<stem>.txt` beside it."""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.curation.sources.entry import Entry, Listing, read_card
from components.curation.sources.layout import VIDEO_ENDINGS


def read_folder(folder: Path) -> Listing:
    """Every video below `folder`, in the order of its relative path.

    Raises:
        InputError: the folder or its `source.yaml` is missing, or it holds no video.
    """
    if not folder.is_dir():
        raise InputError(f"source folder {folder} is missing")
    card = read_card(folder)
    videos = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_ENDINGS and path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not videos:
        raise InputError(f"source folder {folder} holds no video ({', '.join(sorted(VIDEO_ENDINGS))})")
    found = Listing(card)
    for path in videos:
        beside = path.with_suffix(".txt")
        caption = beside.read_text(encoding="utf-8", errors="replace").strip() if beside.exists() else None
        stem = path.relative_to(folder).with_suffix("").as_posix()
        found.entries.append(Entry(path, f"{card.name}/{stem}", card, caption=caption or None))
    return found
