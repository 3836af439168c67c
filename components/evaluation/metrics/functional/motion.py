"""Metrics of motion and of consistency over time."""

from __future__ import annotations

import torch
from torch import Tensor

from components.core.errors import InputError


def beat_alignment(motion_times: Tensor, music_times: Tensor, sigma: float = 0.05) -> Tensor:
    """Mean over motion beats of exp(−d²/2σ²), d the distance to the nearest music beat (motion → music).

    Args:
        motion_times: (A,) seconds of kinematic beats. music_times: (B,) seconds. sigma: seconds, > 0.

    Returns:
        A float64 scalar in [0, 1]; 0 without motion beats or without music beats.

    Raises:
        InputError: `sigma` is not positive, or a time is not finite or not one-dimensional.
    """
    if not sigma > 0:
        raise InputError(f"sigma must be positive, got {sigma}")
    if motion_times.ndim != 1 or music_times.ndim != 1:
        raise InputError("beat times must be one-dimensional")
    motion, music = motion_times.detach().double(), music_times.detach().double()
    if not (bool(torch.isfinite(motion).all()) and bool(torch.isfinite(music).all())):
        raise InputError("a beat time is not finite")
    if not len(motion) or not len(music):
        return torch.zeros((), dtype=torch.float64)
    nearest = (motion[:, None] - music[None, :]).abs().amin(1)
    return torch.exp(-nearest.square() / (2 * sigma**2)).mean()


def subject_consistency(features: Tensor) -> Tensor:
    """VBench's subject consistency: mean over frames of ½(max(0, cos to previous) + max(0, cos to first)).

    Args:
        features: (T,D) one feature vector a frame, T ≥ 2.

    Returns:
        A float64 scalar in [0, 1].

    Raises:
        InputError: fewer than two frames, or a feature that is not finite or all zero.
    """
    if features.ndim != 2 or len(features) < 2:
        raise InputError(
            f"consistency needs features (T,D) of at least 2 frames, got {tuple(features.shape)}"
        )
    features = features.detach().double()
    norms = features.norm(dim=1, keepdim=True)
    if not bool(torch.isfinite(norms).all()) or bool((norms == 0).any()):
        raise InputError("a frame's feature vector is zero or not finite, so it has no direction")
    unit = features / norms
    previous = (unit[1:] * unit[:-1]).sum(1).clamp(min=0)
    first = (unit[1:] @ unit[0]).clamp(min=0)
    return ((previous + first) / 2).mean()


def temporal_flicker(frames: Tensor) -> Tensor:
    """VBench's temporal flickering: (255 − mean absolute difference of neighbouring frames) / 255.

    Args:
        frames: (T,3,H,W) on the 0–255 scale, T ≥ 2.

    Returns:
        A float64 scalar in [0, 1]; 1 for a still picture (so read it beside the ground truth's).

    Raises:
        InputError: fewer than two frames.
    """
    if frames.ndim != 4 or len(frames) < 2:
        raise InputError(f"flicker needs frames (T,3,H,W) with T ≥ 2, got {tuple(frames.shape)}")
    frames = frames.detach().double()
    return (255 - (frames[1:] - frames[:-1]).abs().mean()) / 255
