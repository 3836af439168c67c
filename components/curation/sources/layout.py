"""What the readers of published layouts share: lists with line numbers, times, addresses, videos by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from components.core.errors import InputError
from components.curation.sources.entry import Listing, Malformed

VIDEO_ENDINGS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})
YOUTUBE_ID = re.compile(r"[\w-]{11}", re.ASCII)
WATCH = "https://www.youtube.com/watch?v="


class Shelf:
    """The videos below a folder by their stem; of equal stems the first path counts."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"source folder {folder} is missing")
        self._videos: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in VIDEO_ENDINGS and path.is_file():
                self._videos.setdefault(path.stem, path)

    def find(self, *stems: str) -> Path | None:
        """The first video that is there."""
        return next((self._videos[stem] for stem in stems if stem in self._videos), None)

    @property
    def stems(self) -> list[str]:
        """All of them, sorted by path."""
        return list(self._videos)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of the lines that are not blank; a byte order mark, bytes that are not UTF-8
    and spaces of any kind at the ends (also non-breaking ones) do no harm."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def fields(line: str, count: int) -> list[str]:
    """The values of a comma-separated line, stripped.

    Raises:
        ValueError: there are not `count` of them.
    """
    import csv

    values = [value.strip() for value in next(csv.reader([line]))]
    if len(values) != count:
        raise ValueError(f"{count} values are expected, there are {len(values)}")
    return values


def seconds(text: str) -> float:
    """`SS`, `MM:SS` or `HH:MM:SS`, with or without a fraction, in seconds.

    Raises:
        ValueError: it is none of them.
    """
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time (HH:MM:SS)")
    hours, minutes, rest = match.groups()
    if minutes is not None and (float(rest) >= 60 or (hours is not None and int(minutes) >= 60)):
        raise ValueError(f"{text!r} is not a time (60 minutes or seconds and more)")
    return round(int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest), 6)


def span(start: float, end: float) -> tuple[float, float]:
    """The span, checked.

    Raises:
        ValueError: it is empty, reversed, negative or not finite.
    """
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"the span {start:g} … {end:g} s is empty or reversed")
    return start, end


def youtube_id(url: str) -> str:
    """The 11 characters that name a YouTube video, from any form of its address.

    Raises:
        ValueError: the address holds none.
    """
    parts = urlparse(url.strip())
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    found = ""
    if host == "youtu.be":
        found = parts.path.strip("/")
    elif host in ("youtube.com", "youtube-nocookie.com"):
        found = parse_qs(parts.query).get("v", [parts.path.rsplit("/", 1)[-1]])[0]
    if not YOUTUBE_ID.fullmatch(found):
        raise ValueError(f"{url!r} is not the address of a YouTube video")
    return found


def recording(video: str) -> str:
    """The name of a YouTube recording, the same for every data set that cut clips from it."""
    return f"youtube/{video}"


def note(found: Listing, folder: Path, path: Path, line: int, error: Exception | str) -> None:
    """Adds a line that cannot be used to the listing."""
    found.malformed.append(Malformed(path.relative_to(folder).as_posix(), line, str(error)))


def json_items(path: Path, folder: Path, found: Listing) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of a JSON list or of JSON lines; what is no object or no JSON goes to `found`.

    After broken syntax, reading goes on at the next line that begins an object.
    """
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    decoder = json.JSONDecoder()
    at, line, counted = 0, 1, 0
    while True:
        match = re.compile(r"[\s,\[\]]*").match(text, at)
        at = match.end() if match else at
        if at >= len(text):
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            item, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            wrong = text.count("\n", 0, error.pos) + 1
            note(found, folder, path, wrong, f"not JSON: {error.msg}")
            again = re.compile(r"^\s*\{", re.MULTILINE).search(text, max(error.pos, at + 1))
            if again is None:
                return
            at = again.start()
            continue
        if isinstance(item, dict):
            yield line, item
        else:
            note(found, folder, path, line, f"an object is expected, not {str(item)[:40]!r}")


def finish(found: Listing, folder: Path, hint: str) -> Listing:
    """The listing, sorted by file and start.

    Raises:
        InputError: nothing of the source is there; `hint` says what is looked for.
    """
    if not found.entries:
        if found.missing:
            raise InputError(
                f"none of the {len(found.missing)} videos of {folder} is on disk, e.g. "
                f"{found.missing[0].file}; `syncdreamer sources check` lists them with their addresses"
            )
        raise InputError(f"source folder {folder} holds nothing to read: {hint}")
    found.entries.sort(key=lambda entry: (entry.path.as_posix(), entry.start, entry.frames or (0, 0)))
    found.malformed.sort(key=lambda each: (each.file, each.line))
    return found
