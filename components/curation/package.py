"""Packages: the standardised parts of a segment, kept under state/ until the shards are written.

They are made while a file is decoded for measuring. If a changed threshold keeps a clip that had none, the
file is decoded once more and the stored track is used: no perception is repeated.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.files import to_json, write_bytes, write_text
from components.core.media import FPS
from components.curation.params import CurateParams
from components.curation.steps.decode import Decoder, Stretch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.curation.steps.faces import Track

VERSION = 1
"""Raised whenever the bytes of a package change for the same input."""


@dataclass(frozen=True)
class Item:
    """One file or span to work on. `work` is its folder under state/; `claimed` its duration in seconds;
    `width` and `height` are those of `crop` (left, top, width, height in raw pixels) where there is one."""

    key: str
    sha256: str
    path: Path
    work: Path
    start: float
    end: float | None
    claimed: float | None
    width: int | None
    height: int | None
    audio: str
    problem: str | None
    crop: tuple[int, int, int, int] | None = None


def item_key(
    sha256: str, start: float, end: float | None, crop: tuple[int, int, int, int] | None = None
) -> str:
    """The ledger's key of a span (and a part of the picture) of a file's content (32 hex digits)."""
    part = "" if crop is None else f" {','.join(map(str, crop))}"
    return hashlib.sha256(f"{sha256} {start!r} {end!r}{part}".encode()).hexdigest()[:32]


def decoder_of(item: Item, params: CurateParams) -> Decoder:
    """What decodes an item; measuring and packaging must see the same pictures."""
    return Decoder(
        item.path, params.working_side, params.max_clip_seconds, item.start, item.end, item.claimed, item.crop
    )


@dataclass(frozen=True)
class Form:
    """How a segment is standardised: frames its sound moves by, and whether the face is cropped to."""

    shift: int
    close_up: bool

    def folder(self, item: Item, number: int, params: CurateParams) -> Path:
        """Where its package lies; the name changes with everything that its bytes depend on."""
        how = {
            "version": VERSION, "shift": self.shift, "close_up": self.close_up,
            "scale": params.close_up_scale, "size": params.output_size, "crf": params.output_crf,
            "grid": params.mask_grid,
        }  # fmt: skip
        name = hashlib.sha256(to_json(how, indent=None).encode()).hexdigest()[:12]
        return item.work / f"{number}.{name}"


def write_package(
    item: Item,
    number: int,
    part: Stretch,
    track: Track,
    mesh: dict[int, NDArray[np.float32]],
    form: Form,
    params: CurateParams,
) -> None:
    """Writes a segment's standardised parts; `geometry.json` comes last and marks it whole."""
    from components.curation.standardise import package

    parts, geometry = package(
        part.frames, part.samples, track, mesh, shift=form.shift, close_up=form.close_up,
        scale=params.close_up_scale, size=params.output_size, crf=params.output_crf, grid=params.mask_grid,
    )  # fmt: skip
    folder = form.folder(item, number, params)
    for name, content in parts.items():
        write_bytes(folder / f"clip.{name}", content)
    write_text(folder / "geometry.json", to_json(geometry, indent=None))


@dataclass(frozen=True)
class Repackaging:
    """Segments of a measured file whose packages are missing: form by segment."""

    item: Item
    forms: dict[int, Form]


def repackage(params: CurateParams, job: Repackaging) -> None:
    """Decodes a file again and writes packages from the stored tracks; no perception is repeated."""

    item = job.item
    spans = {number: stored_track(item, number)[0] for number in job.forms}
    decoder = decoder_of(item, params)
    for stretch in decoder.stretches():
        offset = round((stretch.start - item.start) * FPS)
        for number, (first, length) in spans.items():
            if offset <= first < offset + len(stretch.frames):
                part = stretch.part(first - offset, first - offset + length)
                _, track, mesh = stored_track(item, number)
                write_package(item, number, part, track, mesh, job.forms[number], params)


def stored_track(item: Item, number: int) -> tuple[tuple[int, int], Track, dict[int, NDArray[np.float32]]]:
    """((first frame, frames) of a segment in its file, its face track, its mesh by frame)."""
    import numpy as np

    from components.curation.steps.faces import Track

    with np.load(item.work / f"{number}.track.npz") as stored:
        track = Track(stored["boxes"], stored["keypoints"], 1.0, float(stored["score"]), 1, 0.0)
        first, length = (int(value) for value in stored["span"])
        mesh = dict(zip(stored["mesh_frames"].tolist(), stored["mesh"], strict=True))
        return (first, length), track, mesh


def store_track(
    item: Item, number: int, part: Stretch, track: Track | None, mesh: dict[int, NDArray[np.float32]]
) -> None:
    """Writes what a later packaging needs, so that it repeats no perception."""
    import numpy as np

    if track is None:
        return
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        span=np.array([round((part.start - item.start) * FPS), len(part.frames)]),
        boxes=track.boxes,
        keypoints=track.keypoints,
        score=np.array(track.score),
        mesh_frames=np.array(sorted(mesh), np.int32),
        mesh=np.array([mesh[index] for index in sorted(mesh)], np.float32).reshape(-1, 478, 3),
    )
    write_bytes(item.work / f"{number}.track.npz", buffer.getvalue())
