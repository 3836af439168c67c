"""Lists of videos to make: JSONL, CSV (`videoid,image,audio,prompt,fps`) or `prompt@@image@@audio` lines.

The CSV is HunyuanVideo-Avatar's, the lines are Hallo3's and OmniAvatar's. Relative paths are relative to the
list's own folder.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.media import FPS

KEYS = {"videoid", "image", "audio", "prompt", "fps", "seed"}


@dataclass(frozen=True)
class Request:
    """One video: `name` of its file (without .mp4), inputs, frame rate, and the seed of its noise."""

    name: str
    image: Path
    audio: Path
    text: str
    fps: int
    seed: int


def read_requests(path: Path) -> list[Request]:
    """Reads a list; its form follows from the file's ending (.jsonl, .csv, anything else: lines).

    Raises:
        InputError: the list cannot be read. All of its faults are named at once, each with its line.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    reader = {".jsonl": _json_rows, ".csv": _csv_rows}.get(path.suffix.lower(), _line_rows)
    requests: list[Request] = []
    faults: list[str] = []
    names: dict[str, int] = {}
    for number, row in reader(text):
        try:
            if isinstance(row, str):
                raise InputError(row)
            request = _request(row, len(requests), path.parent)
            if request.name in names:
                raise InputError(f"videoid {request.name!r} was used in line {names[request.name]} already")
        except InputError as error:
            faults.append(f"line {number}: {error}")
            continue
        names[request.name] = number
        requests.append(request)
    if faults:
        raise InputError(f"{path}: " + "; ".join(faults))
    if not requests:
        raise InputError(f"{path} asks for no video")
    return requests


Rows = list[tuple[int, dict[str, Any] | str]]
"""Line numbers with a row, or with what is wrong with the line."""


def _json_rows(text: str) -> Rows:
    rows: Rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            rows.append((number, f"is no JSON ({error.msg})"))
            continue
        rows.append((number, row if isinstance(row, dict) else "must be a JSON object"))
    return rows


def _csv_rows(text: str) -> Rows:
    reader = csv.DictReader(text.splitlines())
    rows: Rows = []
    for row in reader:
        if None in row or None in row.values():
            rows.append((reader.line_num, f"has not the {len(reader.fieldnames or [])} fields of the header"))
        else:
            rows.append((reader.line_num, {key.strip(): value for key, value in row.items() if value != ""}))
    return rows


def _line_rows(text: str) -> Rows:
    rows: Rows = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = [part.strip() for part in line.split("@@")]
        if not line.strip():
            continue
        if len(parts) != 3:
            rows.append((number, f"must be prompt@@image@@audio, has {len(parts)} parts"))
        else:
            rows.append((number, dict(zip(("prompt", "image", "audio"), parts, strict=True))))
    return rows


def _request(row: dict[str, Any], index: int, folder: Path) -> Request:
    row = {("prompt" if key == "text" else key): value for key, value in row.items()}
    unknown = sorted(set(row) - KEYS)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(KEYS))}")
    missing = [key for key in ("image", "audio", "prompt") if not str(row.get(key, "")).strip()]
    if missing:
        raise InputError(f"{missing[0]} is missing")
    name = str(row.get("videoid", f"{index:04d}")).strip()
    if not name or name in (".", "..") or Path(name).name != name:
        raise InputError(f"videoid {name!r} cannot be a file's name")
    numbers = {}
    for key, fallback, least in (("fps", FPS, 1), ("seed", index, 0)):
        try:
            numbers[key] = float(row.get(key, fallback))
        except (TypeError, ValueError):
            numbers[key] = -1.0
        if not least <= numbers[key] < 2**31 or numbers[key] != int(numbers[key]):
            raise InputError(f"{key} {row[key]!r} is no whole number from {least} on")
    image, audio = folder / str(row["image"]), folder / str(row["audio"])
    for path in (image, audio):
        if not path.is_file():
            raise InputError(f"{path} is missing")
    return Request(name, image, audio, str(row["prompt"]), int(numbers["fps"]), int(numbers["seed"]))
