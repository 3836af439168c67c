"""Writes single values into params.yaml and leaves every other line, comments included, as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import write_text


def set_value(path: Path, section: str, key: str, value: Any, comment: str = "") -> None:
    """Sets (or adds at the end of the section) one key of a top-level section.

    A mapping or list is written one item a line, so that versions of the file compare well.

    Raises:
        InputError: the file is missing, has no such section, or would not hold the value afterwards.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; `syncdreamer params --write` writes one") from error
    lines = text.rstrip("\n").split("\n")
    head = next((at for at, line in enumerate(lines) if re.fullmatch(rf"{section}:\s*(#.*)?", line)), None)
    if head is None:
        raise InputError(f"{path.name} has no section {section!r}")
    end = head + 1
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith((" ", "#"))):
        end += 1
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    begin = next((at for at in range(head + 1, end) if re.match(rf"  {key}:(\s|$)", lines[at])), end)
    stop = begin if begin == end else begin + 1
    while begin < stop < end and (lines[stop].startswith("   ") or not lines[stop].strip()):
        stop += 1
    dumped = yaml.safe_dump({key: value}, allow_unicode=False, sort_keys=True, width=10_000)
    written = [f"  {line}" for line in dumped.rstrip("\n").split("\n")]
    if comment:
        written[0] += f"  # {comment}"
    changed = "\n".join([*lines[:begin], *written, *lines[stop:]]) + "\n"
    try:
        there = yaml.safe_load(changed)[section][key]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{path.name}: {section}.{key} cannot be written ({error})") from error
    if there != value:
        raise InputError(f"{path.name}: {section}.{key} cannot be written: do it by hand")
    write_text(path, changed)
