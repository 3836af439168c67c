"""What the generator shows of a clip: of a close-up, the square in which the face takes a fixed share.

Heads of one size at one place let a small generator spend its effort on what moves. Curated clips stay wider:
captions need the clothes and the place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from components.core.pictures import Square, face_square
from components.core.vocabulary import FRAMINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip

CLOSE_UP = FRAMINGS[0]


def framed(clip: CuratedClip, share: float) -> CuratedClip:
    """A close-up cut to the square of its median face, boxes, keypoints and regions moved with the frames;
    a wider framing as it is. The face takes `share` of the square's height."""
    if clip.framing != CLOSE_UP:
        return clip
    height, width = clip.frames.shape[1:3]
    square = face_square(clip.boxes, 1 / share, height, width)
    offset = np.array([square.left, square.top], np.float32)
    return replace(
        clip,
        frames=square.cut(clip.frames),
        boxes=clip.boxes - np.tile(offset, 2),
        keypoints=clip.keypoints - offset,
        regions=cut_planes(clip.regions, square, width),
    )


def cut_planes(planes: NDArray[np.float32], square: Square, pixels: int) -> NDArray[np.float32]:
    """Planes (T,R,g,g) over a square picture of `pixels` a side → (T,R,g,g) over `square` of it."""
    import cv2

    cell = np.arange(planes.shape[-1]) + 0.5

    def places(begin: int) -> NDArray[np.float32]:
        return ((cell * square.side + begin * planes.shape[-1]) / pixels - 0.5).astype(np.float32)

    x, y = np.meshgrid(places(square.left), places(square.top))
    cut = [
        cv2.remap(frame.transpose(1, 2, 0), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for frame in planes
    ]
    return np.stack(cut).transpose(0, 3, 1, 2)
