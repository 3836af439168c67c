"""Square pictures: where the square lies, cutting it out, bringing it to a size. One home for all rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Square:
    """Pixels left … left+side-1 and top … top+side-1 of a picture; it may reach beyond the edges."""

    left: int
    top: int
    side: int

    def cut(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(T,H,W,3) → (T,side,side,3); edge pixels are repeated beyond the picture."""
        import numpy as np

        height, width = frames.shape[1:3]
        right, bottom = self.left + self.side, self.top + self.side
        if self.left >= 0 and self.top >= 0 and right <= width and bottom <= height:
            return np.ascontiguousarray(frames[:, self.top : bottom, self.left : right])
        rows = np.clip(np.arange(self.top, bottom), 0, height - 1)
        columns = np.clip(np.arange(self.left, right), 0, width - 1)
        return np.ascontiguousarray(frames[:, rows[:, None], columns])


def face_square(boxes: NDArray[np.float32], scale: float, height: int, width: int) -> Square:
    """The square of `scale` face heights around the median of face boxes (T,4), in a picture height × width.

    It is moved into the picture where it fits.
    """
    import numpy as np

    middle = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
    side = max(1, round(scale * float(np.median(boxes[:, 3] - boxes[:, 1]))))
    left, top = round(float(middle[0]) - side / 2), round(float(middle[1]) - side / 2)
    if side <= min(height, width):
        left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return Square(left, top, side)


def resized(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Square frames (T,S,S,3) → (T,size,size,3): area-averaged when smaller, cubic when larger."""
    import cv2
    import numpy as np

    if frames.shape[1] == size:
        return frames
    way = cv2.INTER_AREA if frames.shape[1] > size else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (size, size), interpolation=way) for frame in frames])


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2×3 matrix of rotation, one scale and shift that best maps points (P,2) to points (P,2)."""
    import numpy as np

    a, b = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    spread = (np.abs(a - a.mean()) ** 2).sum()
    turn = ((b - b.mean()) * (a - a.mean()).conj()).sum() / max(spread, 1e-12)
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
