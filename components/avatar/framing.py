"""What the generator shows of a clip: of a close-up, the square in which the face takes a fixed share.

Heads of one size at one place let a small generator spend its effort on what moves. Curated clips stay wider:
captions need the clothes and the place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.pictures import Square, face_square, similarity
from components.core.vocabulary import FRAMINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip

CLOSE_UP = FRAMINGS[0]
ANCHORS = [0, 1, 2]
"""Eyes and nose of BlazeFace's points; the mouth moves by itself."""
SMOOTHING = 1.5
"""Standard deviation in frames."""


def framed(clip: CuratedClip, share: float, follow: bool = False) -> CuratedClip:
    """A close-up cut to the square of its median face, boxes, keypoints and regions moved with the frames;
    a wider framing as it is. The face takes `share` of the square's height. follow: see `followed`."""
    if clip.framing != CLOSE_UP:
        return clip
    if follow:
        clip = followed(clip)
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


def followed(clip: CuratedClip) -> CuratedClip:
    """The clip with its head held still: each frame is moved, turned and scaled so that eyes and nose come to
    lie where they lie in the clip's middle; turns of the head and all that the face does stay.

    Nothing in sound or text tells where a swaying head is: a small generator that answers with the mean of
    what may come smears the face over its ways. As in the crops of Wav2Lip and LatentSync.
    """
    import cv2

    anchors = _smooth(clip.keypoints[:, ANCHORS].astype(np.float64))
    middle = np.median(anchors, axis=0)
    side, cells = clip.frames.shape[1], clip.regions.shape[-1]
    frames, regions = np.empty_like(clip.frames), np.empty_like(clip.regions)
    boxes, keypoints = np.empty_like(clip.boxes), np.empty_like(clip.keypoints)
    for index, points in enumerate(anchors):
        move = similarity(points, middle)
        frames[index] = _moved(clip.frames[index], move, 1.0, cv2.INTER_CUBIC)
        planes = clip.regions[index].transpose(1, 2, 0)
        regions[index] = _moved(planes, move, cells / side, cv2.INTER_LINEAR).transpose(2, 0, 1)
        keypoints[index] = clip.keypoints[index] @ move[:, :2].T + move[:, 2]
        corners = clip.boxes[index].reshape(2, 2)
        half = np.hypot(*move[0, :2]) * (corners[1] - corners[0]) / 2
        centre = move[:, :2] @ corners.mean(0) + move[:, 2]
        boxes[index] = np.concatenate([centre - half, centre + half])
    return replace(clip, frames=frames, regions=regions, boxes=boxes, keypoints=keypoints)


def _smooth(tracks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,…) over time by a Gaussian, so that the detector's trembling does not shake the picture."""
    reach = int(3 * SMOOTHING)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTHING) ** 2)
    padded = np.pad(tracks, [(reach, reach)] + [(0, 0)] * (tracks.ndim - 1), mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return near @ (weights / weights.sum())


def _moved(picture: NDArray[Any], move: NDArray[np.float64], scale: float, way: int) -> NDArray[Any]:
    """A picture (S,S,C) whose places are `scale` of the pixels that `move` is said in; edges are repeated."""
    import cv2

    matrix = move.copy()
    # A pixel's middle is half a pixel from its corner: cv2 counts from middles, `move` from corners.
    matrix[:, 2] = scale * move[:, 2] + 0.5 * (move[:, :2].sum(1) - 1)
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, matrix, size, flags=way, borderMode=cv2.BORDER_REPLICATE)


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
