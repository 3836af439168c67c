"""TalkVid: `*.json`, a list of clips with `id`, `start-time`, `end-time`, `durations` ("5.042s"), `info`
(with `Video Link` and, where told, `Language`) and `description`. Clips lie anywhere below the folder as
`ID.mp4`, whole videos as `YOUTUBE_ID.mp4`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.curation.sources.entry import Entry, Listing, Missing, read_card
from components.curation.sources.layout import (
    Shelf,
    finish,
    json_items,
    note,
    recording,
    span,
    youtube_id,
)

DURATION_TOLERANCE_S = 0.1


def read_talkvid(folder: Path) -> Listing:
    """Every listed clip that is on disk, with its description as caption.

    Raises:
        InputError: the folder, its `source.yaml` or all lists are missing, or no video is there.
    """
    shelf = Shelf(folder)
    found = Listing(read_card(folder))
    lists = sorted(folder.glob("*.json")) + sorted(folder.glob("*.jsonl"))
    if not lists:
        raise InputError(f"{folder} holds no list such as filtered_video_clips.json")
    seen: set[str] = set()
    for path in lists:
        for number, item in json_items(path, folder, found):
            try:
                name, link, start, end = _clip(item)
                video = youtube_id(link)
                if name in seen:
                    raise ValueError(f"{name} is listed before")
            except ValueError as error:
                note(found, folder, path, number, error)
                continue
            seen.add(name)
            told = item["info"].get("Language")
            language = told.strip() or None if isinstance(told, str) else None
            caption = str(item.get("description") or "").strip() or None
            clip, whole = shelf.find(name), shelf.find(video)
            if clip is not None:
                found.entries.append(
                    Entry(clip, recording(video), found.card, caption=caption, language=language)
                )
            elif whole is not None:
                found.entries.append(
                    Entry(whole, recording(video), found.card, start, end, caption, language=language)
                )
            else:
                found.missing.append(Missing(f"{name}.mp4", link))
    return finish(found, folder, "clips named in *.json")


def _clip(item: dict[str, Any]) -> tuple[str, str, float, float]:
    """(id, address, start, end)."""
    for key in ("id", "start-time", "end-time", "info"):
        if key not in item:
            raise ValueError(f"{key!r} is missing")
    name, info = item["id"], item["info"]
    if not isinstance(name, str) or not name or "/" in name:
        raise ValueError(f"id {name!r} is not a name")
    if not isinstance(info, dict) or not isinstance(info.get("Video Link"), str):
        raise ValueError("'Video Link' is missing in 'info'")
    try:
        start, end = span(float(item["start-time"]), float(item["end-time"]))
        told = float(str(item.get("durations", end - start)).removesuffix("s"))
    except TypeError as error:
        raise ValueError(f"start-time and end-time must be numbers ({error})") from error
    if abs(told - (end - start)) > DURATION_TOLERANCE_S:
        raise ValueError(f"durations says {told:g} s, the times say {end - start:.3f} s")
    return name, info["Video Link"], start, end
