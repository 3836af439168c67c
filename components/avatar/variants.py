"""Other people out of a clip: mirrored, faces of other proportions, light and colours of another kind.

A few dozen people are learnt by heart: the generator then draws the nearest of them where it should draw the
person of the reference. A variant changes a whole clip and its references alike, so that only the reference
tells who it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip

STRETCH, TAPER, TURN, GAIN, GAMMA = 0.09, 0.25, 0.35, 0.15, 0.2
"""Largest log stretch of a side, widening of the jaw against the brow, turn of the hues (radians), log gain
of a colour and log gamma."""
MIRRORED_KEYPOINTS = [1, 0, 2, 3, 5, 4]
"""BlazeFace's six points after mirroring: right and left eye, nose, mouth, right and left ear."""


@dataclass(frozen=True)
class Variant:
    """mirrored; stretch (2,) of width and height; taper; turn of the hues; gains (3,); gamma."""

    mirrored: bool
    stretch: tuple[float, float]
    taper: float
    turn: float
    gains: tuple[float, float, float]
    gamma: float


def variant(seed: int, clip_id: str, number: int) -> Variant | None:
    """The number-th variant of a clip, None for 0: the clip itself. Odd ones are mirrored."""
    if number == 0:
        return None
    rng = np.random.default_rng(derive(seed, "variant", clip_id, number))
    wide, high = np.exp(rng.uniform(-STRETCH, STRETCH, 2)).tolist()
    taper, turn = float(rng.uniform(-TAPER, TAPER)), float(rng.uniform(-TURN, TURN))
    red, green, blue = np.exp(rng.uniform(-GAIN, GAIN, 3)).tolist()
    gamma = float(np.exp(rng.uniform(-GAMMA, GAMMA)))
    return Variant(number % 2 == 1, (wide, high), taper, turn, (red, green, blue), gamma)


def varied(clip: CuratedClip, made: Variant | None) -> CuratedClip:
    """The clip so changed; boxes, keypoints and regions move with the picture."""
    if made is None:
        return clip
    import cv2

    height, width = clip.frames.shape[1:3]
    grid = clip.regions.shape[-1]
    pixel_map = _source_places(made, width, height)
    cell_map = _source_places(made, grid, grid)
    frames = np.stack([
        cv2.remap(frame, *pixel_map, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for frame in clip.frames
    ])  # fmt: skip
    regions = np.stack([
        cv2.remap(planes.transpose(1, 2, 0), *cell_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for planes in clip.regions
    ]).transpose(0, 3, 1, 2)  # fmt: skip
    keypoints = _moved(clip.keypoints, made, width, height)
    corners = _moved(clip.boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]], made, width, height)
    if made.mirrored:
        keypoints = keypoints[:, MIRRORED_KEYPOINTS]
    return replace(
        clip,
        frames=_coloured(frames, made),
        boxes=np.concatenate([corners.min(1), corners.max(1)], 1).astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        regions=np.ascontiguousarray(regions),
    )


def _source_places(made: Variant, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each place of the variant, (H,W) each of x and y, comes from."""
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    if made.mirrored:
        x = -x
    across = x / made.stretch[0] / (1 + made.taper * y / height)
    down = y / made.stretch[1]
    return (across + width / 2 - 0.5).astype(np.float32), (down + height / 2 - 0.5).astype(np.float32)


def _moved(points: NDArray[np.float32], made: Variant, width: int, height: int) -> NDArray[np.float64]:
    """Points (…,2) in pixels of the clip → of the variant; the inverse of `_source_places`."""
    across, down = points[..., 0].astype(np.float64) - width / 2, points[..., 1] - height / 2
    y = down * made.stretch[1]
    x = across * made.stretch[0] * (1 + made.taper * y / height)
    return np.stack([width / 2 - x if made.mirrored else width / 2 + x, y + height / 2], -1)


def _coloured(frames: NDArray[np.uint8], made: Variant) -> NDArray[np.uint8]:
    """Gamma and gains by table, then the hues turned about grey, which stays grey."""
    levels = (np.arange(256) / 255) ** made.gamma
    tables = [np.clip(levels * gain, 0, 1).astype(np.float32) for gain in made.gains]
    light = np.stack([table[frames[..., plane]] for plane, table in enumerate(tables)], -1)
    cosine, sine = np.cos(made.turn), np.sin(made.turn) / np.sqrt(3)
    same = cosine + (1 - cosine) / 3
    one, other = (1 - cosine) / 3 - sine, (1 - cosine) / 3 + sine
    matrix = np.array([[same, one, other], [other, same, one], [one, other, same]], np.float32)
    turned = light.reshape(-1, 3) @ matrix.T
    return (np.clip(turned, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(frames.shape)


def mirrored_words(
    caption: str, actions: tuple[dict[str, Any], ...]
) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Caption and actions of the mirrored clip: left is right."""
    swap = {"left": "right", "right": "left"}

    def swapped(text: str) -> str:
        return re.sub(r"left|right", lambda found: swap[found.group()], text)

    return swapped(caption), tuple({**each, "action": swapped(each["action"])} for each in actions)
