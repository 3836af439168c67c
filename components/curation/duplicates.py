"""Near-duplicates across files: of clips that show and say the same, the first in a given order is kept.

Pieces of one file are never duplicates of each other: neighbouring halves of a take look alike, and without
sound only the picture could tell them apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from components.curation.params import CurateParams
from components.curation.steps.fingerprint import picture_error, sound_error

CHUNK = 2
"""Bytes of a picture print that must agree somewhere for two clips to be compared at all."""


@dataclass(frozen=True)
class Print:
    """A clip, the file it is a piece of, and its fingerprints; `sound` is empty for a clip without sound."""

    clip_id: str
    file: str
    picture: bytes
    sound: bytes


def same(first: Print, second: Print, params: CurateParams) -> bool:
    """Whether two clips of different files show and say the same.

    With sound on both sides, picture and sound must match; otherwise the picture alone must, at half the
    allowed error (two takes of one person look alike).
    """
    if first.file == second.file:
        return False
    error = picture_error(first.picture, second.picture)
    if first.sound and second.sound:
        return (
            error <= params.duplicate_picture
            and sound_error(first.sound, second.sound) <= params.duplicate_sound
        )
    return error <= params.duplicate_picture / 2


def find(clips: Sequence[Print], params: CurateParams) -> dict[str, str]:
    """Maps each duplicate's clip_id to the clip that is kept for it: the first of its kind in `clips`."""
    seen: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    copies: dict[str, str] = {}
    for index, clip in enumerate(clips):
        chunks = [(at, clip.picture[at : at + CHUNK]) for at in range(0, len(clip.picture), CHUNK)]
        candidates = sorted({other for chunk in chunks for other in seen[chunk]})
        original = next((clips[other] for other in candidates if same(clips[other], clip, params)), None)
        if original is not None:
            copies[clip.clip_id] = original.clip_id
            continue
        for chunk in chunks:
            seen[chunk].append(index)
    return copies
