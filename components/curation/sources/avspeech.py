"""AVSpeech: `*.csv` without header, `youtube_id,start,end,x,y` (seconds; the face's centre in 0 … 1).

Clips lie anywhere below the folder as `ID_SSS.SSSSSS-EEE.EEEEEE.mp4` (times of ten characters), whole videos
as `ID.mp4`. Rows of a list whose name contains `test` are held out, as published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from components.core.errors import InputError
from components.curation.sources.entry import Entry, Listing, Missing, read_card
from components.curation.sources.layout import (
    WATCH,
    YOUTUBE_ID,
    Shelf,
    fields,
    finish,
    lines,
    note,
    recording,
    span,
)


def read_avspeech(folder: Path) -> Listing:
    """Every listed clip that is on disk; a clip that two lines name counts once.

    Raises:
        InputError: the folder, its `source.yaml` or all lists are missing, or no video is there.
    """
    shelf = Shelf(folder)
    found = Listing(read_card(folder))
    lists = sorted(folder.glob("*.csv"))
    if not lists:
        raise InputError(f"{folder} holds no list such as avspeech_train.csv")
    seen: set[tuple[str, float, float]] = set()
    for path in lists:
        for number, line in lines(path):
            try:
                video, start, end = _row(line)
                if (video, start, end) in seen:
                    raise ValueError(f"{video} {start:g} … {end:g} s is listed before")
            except ValueError as error:
                note(found, folder, path, number, error)
                continue
            seen.add((video, start, end))
            held_out: Literal["test"] | None = "test" if "test" in path.stem else None
            clip, whole = shelf.find(f"{video}_{start:010.6f}-{end:010.6f}"), shelf.find(video)
            if clip is not None:
                found.entries.append(Entry(clip, recording(video), found.card, split=held_out))
            elif whole is not None:
                found.entries.append(Entry(whole, recording(video), found.card, start, end, split=held_out))
            else:
                name = f"{video}_{start:010.6f}-{end:010.6f}.mp4"
                found.missing.append(Missing(name, f"{WATCH}{video}&t={int(start)}s"))
    return finish(found, folder, "clips named in *.csv")


def _row(line: str) -> tuple[str, float, float]:
    video, *numbers = fields(line, 5)
    if not YOUTUBE_ID.fullmatch(video):
        raise ValueError(f"{video!r} is not the id of a YouTube video")
    start, end, x, y = (float(value) for value in numbers)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"the face's centre {x:g}, {y:g} is not within 0 … 1")
    return (video, *span(start, end))
