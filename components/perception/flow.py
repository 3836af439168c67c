"""Optical flow and in-between frames without weights (OpenCV's DIS): stand in for VBench's RAFT and AMT-S."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "opencv-dis"
"""What figures made with it are called."""
RATE = 8.0
"""Frames a second that dynamic degree looks at."""


def _method() -> Any:
    import cv2

    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def _grey(frames: NDArray[np.uint8], fewest: int) -> list[NDArray[np.uint8]]:
    import cv2

    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) < fewest:
        raise InputError(
            f"flow needs frames (T,H,W,3) uint8, T ≥ {fewest}, got {frames.dtype} {frames.shape}"
        )
    if min(frames.shape[1:3]) < 16:
        raise InputError(f"flow needs frames of at least 16 px, got {frames.shape[1:3]}")
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]


def flow(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Flow (T−1,2,H,W) px, x then y, from each frame to the next; frames (T,H,W,3) uint8, T ≥ 2.

    Raises:
        InputError: another shape or type, too few frames, or frames below 16 px.
    """
    grey, method = _grey(frames, 2), _method()
    found = [method.calc(a, b, None) for a, b in zip(grey[:-1], grey[1:], strict=True)]
    return np.stack(found).transpose(0, 3, 1, 2)


def sampled(frames: NDArray[np.uint8], fps: float) -> NDArray[np.uint8]:
    """Every round(fps/8)-th frame, as VBench samples for dynamic degree."""
    if not fps > 0:
        raise InputError(f"fps must be positive, got {fps}")
    step = max(1, round(fps / RATE))
    return frames[::step]


def in_between(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames 1, 3, 5 … predicted from their neighbours: ((T−1)//2, H, W, 3) uint8; T ≥ 3.

    Each neighbour is moved half of the way along the flow between the two, and the two are averaged.

    Raises:
        InputError: as `flow`, or fewer than three frames.
    """
    import cv2

    _grey(frames, 3)
    kept = frames[::2]
    grey, method = _grey(kept, 2), _method()
    height, width = frames.shape[1:3]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    made = []
    for index in range(len(kept) - 1):
        # Seen from the middle, the first frame lies half a flow back and the second half a flow ahead.
        onward = method.calc(grey[index], grey[index + 1], None) / 2
        parts = [
            cv2.remap(
                kept[index + side], x + sign * onward[..., 0], y + sign * onward[..., 1], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for side, sign in ((0, -1), (1, 1))
        ]  # fmt: skip
        made.append(cv2.addWeighted(parts[0], 0.5, parts[1], 0.5, 0))
    return np.stack(made)
