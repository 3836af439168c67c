"""FVD: the conventions that published figures follow, each by its name. They are not comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from components.core.errors import InputError
from components.evaluation.metrics.functional.frechet import frechet_distance_from_features

SIDE = 224
FEWEST_FRAMES = 10
"""Fewer break I3D's last pooling over time."""


@dataclass(frozen=True)
class VideoConvention:
    """How one evaluator prepares frames and fits covariances.

    inside: the torchscript file itself resizes and rescales (uint8 values go in). unbiased: covariances
    divide by N−1. crop: short side to 224 and centre crop, otherwise stretched to 224×224.
    """

    name: str
    inside: bool
    unbiased: bool
    crop: bool
    source: str


CONVENTIONS = {
    c.name: c
    for c in (
        VideoConvention("styleganv", True, False, False, "universome/stylegan-v, frechet_video_distance.py"),
        VideoConvention("common_metrics", False, True, True, "JunyaoHu/common_metrics_on_video_quality"),
        VideoConvention("tensorflow", False, True, False, "google-research/frechet_video_distance"),
    )
}


def convention_named(name: str) -> VideoConvention:
    """The convention of that name.

    Raises:
        InputError: there is none; the message lists them.
    """
    if name not in CONVENTIONS:
        raise InputError(f"unknown FVD convention {name!r}; known are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def video_window(frames: Tensor, length: int) -> Tensor:
    """The first `length` frames (16 and 128 are the published windows) of frames (T,…).

    Raises:
        InputError: the window is shorter than I3D can take, or the clip is shorter than the window.
    """
    if length < FEWEST_FRAMES:
        raise InputError(f"FVD needs windows of at least {FEWEST_FRAMES} frames, got {length}")
    if len(frames) < length:
        raise InputError(f"FVD over {length} frames: the clip has only {len(frames)}")
    return frames[:length]


def fvd_input(frames: Tensor, convention: str) -> Tensor:
    """Frames of one clip as the convention hands them to I3D.

    Args:
        frames: (T,3,H,W) uint8, T ≥ 10. convention: a name of `CONVENTIONS`.

    Returns:
        (3,T,H,W) float32 in 0…255 for styleganv, (3,T,224,224) in [-1,1] for the others.

    Raises:
        InputError: unknown convention, other shape or type, too few frames.
    """
    how = convention_named(convention)
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise InputError(f"FVD needs frames (T,3,H,W) uint8, got {frames.dtype} {tuple(frames.shape)}")
    if len(frames) < FEWEST_FRAMES:
        raise InputError(f"FVD needs at least {FEWEST_FRAMES} frames a clip, got {len(frames)}")
    pictures = frames.float()
    if not how.inside:
        pictures = _cropped(pictures / 255) if how.crop else _resized(pictures / 255, (SIDE, SIDE))
        pictures = (pictures - 0.5) * 2
    return pictures.permute(1, 0, 2, 3).contiguous()


def _cropped(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    scale = SIDE / min(height, width)
    size = (SIDE, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), SIDE)
    pictures = _resized(pictures, size)
    top, left = (pictures.shape[-2] - SIDE) // 2, (pictures.shape[-1] - SIDE) // 2
    return pictures[..., top : top + SIDE, left : left + SIDE]


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.nn.functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


def frechet_video_distance(x: Tensor, y: Tensor, convention: str) -> Tensor:
    """Fréchet distance of I3D features (N,D) and (M,D), covariances as the convention divides them.

    Raises:
        InputError: unknown convention, or as `frechet_distance_from_features`.
    """
    return frechet_distance_from_features(x, y, unbiased=convention_named(convention).unbiased)
