"""The uniform form of a kept clip: square crop, 25 fps mp4, 16 kHz wav, geometry and region masks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from components.core.media import encode_video, encode_wav
from components.core.pictures import Square, face_square, resized
from components.curation.steps.decode import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.curation.steps.faces import Track


def choose_crop(boxes: NDArray[np.float32], height: int, width: int, close_up: bool, scale: float) -> Square:
    """One square for the whole clip, so that the picture does not sway.

    Close-ups: `scale` face heights around the middle of the face, at most what the frame holds. Wider
    framings: the whole frame, the longer side padded to a square.
    """
    import numpy as np

    if not close_up:
        side = max(height, width)
        return Square((width - side) // 2, (height - side) // 2, side)
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    return face_square(boxes, min(scale, min(height, width) / tall), height, width)


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
    squares = resized(crop.cut(frames[pictures]), size)
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
