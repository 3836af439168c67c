"""HumanVid (zhenzhiwang/HumanVid), both parts; published without sound, so that no clip is failed for it.

Pexels: `data/pexels-my-{h,v}/videos/{0..9}/X.mp4` with camera/ beside, addresses in lists `*.txt`. Rendered:
`training_video/{3d,generated}_video_N/mp4/X.mp4`. Segments come from the meta lists (`*.json`, also below
data/json_files) with first frame and frame after the last; without one, every video is one entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from components.core.errors import InputError
from components.core.paths import inside
from components.curation.sources.entry import Entry, Listing, Missing, read_card
from components.curation.sources.layout import Shelf, finish, json_items, lines, note

PLACES = ("data/pexels-my-*/videos/*/*.mp4", "training_video/*_video_*/mp4/*.mp4")
META_PLACES = ("", "data/", "data/json_files/")
META_PLACES = ("", "data/", "data/json_files/")
CAMERA_COLUMNS = (8, 10, 11)
"""t tx ty tz qx qy qz qw; then fx fy; then scale."""


def read_humanvid(folder: Path) -> Listing:
    """Every segment (or video) that is on disk; lines of camera files that cannot be read are told.

    Raises:
        InputError: the folder or its `source.yaml` is missing, or no video is there.
    """
    folder = folder.resolve()
    shelf = Shelf(folder)
    found = Listing(read_card(folder).model_copy(update={"audio": "none"}))
    lists = sorted(
        {*folder.glob("*.json"), *folder.glob("data/*.json"), *folder.glob("data/json_files/*.json")}
    )
    absent: dict[str, str] = {}
    for path in lists:
        for number, item in json_items(path, folder, found):
            try:
                _segment(folder, item, found, absent)
            except (ValueError, InputError) as error:
                note(found, folder, path, number, error)
    if not lists:
        for pattern in PLACES:
            for video in sorted(folder.glob(pattern)):
                found.entries.append(Entry(video, _recording(found, folder, video), found.card))
    _addresses(folder, shelf, found, absent)
    found.missing.extend(Missing(file, url) for file, url in absent.items())
    for video in sorted({entry.path for entry in found.entries}):
        _check_camera(folder, video, found)
    return finish(found, folder, " or ".join(PLACES))


def _segment(folder: Path, item: dict[str, Any], found: Listing, absent: dict[str, str]) -> None:
    """Adds what one object of a meta list names, to the entries or to the absent files."""
    name = item.get("video_path")
    if not isinstance(name, str) or not name:
        raise ValueError("'video_path' is missing")
    first, last = item.get("start_frame"), item.get("end_frame")
    frames = None
    if first is not None or last is not None:
        if not (isinstance(first, int) and isinstance(last, int) and 0 <= first < last):
            raise ValueError(f"frames {first!r} … {last!r} are no segment")
        frames = (first, last)
    video = inside(folder, _relative(name))
    if not video.is_file():
        absent[video.relative_to(folder).as_posix()] = ""
        return
    found.entries.append(Entry(video, _recording(found, folder, video), found.card, frames=frames))


def _relative(name: str) -> str:
    """A path of a meta list (`./data/…`, or absolute where it was made) from the source's folder."""
    parts = PurePosixPath(name).parts
    for root in ("training_video", "data"):
        if root in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(root) :])
    return name


def _recording(found: Listing, folder: Path, video: Path) -> str:
    return f"{found.card.name}/{video.relative_to(folder).with_suffix('').as_posix()}"


def _addresses(folder: Path, shelf: Shelf, found: Listing, absent: dict[str, str]) -> None:
    """Compares the lists of addresses with the disk; completes `absent` (file → address).

    Pexels renamed its files: the number names a video, and a list called `…new…` replaces the old ones.
    """
    lists = [
        path for path in sorted({*folder.glob("*.txt"), *folder.glob("data/*.txt")}) if "url" in path.name
    ]
    lists = [path for path in lists if "new" in path.stem] or lists
    numbers = {_number(stem) for stem in shelf.stems}
    listed: dict[str, str] = {}
    for path in lists:
        for number, line in lines(path):
            match = re.fullmatch(r"https://\S+/(\d+)(?:[-_][\w.-]*)?\.mp4", line)
            if match is None:
                note(found, folder, path, number, f"{line[:60]!r} is not the address of an mp4 file")
            else:
                listed[match[1]] = line
    named = {_number(PurePosixPath(file).stem): file for file in absent}
    for video, url in listed.items():
        if video in named:
            absent[named[video]] = url
        elif video not in numbers:
            absent[url.rsplit("/", 1)[-1]] = url


def _number(stem: str) -> str:
    return re.split("[-_]", stem, maxsplit=1)[0]


def camera(path: Path) -> Iterator[tuple[int, tuple[float, ...] | ValueError]]:
    """(line, t tx ty tz qx qy qz qw and, in newer releases, fx fy and scale) of a camera file."""
    for number, line in lines(path):
        try:
            values = tuple(float(value) for value in line.split())
            if len(values) not in CAMERA_COLUMNS:
                raise ValueError(f"{len(values)} columns; there must be 8, 10 or 11")
        except ValueError as error:
            yield number, error
            continue
        yield number, values


def _check_camera(folder: Path, video: Path, found: Listing) -> None:
    path = video.parents[1] / "camera" / f"{video.stem}.txt"
    if video.parent.name != "mp4":
        path = video.parents[2] / "camera" / video.parent.name / f"{video.stem}.txt"
    for number, values in camera(path) if path.is_file() else ():
        if isinstance(values, ValueError):
            note(found, folder, path, number, values)
