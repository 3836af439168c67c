"""Where clips come from: one reader per published layout, chosen by name.

A reader lists entries without opening a video; probing is ingest's. To add a layout, write a module with a
function of the type `Reader` and name it in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from components.core.errors import InputError
from components.curation.sources.entry import Entry
from components.curation.sources.folder import read_folder

Reader = Callable[[Path], Iterator[Entry]]

READERS: dict[str, Reader] = {"folder": read_folder}


def reader(kind: str) -> Reader:
    """The reader of a layout.

    Raises:
        InputError: no reader has this name; the message lists those that exist.
    """
    try:
        return READERS[kind]
    except KeyError:
        raise InputError(
            f"source kind {kind!r} is unknown; there are: {', '.join(sorted(READERS))}"
        ) from None


__all__ = ["READERS", "Entry", "Reader", "reader"]
