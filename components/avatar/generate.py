"""Helpers around the pipeline for commands and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.media import read_audio, read_image, write_video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.avatar.pipeline import SyncDreamerPipeline

BATCH = 16
"""Clips generated side by side."""


def generate(
    pipeline: SyncDreamerPipeline,
    image: NDArray[np.uint8],
    samples: NDArray[np.float32],
    text: str,
    seed: int = 0,
    **options: Any,
) -> NDArray[np.uint8]:
    """Frames (T,S,S,3) uint8 at 25 fps of one clip; `options` are those of `SyncDreamerPipeline.__call__`."""
    return pipeline(image, samples, text, seed, **options)[0]


def generate_batch(
    pipeline: SyncDreamerPipeline,
    images: Sequence[NDArray[np.uint8]],
    sounds: Sequence[NDArray[np.float32]],
    texts: Sequence[str],
    seeds: Sequence[int],
    **options: Any,
) -> list[NDArray[np.uint8]]:
    """Frames of each clip, in batches of similar length; the order is the input's."""
    order = sorted(range(len(texts)), key=lambda index: (-len(sounds[index]), index))
    made: dict[int, NDArray[np.uint8]] = {}
    for begin in range(0, len(order), BATCH):
        part = order[begin : begin + BATCH]
        clips = pipeline(
            [images[i] for i in part], [sounds[i] for i in part], [texts[i] for i in part],
            [seeds[i] for i in part], **options,
        )  # fmt: skip
        made |= dict(zip(part, clips, strict=True))
    return [made[index] for index in range(len(texts))]


def generate_file(
    pipeline: SyncDreamerPipeline,
    image: Path,
    audio: Path,
    text: str,
    out: Path,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Writes a playable mp4 with the given sound."""
    samples = read_audio(audio)
    frames = generate(pipeline, read_image(image), samples, text, seed, **options)
    return write_video(out, frames, samples)
