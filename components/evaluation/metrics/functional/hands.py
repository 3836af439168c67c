"""Hands: how surely their keypoints are seen and how much they move (HKC and HKV of EchoMimicV2).

The published formulas are not public. Ours: HKC is the mean confidence of the keypoints of the hands that
are seen; HKV the variance over time of a keypoint's position in units of the frame's height, x and y added,
mean over keypoints. A hand that is not seen in a frame is NaN there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from components.core.errors import InputError

FEWEST_LOOKS = 2
"""Frames in which a keypoint must be seen to have a variance."""


@dataclass(frozen=True)
class HandScores:
    """confidence (HKC) and variance (HKV), NaN without hands; no_hand_rate: share of frames without any."""

    confidence: float
    variance: float
    no_hand_rate: float


def hand_keypoint_scores(confidence: Tensor, positions: Tensor) -> HandScores:
    """HKC, HKV and the rate of frames without a hand.

    Args:
        confidence: (T,H,K) in [0,1] for H hands of K keypoints; NaN where the hand is not seen.
        positions: (T,H,K,2) in frame heights, NaN at the same places.

    Raises:
        InputError: no frame, other shapes, NaN at different places, or a confidence outside [0,1].
    """
    if confidence.ndim != 3 or not confidence.numel() or positions.shape != (*confidence.shape, 2):
        raise InputError(
            f"hands need confidence (T,H,K) and positions (T,H,K,2), got {tuple(confidence.shape)} and "
            f"{tuple(positions.shape)}"
        )
    confidence, positions = confidence.detach().double(), positions.detach().double()
    seen = ~torch.isnan(confidence)
    if not torch.equal(seen, torch.isfinite(positions).all(-1)):
        raise InputError("hands: a keypoint needs both a confidence and a finite position, or neither")
    if bool(((confidence < 0) | (confidence > 1)).any()):
        raise InputError("hands: a confidence lies outside [0,1]")
    counts = seen.sum(0)
    filled = torch.where(seen[..., None], positions, 0.0)
    middle = filled.sum(0) / counts.clamp(min=1)[..., None]
    spread = torch.where(seen[..., None], (positions - middle).square(), 0.0).sum((0, -1))
    moving = counts >= FEWEST_LOOKS
    return HandScores(
        confidence=float(confidence.nanmean()),
        variance=float((spread / counts.clamp(min=1))[moving].mean()),
        no_hand_rate=float((~seen.flatten(1).any(1)).double().mean()),
    )
