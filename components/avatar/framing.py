"""The square that the generator shows of a close-up: the face takes a fixed share of its height.

Heads of one size at one place let a small generator spend its effort on what moves. One rule serves training
clips (the median face of the clip) and portraits (their face).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.core.vocabulary import FRAMINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip

CLOSE_UP = FRAMINGS[0]
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Square:
    """Pixels left … left+side-1 and top … top+side-1; it may reach beyond the picture."""

    left: int
    top: int
    side: int

    def frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(T,H,W,3) → (T,side,side,3); the picture's edge is repeated beyond it."""
        right, bottom = self.left + self.side, self.top + self.side
        if self.left >= 0 and self.top >= 0 and right <= frames.shape[2] and bottom <= frames.shape[1]:
            return np.ascontiguousarray(frames[:, self.top : bottom, self.left : right])
        rows = np.clip(np.arange(self.top, bottom), 0, frames.shape[1] - 1)
        columns = np.clip(np.arange(self.left, right), 0, frames.shape[2] - 1)
        return np.ascontiguousarray(frames[:, rows[:, None], columns])

    def planes(self, planes: NDArray[np.float32], pixels: int) -> NDArray[np.float32]:
        """Planes (T,R,g,g) that cover a square picture of `pixels` a side → the same of this square."""
        import cv2

        grid = planes.shape[-1]
        cell = np.arange(grid, dtype=np.float32) + 0.5
        x = cell * (self.side / pixels) + self.left / pixels * grid - 0.5
        y = cell * (self.side / pixels) + self.top / pixels * grid - 0.5
        map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return np.stack(
            [
                cv2.remap(
                    frame.transpose(1, 2, 0), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                ).transpose(2, 0, 1)
                for frame in planes
            ]
        )

    def clip(self, clip: CuratedClip) -> CuratedClip:
        """The clip with its frames cut, and boxes, keypoints and regions moved with them."""
        offset = np.array([self.left, self.top], np.float32)
        return replace(
            clip,
            frames=self.frames(clip.frames),
            boxes=clip.boxes - np.tile(offset, 2),
            keypoints=clip.keypoints - offset,
            regions=self.planes(clip.regions, clip.frames.shape[2]),
        )


def face_square(centre: tuple[float, float], tall: float, share: float, height: int, width: int) -> Square:
    """The square of a picture (height × width) in which a face of `tall` px takes `share` of the height.

    It is moved into the picture where it fits.
    """
    side = max(SMALLEST_SIDE, round(tall / share))
    left, top = round(centre[0] - side / 2), round(centre[1] - side / 2)
    if side <= min(height, width):
        left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return Square(left, top, side)


def framed(clip: CuratedClip, share: float) -> CuratedClip:
    """A close-up cut to the square of its median face; a wider framing as it is."""
    if clip.framing != CLOSE_UP:
        return clip
    middle = np.median(clip.boxes, axis=0)
    centre = (float(middle[0] + middle[2]) / 2, float(middle[1] + middle[3]) / 2)
    return face_square(centre, float(middle[3] - middle[1]), share, *clip.frames.shape[1:3]).clip(clip)
