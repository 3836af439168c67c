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
        InputError: fewer than two frames, or a frame holds NaN.
    """
    if frames.ndim != 4 or len(frames) < 2:
        raise InputError(f"flicker needs frames (T,3,H,W) with T ≥ 2, got {tuple(frames.shape)}")
    frames = frames.detach().double()
    score = (255 - (frames[1:] - frames[:-1]).abs().mean()) / 255
    if not bool(torch.isfinite(score)):
        raise InputError("flicker: a frame holds NaN or infinite values")
    return score


def motion_smoothness(frames: Tensor, interpolated: Tensor) -> Tensor:
    """VBench's motion smoothness: (255 − mean absolute error of interpolated odd frames) / 255.

    Frame 2k+1 is predicted from frames 2k and 2k+2 (VBench does it with AMT-S; another interpolator makes it
    another metric and needs another name). A last frame without a right neighbour is left out.

    Args:
        frames: (T,3,H,W) on the 0–255 scale, T ≥ 3.
        interpolated: ((T−1)//2, 3, H, W), the predictions of frames 1, 3, 5 …, same scale.

    Returns:
        A float64 scalar in [0, 1].

    Raises:
        InputError: too few frames, other shapes, or a value that is not finite.
    """
    if frames.ndim != 4 or len(frames) < 3:
        raise InputError(f"smoothness needs frames (T,3,H,W) with T ≥ 3, got {tuple(frames.shape)}")
    wanted = frames[1::2][: (len(frames) - 1) // 2]
    if interpolated.shape != wanted.shape:
        raise InputError(
            f"smoothness needs interpolated frames {tuple(wanted.shape)}, got {tuple(interpolated.shape)}"
        )
    score = (255 - (wanted.detach().double() - interpolated.detach().double()).abs().mean()) / 255
    if not bool(torch.isfinite(score)):
        raise InputError("smoothness: a frame holds NaN or infinite values")
    return score


FLOW_SHARE = 0.05
"""Share of the pixels, the fastest, whose mean speed is a pair's motion."""


def flow_speed(flow: Tensor) -> Tensor:
    """Mean length of the fastest 5% of the flow vectors: (P,2,H,W) px → (P,) float64 (VBench).

    Raises:
        InputError: not (P,2,H,W), fewer than 20 pixels, or a value that is not finite.
    """
    if flow.ndim != 4 or flow.shape[1] != 2 or not len(flow):
        raise InputError(f"flow must be (P,2,H,W), got {tuple(flow.shape)}")
    count = int(flow.shape[2] * flow.shape[3] * FLOW_SHARE)
    if not count:
        raise InputError(f"flow of {tuple(flow.shape[2:])} pixels is too small: 5% of it is no pixel")
    lengths = flow.detach().double().square().sum(1).sqrt().flatten(1)
    if not bool(torch.isfinite(lengths).all()):
        raise InputError("flow holds NaN or infinite values")
    return lengths.topk(count, dim=1).values.mean(1)


def dynamic_degree(flow: Tensor, fps: float = 8.0) -> Tensor:
    """VBench's dynamic degree of one clip: 1 when enough of its frames move, else 0.

    A pair moves when `flow_speed` exceeds 6·min(H,W)/256 px (× 8/fps below 8 fps); a clip of F = P+1 frames
    moves when round(F/4) pairs do. VBench takes every round(fps/8)-th frame and RAFT's flow; another flow
    makes it another metric and needs another name.

    Args:
        flow: (P,2,H,W) px between successive sampled frames. fps: the video's own rate.

    Returns:
        A float64 scalar, 0 or 1; its mean over clips is the published figure.

    Raises:
        InputError: as `flow_speed`; fps not positive; so few frames that none need move (P < 2).
    """
    if not fps > 0:
        raise InputError(f"fps must be positive, got {fps}")
    speeds = flow_speed(flow)
    needed = round(4 * ((len(speeds) + 1) / 16))
    if needed < 1:
        raise InputError(f"dynamic degree needs at least 3 frames, got {len(speeds) + 1}")
    threshold = max(1.0, 8.0 / fps) * 6.0 * (min(flow.shape[-2:]) / 256.0)
    return (int((speeds > threshold).sum()) >= needed) * torch.ones((), dtype=torch.float64)


def kinematic_beats(joints: Tensor, fps: float = 25.0) -> Tensor:
    """Kinematic beats: local minima of the summed speed of all joints, in seconds.

    Args:
        joints: (T,J,2) or (T,J,3) positions, T ≥ 4. fps: frames a second.

    Returns:
        (A,) float64 seconds, rising. Speed k lies between frames k and k+1; a flat minimum counts once.

    Raises:
        InputError: too few frames, fps not positive, or a position that is not finite.
    """
    if joints.ndim != 3 or len(joints) < 4 or not fps > 0:
        raise InputError(
            f"kinematic beats need joints (T,J,2|3), T ≥ 4, and fps > 0; got {tuple(joints.shape)}, {fps}"
        )
    speed = (joints[1:] - joints[:-1]).detach().double().norm(dim=2).sum(1)
    if not bool(torch.isfinite(speed).all()):
        raise InputError("a joint's position is not finite")
    values, lengths = torch.unique_consecutive(speed, return_counts=True)
    ends = lengths.cumsum(0)
    middles = (ends - lengths + (ends - 1)).double() / 2
    low = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
    return (middles[1:-1][low] + 0.5) / fps


def seam_score(frames: Tensor, seams: Tensor, reach: int = 12) -> Tensor:
    """How visible the seams of a video made in pieces are: mean change across a seam over the usual change.

    Change is the mean absolute difference of neighbouring frames; usual is its median over up to `reach`
    steps on each side that are no seams. 1: a seam changes what any step changes. Our own definition: no
    published one is known to us.

    Args:
        frames: (T,…) pictures (any scale) or latents. seams: (S,) first frames of the later pieces.
        reach: steps looked at on each side.

    Returns:
        A float64 scalar ≥ 0; 1 for a seam in a still picture, infinite where only the seam changes.

    Raises:
        InputError: no seam, one outside 1…T−1, no ordinary step beside one, or a value that is not finite.
    """
    places = [int(place) for place in seams]
    if not places or reach < 1:
        raise InputError("seam score needs at least one seam and a reach of at least one step")
    if min(places) < 1 or max(places) >= len(frames):
        raise InputError(f"a seam lies outside frames 1…{len(frames) - 1}: {places}")
    moving = frames.detach().double()
    change = (moving[1:] - moving[:-1]).abs().flatten(1).mean(1)
    if not bool(torch.isfinite(change).all()):
        raise InputError("seam score: a frame holds NaN or infinite values")
    ratios = []
    for place in places:
        step = place - 1
        near = range(max(0, step - reach), min(len(change), step + reach + 1))
        usual = [float(change[other]) for other in near if other + 1 not in places]
        if not usual:
            raise InputError(f"no ordinary step within {reach} of the seam at frame {place}")
        middle, here = float(torch.tensor(usual, dtype=torch.float64).median()), float(change[step])
        ratios.append(here / middle if middle else (1.0 if not here else float("inf")))
    return torch.tensor(ratios, dtype=torch.float64).mean()
