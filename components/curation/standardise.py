"""The uniform form of a kept clip: square crop, 25 fps mp4, 16 kHz wav, geometry and region masks."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.core.media import encode_video, encode_wav
from components.curation.steps.decode import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.curation.steps.faces import Track


@dataclass(frozen=True)
class Crop:
    """A square of the frame: left, top and side in pixels of the frame; it may reach beyond the edges."""

    left: int
    top: int
    side: int


def choose_crop(boxes: NDArray[np.float32], height: int, width: int, close_up: bool, scale: float) -> Crop:
    """One square for the whole clip, so that the picture does not sway.

    Close-ups: `scale` face heights around the middle of the face (moved inside the frame where that is
    possible). Wider framings: the whole frame, the longer side padded to a square.
    """
    import numpy as np

    if not close_up:
        side = max(height, width)
        return Crop((width - side) // 2, (height - side) // 2, side)
    middle = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    side = int(round(min(scale * tall, height, width)))
    left = int(round(float(middle[0]) - side / 2))
    top = int(round(float(middle[1]) - side / 2))
    return Crop(min(max(left, 0), width - side), min(max(top, 0), height - side), side)


def cut_square(frames: NDArray[np.uint8], crop: Crop, size: int) -> NDArray[np.uint8]:
    """(T,size,size,3): the crop of frames (T,H,W,3), edge pixels repeated where it leaves the frame."""
    import cv2
    import numpy as np

    height, width = frames.shape[1:3]
    rows = np.clip(np.arange(crop.top, crop.top + crop.side), 0, height - 1)
    columns = np.clip(np.arange(crop.left, crop.left + crop.side), 0, width - 1)
    inside = (
        crop.left >= 0 and crop.top >= 0 and crop.left + crop.side <= width and crop.top + crop.side <= height
    )
    way = cv2.INTER_AREA if crop.side > size else cv2.INTER_CUBIC
    squares = np.empty((len(frames), size, size, 3), np.uint8)
    for index, frame in enumerate(frames):
        square = (
            frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if inside else frame[rows][:, columns]
        )
        squares[index] = square if crop.side == size else cv2.resize(square, (size, size), interpolation=way)
    return squares


def aligned(length: int, shift: int) -> tuple[slice, slice]:
    """Frames and the frames' worth of sound that belong together once the sound is moved by `shift` frames.

    shift > 0: the sound came early and is moved back; the pictures before its start are left out. The clip
    loses |shift| frames and gains no made-up silence.
    """
    if shift >= 0:
        return slice(shift, length), slice(0, length - shift)
    return slice(0, length + shift), slice(-shift, length)


def package(
    frames: NDArray[np.uint8],
    samples: NDArray[np.float32] | None,
    track: Track,
    mesh: dict[int, NDArray[np.float32]],
    *,
    shift: int,
    close_up: bool,
    scale: float,
    size: int,
    crf: int,
    grid: int,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The parts mp4, wav (with sound) and npz of one clip, and the geometry that goes into its json.

    frames (T,H,W,3) at 25 fps, samples (640·T,), mesh: landmarks (478,3) by frame, all before the shift.
    """
    import numpy as np

    from components.curation.steps.regions import masks

    pictures, sound = aligned(len(frames), shift)
    height, width = frames.shape[1:3]
    crop = choose_crop(track.boxes[pictures], height, width, close_up, scale)
    squares = cut_square(frames[pictures], crop, size)
    factor = size / crop.side
    corner = np.array([crop.left, crop.top], np.float32)
    boxes = (track.boxes[pictures] - np.tile(corner, 2)) * factor
    keypoints = (track.keypoints[pictures] - corner) * factor
    parts: dict[str, bytes] = {}
    heard = None
    if samples is not None:
        heard = samples[sound.start * SAMPLES_PER_FRAME : sound.stop * SAMPLES_PER_FRAME]
        parts["wav"] = encode_wav(heard)
    parts["mp4"] = encode_video(squares, heard, crf=crf)
    places, points, cells = [], [], []
    for index in sorted(mesh):
        place = index - pictures.start
        if not 0 <= place < len(squares):
            continue
        moved = mesh[index].copy()
        moved[:, :2] = (moved[:, :2] - corner) * factor
        moved[:, 2] *= factor
        places.append(place)
        points.append(moved.astype(np.float16))
        cells.append(masks(squares[place], moved, grid, hands=not close_up))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        landmark_frames=np.array(places, np.int32),
        landmarks=np.array(points, np.float16).reshape(-1, 478, 3),
        masks=np.array(cells, np.uint8).reshape(-1, 5, grid, grid),
    )
    parts["npz"] = buffer.getvalue()
    geometry = {
        "crop": [crop.left, crop.top, crop.side],
        "size": size,
        "boxes": np.round(boxes.astype(float), 2).tolist(),
        "keypoints": np.round(keypoints.astype(float), 2).tolist(),
    }
    return parts, geometry
