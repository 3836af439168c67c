"""EMTD (EchoMimicV2's benchmark): `*.txt` or `*.csv` with `URL,Start Timecode,End Timecode`. Test only.

Whole videos lie anywhere below the folder as `ID.mp4` (the published script also leaves `ID&t=355s.mp4`), its
cuts as `NNN_ID.mp4`, NNN being the row from 0.
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.curation.sources.entry import Entry, Listing, Missing, read_card
from components.curation.sources.layout import (
    WATCH,
    Shelf,
    fields,
    finish,
    lines,
    note,
    recording,
    seconds,
    span,
    youtube_id,
)

HEADER = "URL,Start Timecode,End Timecode"


def read_emtd(folder: Path) -> Listing:
    """Every listed span that is on disk, all of it held out.

    Raises:
        InputError: the folder, its `source.yaml` or the list is missing, or no video is there.
    """
    shelf = Shelf(folder)
    found = Listing(read_card(folder).model_copy(update={"split": "test"}))
    lists = [path for path in sorted([*folder.glob("*.txt"), *folder.glob("*.csv")]) if _is_list(path)]
    if not lists:
        raise InputError(f"{folder} holds no list that begins with {HEADER!r}")
    for path in lists:
        rows = (row for row in lines(path) if row[1] != HEADER)
        for index, (number, line) in enumerate(rows):
            try:
                url, begin, stop = fields(line, 3)
                video = youtube_id(url)
                start, end = span(seconds(begin), seconds(stop))
            except ValueError as error:
                note(found, folder, path, number, error)
                continue
            cut = shelf.find(f"{index:03d}_{video}")
            whole = shelf.find(video, url.split("v=", 1)[-1])
            if cut is not None:
                found.entries.append(Entry(cut, recording(video), found.card))
            elif whole is not None:
                found.entries.append(Entry(whole, recording(video), found.card, start, end))
            elif not any(each.file == f"{video}.mp4" for each in found.missing):
                found.missing.append(Missing(f"{video}.mp4", f"{WATCH}{video}"))
    return finish(found, folder, "videos named in the list")


def _is_list(path: Path) -> bool:
    return next((line for _, line in lines(path)), "") == HEADER
