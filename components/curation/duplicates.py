"""Near-duplicates across files: of clips that show and say the same, the first in a given order is kept.

Pieces of one file are never duplicates of each other: neighbouring halves of a take look alike, and without
sound only the picture could tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.curation.params import CurateParams
from components.curation.steps.fingerprint import PICTURE_BYTES, picture_error, sound_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 2
"""Bytes of a picture print that must agree somewhere for two clips to be compared at all."""
CHUNKS = PICTURE_BYTES // CHUNK
BLOCK = 1 << 20
"""Pairs whose pictures are compared at once (some 200 MB)."""


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
    """Maps each duplicate's clip_id to the clip that is kept for it: the first of its kind in `clips`.

    Clips are compared whose picture prints agree in a chunk somewhere, a copy with originals alone.
    """
    import numpy as np

    if len(clips) < 2:
        return {}
    pairs = list(_look_alikes(clips, params))
    earlier, later = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    order = np.lexsort((earlier, later))
    copies: dict[int, int] = {}
    for one, other in zip(earlier[order].tolist(), later[order].tolist(), strict=True):
        if other not in copies and one not in copies and same(clips[one], clips[other], params):
            copies[other] = one
    return {clips[other].clip_id: clips[one].clip_id for other, one in copies.items()}


def _look_alikes(
    clips: Sequence[Print], params: CurateParams
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (earlier, later) of different files whose pictures are alike enough, each once.

    Chunk by chunk the clips are sorted, and each is compared with its successors of the same value: time and
    memory grow with the clips that look alike, not with all pairs.
    """
    import numpy as np

    prints = np.frombuffer(b"".join(clip.picture for clip in clips), np.uint8).reshape(-1, PICTURE_BYTES)
    chunks, words = prints.view(np.uint16), prints.view(np.uint64)
    _, files = np.unique(np.array([clip.file for clip in clips]), return_inverse=True)
    heard = np.array([bool(clip.sound) for clip in clips])
    yield np.zeros(0, np.int64), np.zeros(0, np.int64)
    for place in range(CHUNKS):
        order = np.argsort(chunks[:, place], kind="stable")
        values = chunks[order, place]
        live, step = np.arange(len(clips)), 0
        while len(live):
            step += 1
            live = live[live + step < len(clips)]
            live = live[values[live] == values[live + step]]
            for begin in range(0, len(live), BLOCK):
                part = live[begin : begin + BLOCK]
                one, other = order[part], order[part + step]  # a stable sort: `one` comes first in `clips`
                bits = np.bitwise_count(words[one] ^ words[other]).sum(axis=1, dtype=np.int64)
                both = heard[one] & heard[other]
                most = np.where(both, params.duplicate_picture, params.duplicate_picture / 2)
                near = (bits / (8 * PICTURE_BYTES) <= most) & (files[one] != files[other])
                one, other = one[near], other[near]
                known = (chunks[one, :place] == chunks[other, :place]).any(axis=1)
                yield one[~known], other[~known]
