"""Faces in frames: BlazeFace boxes and key points, the 478-point mesh, crops. Bundled mediapipe models.

Coordinates are pixels of the frame that was given, x to the right, y down.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIGHT_EYE, LEFT_EYE, NOSE, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)
"""Rows of `Face.keypoints`; right and left are the person's own."""

SMALL_FACE = 0.16
"""Below this share of the frame's short side (or with no face at all) the frame is searched in tiles."""


@dataclass(frozen=True)
class Face:
    """A detected face: box (x0,y0,x1,y1) px, score in [0,1], keypoints (6,2) px (see `RIGHT_EYE` …)."""

    box: tuple[float, float, float, float]
    score: float
    keypoints: NDArray[np.float32]

    @property
    def size(self) -> float:
        """The longer side of the box, px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box, px."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def scaled(self, factor: float, dx: float = 0.0, dy: float = 0.0) -> Face:
        """The same face in coordinates multiplied by `factor` and then moved by (dx, dy)."""
        x0, y0, x1, y1 = self.box
        box = (x0 * factor + dx, y0 * factor + dy, x1 * factor + dx, y1 * factor + dy)
        return Face(box, self.score, (self.keypoints * factor + (dx, dy)).astype("float32"))


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what native libraries write to standard error; Python's own exceptions pass untouched."""
    try:
        target = sys.__stderr__.fileno() if sys.__stderr__ else 2
        saved = os.dup(target)
    except (OSError, ValueError):
        yield
        return
    hole = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(hole, target)
        yield
    finally:
        os.dup2(saved, target)
        os.close(saved)
        os.close(hole)


def _solutions() -> Any:
    """mediapipe's Python solutions, imported without their chatter."""
    import warnings

    os.environ.setdefault("GLOG_minloglevel", "2")
    warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype", category=UserWarning)
    with quiet():
        import mediapipe

        return mediapipe.solutions


