"""Curated clips as the generator sees them: small pictures, sound, face boxes, regions for each frame."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.core.errors import InputError
from components.core.media import SAMPLE_RATE, read_video
from components.core.vocabulary import REGIONS
from components.storage.shards import Sample, read_shards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.faces import Face

EYES, MOUTH = REGIONS.index("eyes"), REGIONS.index("mouth")


@dataclass(frozen=True)
class CuratedClip:
    """frames (T,S,S,3) uint8 at 25 fps; samples (N,) float32 at 16 kHz or None; boxes (T,4) and keypoints
    (T,6,2) pixels of those frames; regions (T,R,g,g) in [0,1], planes of `REGIONS`."""

    clip_id: str
    split: str
    framing: str
    identity: str
    frames: NDArray[np.uint8]
    samples: NDArray[np.float32] | None
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    regions: NDArray[np.float32]

    def face(self, index: int) -> Face:
        """The face of one frame."""
        from components.perception.faces import Face

        x0, y0, x1, y1 = (float(v) for v in self.boxes[index])
        return Face((x0, y0, x1, y1), 1.0, self.keypoints[index])


def reference_frames(frames: int, count: int) -> NDArray[np.int_]:
    """Which of a clip's frames are kept as references: `count`, evenly spaced from the first to the last."""
    return np.linspace(0, frames - 1, count).round().astype(int)


def read_clip(sample: Sample) -> CuratedClip:
    """Decodes one sample of a curated shard.

    Raises:
        InputError: a part is missing or its content does not fit.
    """
    try:
        facts = json.loads(sample.parts["json"])
        with np.load(io.BytesIO(sample.parts["npz"]), allow_pickle=False) as arrays:
            places, masks = arrays["landmark_frames"], arrays["masks"]
        frames = _frames(sample.parts["mp4"])
        samples = _sound(sample.parts["wav"]) if "wav" in sample.parts else None
        boxes = np.asarray(facts["boxes"], np.float32).reshape(-1, 4)
        keypoints = np.asarray(facts["keypoints"], np.float32).reshape(-1, 6, 2)
        names = (facts["split"], facts["framing"], facts["identity"])
    except (KeyError, ValueError) as error:
        raise InputError(f"curated clip {sample.key}: part or field missing or damaged ({error})") from error
    if len(boxes) != len(frames):
        raise InputError(f"curated clip {sample.key}: {len(boxes)} face boxes for {len(frames)} frames")
    regions = np.zeros((len(frames), len(REGIONS), *masks.shape[2:]), np.float32)
    if len(places):
        nearest = np.abs(np.arange(len(frames))[:, None] - places[None]).argmin(1)
        regions = masks[nearest].astype(np.float32) / 255
    return CuratedClip(sample.key, *names, frames, samples, boxes, keypoints, regions)


def read_clips(folder: Path) -> Iterator[CuratedClip]:
    """Decodes the clips of all shards of a folder, in order."""
    for sample in read_shards(folder):
        yield read_clip(sample)


def grown(regions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Regions (…,g,g) made one cell wider: meshes are fitted to some frames only, and lips move meanwhile."""
    padded = np.pad(regions, [(0, 0)] * (regions.ndim - 2) + [(1, 1), (1, 1)])
    height, width = regions.shape[-2:]
    shifts = [padded[..., i : i + height, j : j + width] for i, j in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))]
    return np.maximum.reduce(shifts)


def _frames(data: bytes) -> NDArray[np.uint8]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        return read_video(Path(file.name), audio=False).frames


def _sound(data: bytes) -> NDArray[np.float32]:
    import wave

    with wave.open(io.BytesIO(data)) as file:
        if file.getframerate() != SAMPLE_RATE or file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError("the wav part must be 16 kHz mono 16 bit")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
