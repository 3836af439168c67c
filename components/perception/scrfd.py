"""SCRFD, the face detector of InsightFace's packs (`det_10g.onnx` …), from the published file.

Boxes and scores are the network's own, decoded as the reference does. It marks five points and no ears, so
these are set to the box's sides at the height of the eyes: enough to tell a turned head from a frontal one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.perception.faces import Face, FaceDetector, _checked, _distinct
from components.perception.onnx import session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRIDES = (8, 16, 32)
ANCHORS = 2
INPUT = 640
"""Side of the square that a picture is fitted into, as `FaceAnalysis.prepare` has it by default."""
OUTPUTS = 3 * len(STRIDES)
"""Scores, boxes and points at each stride."""


class ScrfdDetector(FaceDetector):
    """The contract of `FaceDetector`; a picture is searched once, small faces need no tiles.

    Args:
        path: an ONNX file with the nine outputs of a pack's detector.
        min_score: detections below it are dropped, in (0,1].

    Raises:
        InputError: the file is missing, no ONNX model, or has other outputs.
    """

    def __init__(self, path: Path, min_score: float = 0.5) -> None:
        super().__init__(min_score)
        self.session: Any = session(path)
        self._input = self.session.get_inputs()[0]
        count = len(self.session.get_outputs())
        if len(self._input.shape) != 4 or self._input.shape[1] != 3 or count != OUTPUTS:
            raise InputError(
                f"{path} is not a detector of an InsightFace pack: it has input {self._input.shape} and "
                f"{count} outputs, not (1,3,H,W) and {OUTPUTS}"
            )

    def detect(self, frame: NDArray[np.uint8], *, tiles: bool = True) -> list[Face]:
        """All faces of a frame (H,W,3) uint8, largest first."""
        faces = _distinct(self._process(_checked(frame)))
        return sorted(faces, key=lambda f: (-f.size, f.box))

    def _process(self, frame: NDArray[np.uint8], model: int = 0) -> list[Face]:
        import cv2
        import numpy as np

        height, width = frame.shape[:2]
        fixed = self._input.shape[2]
        # A window (as `near` cuts them) shows one large face: less than the full side finds it.
        side = fixed if isinstance(fixed, int) else INPUT if max(height, width) > INPUT // 4 else INPUT // 2
        scale = side / max(height, width)
        wide, tall = max(1, int(width * scale)), max(1, int(height * scale))
        canvas = np.zeros((side, side, 3), np.float32)
        canvas[:tall, :wide] = cv2.resize(frame, (wide, tall))
        blob = ((canvas - 127.5) / 128).transpose(2, 0, 1)[None]
        found = self.session.run(None, {self._input.name: np.ascontiguousarray(blob)})
        faces = []
        for level, stride in enumerate(STRIDES):
            scores, boxes, points = (
                np.asarray(found[level + part * len(STRIDES)]).reshape(-1, size)
                for part, size in ((0, 1), (1, 4), (2, 10))
            )
            cells = side // stride
            if len(scores) != ANCHORS * cells**2:
                raise InputError(f"the detector gives {len(scores)} scores at stride {stride}, not SCRFD's")
            good = np.flatnonzero(scores[:, 0] >= self.min_score)
            place = good // ANCHORS
            centre = np.stack([place % cells, place // cells], axis=1) * float(stride)
            corners = centre[:, [0, 1, 0, 1]] + boxes[good] * (-stride, -stride, stride, stride)
            five = centre[:, None] + points[good].reshape(-1, 5, 2) * stride
            for index, box, marks in zip(good, corners / scale, five / scale, strict=True):
                faces.append(_face(box, float(scores[index, 0]), marks))
        return faces


def _face(box: NDArray[np.floating], score: float, marks: NDArray[np.floating]) -> Face:
    """A face from its box and five points: the picture's left and right eye, nose, mouth corners."""
    import numpy as np

    left, right, nose, *mouth = marks
    x0, y0, x1, y1 = (float(v) for v in box)
    ears = ((x0, float(left[1])), (x1, float(right[1])))
    points = np.array([left, right, nose, np.mean(mouth, axis=0), *ears], np.float32)
    return Face((x0, y0, x1, y1), score, points)
