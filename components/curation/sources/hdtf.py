"""HDTF (MRzzm/HDTF): lists `{RD,WDA,WRA}_{video_url,annotion_time,crop_wh,resolution}.txt`.

Videos lie anywhere below the folder: whole ones as `NAME.mp4` (or `SUBSET_NAME.mp4`), or finished clips as
`NAME_CLIP.mp4` (or `SUBSET_NAME_00C.mp4`, as the usual download script writes them). A whole video is cut by
the annotated times, and its face region by crop_wh, which was measured at the annotated resolution.
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.curation.sources.entry import Crop, Entry, Listing, Missing, read_card
from components.curation.sources.layout import (
    Shelf,
    finish,
    lines,
    note,
    recording,
    seconds,
    span,
    youtube_id,
)

SUBSETS = ("RD", "WDA", "WRA")


def read_hdtf(folder: Path) -> Listing:
    """Every annotated clip that is on disk.

    Raises:
        InputError: the folder, its `source.yaml` or all lists are missing, or no video is there.
    """
    shelf = Shelf(folder)
    found = Listing(read_card(folder))
    lists = next((place for place in (folder / "HDTF_dataset", folder) if any(_lists(place))), None)
    if lists is None:
        raise InputError(f"{folder} holds none of HDTF's lists such as RD_annotion_time.txt")
    for subset in SUBSETS:
        _subset(folder, lists, subset, shelf, found)
    return finish(found, folder, "clips named in *_annotion_time.txt")


def _lists(place: Path) -> list[Path]:
    return [place / f"{subset}_annotion_time.txt" for subset in SUBSETS
            if (place / f"{subset}_annotion_time.txt").exists()]  # fmt: skip


def _subset(folder: Path, lists: Path, subset: str, shelf: Shelf, found: Listing) -> None:
    urls = _table(folder, lists / f"{subset}_video_url.txt", 1, found)
    crops = _table(folder, lists / f"{subset}_crop_wh.txt", 4, found)
    heights = _table(folder, lists / f"{subset}_resolution.txt", 1, found)
    path = lists / f"{subset}_annotion_time.txt"
    if not path.exists():
        return
    for number, line in lines(path):
        name, *times = line.split()
        name = name.removesuffix(".mp4")
        try:
            video = recording(youtube_id(urls[name][0])) if name in urls else f"{found.card.name}/{name}"
            spans = [_times(text) for text in times]
            if not spans:
                raise ValueError(f"{name} has no times")
        except ValueError as error:
            note(found, folder, path, number, error)
            continue
        whole = shelf.find(name, f"{subset}_{name}")
        absent = False
        for index, (start, end) in enumerate(spans):
            clip = shelf.find(f"{name}_{index}", f"{subset}_{name}_{index:03d}")
            if clip is not None:
                found.entries.append(Entry(clip, video, found.card))
            elif whole is not None:
                crop = _crop(crops.get(f"{name}_{index}"), heights.get(name))
                found.entries.append(Entry(whole, video, found.card, start, end, crop=crop))
            else:
                absent = True
        if absent:
            found.missing.append(Missing(f"{name}.mp4", urls.get(name, ("",))[0]))


def _times(text: str) -> tuple[float, float]:
    begin, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not a span of time (MM:SS-MM:SS)")
    return span(seconds(begin), seconds(end))


def _crop(window: tuple[str, ...] | None, height: tuple[str, ...] | None) -> Crop | None:
    """None where the window is not annotated, or not at which resolution (0) it was measured."""
    if window is None or height is None or int(height[0]) <= 0:
        return None
    left, width, top, tall = (int(value) for value in window)
    return Crop(left, top, width, tall, int(height[0]))


def _table(folder: Path, path: Path, count: int, found: Listing) -> dict[str, tuple[str, ...]]:
    """Name without `.mp4` → its `count` values; whole numbers unless it is the list of addresses."""
    table: dict[str, tuple[str, ...]] = {}
    for number, line in lines(path) if path.exists() else ():
        name, *values = line.split()
        if len(values) != count:
            note(found, folder, path, number, f"{count} values are expected after {name}, not {len(values)}")
        elif "_url" not in path.name and not all(value.isdecimal() for value in values):
            note(found, folder, path, number, f"whole numbers are expected after {name}: {' '.join(values)}")
        elif count == 4 and not (int(values[1]) and int(values[3])):
            note(found, folder, path, number, f"the window of {name} is empty")
        else:
            table[name.removesuffix(".mp4")] = tuple(values)
    return table