def _checked(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 8:
        raise InputError(f"a frame must be (H,W,3) uint8 of at least 8 px, got {frame.dtype} {frame.shape}")
    return np.ascontiguousarray(frame)


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes, in [0,1]."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (a, b)]
    return shared / (sum(areas) - shared)


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Non-maximum suppression, best score first; a box inside a better one goes too."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-f.score, f.box)):
        x, y = face.centre
        inside = any(k.box[0] <= x <= k.box[2] and k.box[1] <= y <= k.box[3] for k in kept)
        if not inside and all(overlap(face, k) < 0.3 for k in kept):
            kept.append(face)
    return kept


class FaceDetector:
    """BlazeFace: the short-range model on the frame, then on tiles when faces are small or none is found.

    Args:
        min_score: detections below it are dropped, in (0,1].
    """

    def __init__(self, min_score: float = 0.5) -> None:
        if not 0 < min_score <= 1:
            raise InputError(f"min_score must be in (0,1], got {min_score}")
        self.min_score = min_score
        self._models: dict[int, Any] = {}

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the native graphs; a later `detect` makes new ones."""
        for model in self._models.values():
            model.close()
        self._models.clear()

    def _process(self, frame: NDArray[np.uint8], model: int = 0) -> list[Face]:
        import numpy as np

        if model in self._models:
            found = self._models[model].process(frame)
        else:
            solutions = _solutions()
            with quiet():
                self._models[model] = solutions.face_detection.FaceDetection(
                    model_selection=model, min_detection_confidence=self.min_score
                )
                found = self._models[model].process(frame)
        height, width = frame.shape[:2]
        faces = []
        for detection in found.detections or []:
            place = detection.location_data
            box = place.relative_bounding_box
            points = [(p.x * width, p.y * height) for p in place.relative_keypoints]
            x0, y0 = box.xmin * width, box.ymin * height
            corners = (x0, y0, x0 + box.width * width, y0 + box.height * height)
            faces.append(Face(corners, float(detection.score[0]), np.asarray(points, np.float32)))
        return faces

    def detect(self, frame: NDArray[np.uint8], *, tiles: bool = True) -> list[Face]:
        """All faces of a frame (H,W,3) uint8, largest first.

        `tiles=False` keeps to one pass over the whole frame (fast; misses faces under about 15% of it).
        """
        frame = _checked(frame)
        faces = _distinct(self._process(frame))
        short = min(frame.shape[:2])
        if tiles and (not faces or max(f.size for f in faces) < SMALL_FACE * short):
            faces = _distinct([*faces, *self._tiled(frame, short)])
        return sorted(faces, key=lambda f: (-f.size, f.box))

    def _tiled(self, frame: NDArray[np.uint8], short: int) -> list[Face]:
        """Faces found in half-overlapping square tiles of half the frame's short side."""
        import numpy as np

        side = max(48, short // 2)
        found: list[Face] = []
        for top in _starts(frame.shape[0], side):
            for left in _starts(frame.shape[1], side):
                tile = np.ascontiguousarray(frame[top : top + side, left : left + side])
                if min(tile.shape[:2]) < 8 or tile.std() < 2:
                    continue
                found += [f.scaled(1.0, left, top) for f in self._process(tile)]
        border = 0.04 * side
        return [f for f in found if border < f.size < 0.9 * side]

    def near(self, frame: NDArray[np.uint8], last: Face) -> Face | None:
        """The face that continues `last` in the next frame, looked for in a window 3.2 times its size."""
        window, left, top, scale = _window(_checked(frame), last.centre, 3.2 * last.size, 128)
        faces = [f.scaled(1 / scale, left, top) for f in self._process(window)]
        faces = [f for f in faces if overlap(f, last) > 0.1]
        return max(faces, key=lambda f: (overlap(f, last), f.score), default=None)


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - side) // (side // 2))
    return [round(i * (length - side) / count) for i in range(count + 1)]


def _window(
    frame: NDArray[np.uint8], centre: tuple[float, float], side: float, size: int
) -> tuple[NDArray[np.uint8], float, float, float]:
    """A square around `centre`, edge pixels repeated beyond the frame, resized to (size,size,3).

    Returns the window, the frame coordinates of its top-left corner, and its scale (window px a frame px).
    """
    import cv2
    import numpy as np

    side = max(side, 4.0)
    scale = size / side
    left, top = centre[0] - side / 2, centre[1] - side / 2
    # Pixel centres: the middle of window pixel u is frame coordinate left + (u + .5) / scale - .5.
    matrix = np.array(
        [[scale, 0, -left * scale + 0.5 * (scale - 1)], [0, scale, -top * scale + 0.5 * (scale - 1)]]
    )
    source = frame
    if scale < 0.6:  # average first, else warping would alias
        factor = int(np.floor(1 / scale + 0.4))
        if factor > 1:
            height, width = frame.shape[0] // factor, frame.shape[1] // factor
            source = cv2.resize(
                frame[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA
            )
            inner = scale * factor
            matrix = np.array(
                [
                    [inner, 0, -left * scale + 0.5 * (inner - 1)],
                    [0, inner, -top * scale + 0.5 * (inner - 1)],
                ]
            )
    window = cv2.warpAffine(
        source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return window, left, top, scale


def crop_face(
    frame: NDArray[np.uint8], face: Face, size: int = 112, margin: float = 0.35
) -> NDArray[np.uint8]:
    """A square face crop (size,size,3) uint8, centred on the box, its side (1 + margin) · face size."""
    x, y = face.centre
    return _window(_checked(frame), (x, y - 0.04 * face.size), (1 + margin) * face.size, size)[0]


def mouth_crop(frame: NDArray[np.uint8], face: Face, size: int = 48) -> NDArray[np.uint8]:
    """Mouth and chin as (size,size,3) uint8: side 0.62 · face size, centred just below the mouth point."""
    x, y = face.keypoints[MOUTH]
    return _window(_checked(frame), (float(x), float(y) + 0.04 * face.size), 0.62 * face.size, size)[0]


def track_face(
    frames: NDArray[np.uint8], detector: FaceDetector, stride: int = 1, smooth: float = 1.5
) -> list[Face] | None:
    """The largest face of a clip, followed and smoothed over time: one Face a frame.

    Args:
        frames: (T,H,W,3) uint8.
        stride: the detector looks at every stride-th frame (and the last); between them is interpolated.
        smooth: σ in frames of the Gaussian over box and key points (blinks and lip movement make them jump).

    Returns:
        None when no face is found in more than half of the frames looked at.
    """
    import numpy as np

    looked = sorted({*range(0, len(frames), stride), len(frames) - 1})
    last: Face | None = None
    found: list[tuple[int, Face]] = []
    for index in looked:
        face = detector.near(frames[index], last) if last is not None else None
        if face is None:
            face = next(iter(detector.detect(frames[index])), None)
            if face is not None and last is not None and overlap(face, last) < 0.05:
                face = None
        if face is not None:
            last = face
            found.append((index, face))
    if len(found) * 2 < len(looked):
        return None
    times = np.array([index for index, _ in found], np.float64)
    values = np.array([[*face.box, *face.keypoints.ravel(), face.score] for _, face in found])
    every = np.arange(len(frames))
    dense = np.stack([np.interp(every, times, column) for column in values.T], axis=1)
    dense = _smoothed(dense, smooth)
    return [
        Face(
            (float(row[0]), float(row[1]), float(row[2]), float(row[3])),
            float(row[16]),
            row[4:16].reshape(6, 2).astype(np.float32),
        )
        for row in dense
    ]


def _smoothed(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian along axis 0 with mirrored ends."""
    import numpy as np

    if sigma <= 0 or len(values) < 3:
        return values
    reach = min(int(np.ceil(3 * sigma)), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect")
    stacked = [padded[i : i + len(values)] * k for i, k in enumerate(kernel / kernel.sum())]
    return np.sum(stacked, axis=0)


class FaceMesh:
    """The 478-point mesh (with irises), every frame on its own: no state carries over, results repeat.

    The network sees a window around the face, enlarged to `window` px, so that 64 px frames work too.
    """

    def __init__(self, min_score: float = 0.3, window: int = 192) -> None:
        self._detector = FaceDetector(min_score)
        self._min_score = min_score
        self._window = window
        self._model: Any = None

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the native graphs."""
        self._detector.close()
        if self._model is not None:
            self._model.close()
            self._model = None

    def landmarks(self, frame: NDArray[np.uint8], face: Face | None = None) -> NDArray[np.float32] | None:
        """(478,3) float32 px of the frame (z on the scale of x, towards the viewer negative), or None.

        Without `face` the largest one is looked for.
        """
        import numpy as np

        frame = _checked(frame)
        if face is None:
            face = next(iter(self._detector.detect(frame)), None)
            if face is None:
                return None
        window, left, top, scale = _window(frame, face.centre, 1.9 * face.size, self._window)
        if self._model is None:
            solutions = _solutions()
            with quiet():
                self._model = solutions.face_mesh.FaceMesh(
                    static_image_mode=True,
                    max_num_faces=1,
                    refine_landmarks=True,
                    min_detection_confidence=self._min_score,
                )
                found = self._model.process(window)
        else:
            found = self._model.process(window)
        if not found.multi_face_landmarks:
            return None
        points = np.array([(p.x, p.y, p.z) for p in found.multi_face_landmarks[0].landmark], np.float32)
        points *= self._window / scale
        points[:, 0] += left
        points[:, 1] += top
        return points
