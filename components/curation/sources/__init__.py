"""Where clips come from: one reader per published layout, chosen by name.

A reader lists entries without opening a video; probing is ingest's. It downloads nothing: videos that a
source names and the disk lacks are listed with their address. To add a layout, write a module with a function
of the type `Reader` and name it in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.core.errors import InputError
from components.curation.sources.avspeech import read_avspeech
from components.curation.sources.emtd import read_emtd
from components.curation.sources.entry import Crop, Entry, Listing, Malformed, Missing
from components.curation.sources.folder import read_folder
from components.curation.sources.hallo3 import read_hallo3
from components.curation.sources.hdtf import read_hdtf
from components.curation.sources.humanvid import read_humanvid
from components.curation.sources.talkvid import read_talkvid

Reader = Callable[[Path], Listing]

READERS: dict[str, Reader] = {
    "folder": read_folder,
    "hdtf": read_hdtf,
    "avspeech": read_avspeech,
    "humanvid": read_humanvid,
    "hallo3": read_hallo3,
    "talkvid": read_talkvid,
    "emtd": read_emtd,
}


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


__all__ = ["READERS", "Crop", "Entry", "Listing", "Malformed", "Missing", "Reader", "reader"]
