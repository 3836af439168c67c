"""Follows the largest face of a shot and counts the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.perception.faces import Face, FaceDetector

SEARCH_EVERY = 4
"""Every n-th look searches the whole frame (and finds other people), the rest near the last place."""
SECOND_FACE_SIZE = 0.35
"""Faces smaller than this share of the main one (pictures on a wall, passers-by) are not second people."""
SMOOTH_FRAMES = 1.5


@dataclass(frozen=True)
class Track:
    """The main face of T frames.

    boxes (T,4) x0 y0 x1 y1 and keypoints (T,6,2), pixels, interpolated between looks; rate: share of looks
    with a face; score: median detector score; most: most people seen in at least a tenth of whole-frame
    looks; second_rate: share of whole-frame looks with a second person.
    """

    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    rate: float
    score: float
    most: int
    second_rate: float

    def face(self, index: int) -> Face:
        """The face at frame `index`."""
        from components.perception.faces import Face

        x0, y0, x1, y1 = (float(v) for v in self.boxes[index])
        return Face((x0, y0, x1, y1), self.score, self.keypoints[index])

    @property
    def height(self) -> float:
        """Median height of the box, pixels."""
        import numpy as np

        return float(np.median(self.boxes[:, 3] - self.boxes[:, 1]))


def people(faces: list[Face]) -> int:
    """How many of the faces of one frame, largest first, count as people."""
    if not faces:
        return 0
    return sum(face.size >= SECOND_FACE_SIZE * faces[0].size for face in faces)


def follow(frames: NDArray[np.uint8], detector: FaceDetector, every: int, least: float) -> Track | None:
    """Follows the largest face of frames (T,H,W,3), looking at every `every`-th; None if there is no face.

    Detections that score below `least` are none: patterns in wallpaper and foliage look like faces a little.
    """
    import numpy as np

    from components.perception.faces import overlap

    looks = sorted({*range(0, len(frames), every), len(frames) - 1})
    found: list[tuple[int, Face]] = []
    counts: list[int] = []
    last: Face | None = None
    for number, index in enumerate(looks):
        face = None
        if last is not None and number % SEARCH_EVERY:
            face = detector.near(frames[index], last)
            face = face if face is not None and face.score >= least else None
        if face is None:
            thorough = bool(found) or number % SEARCH_EVERY == 0
            faces = [f for f in detector.detect(frames[index], tiles=thorough) if f.score >= least]
            counts.append(people(faces))
            if faces:
                face = faces[0]
                if last is not None:
                    shares = [overlap(each, last) for each in faces]
                    face = faces[int(np.argmax(shares))]
        if face is not None:
            found.append((index, face))
            last = face
    if not found:
        return None
    times = [index for index, _ in found]
    values = np.array([[*face.box, *face.keypoints.ravel()] for _, face in found], np.float64)
    each = np.arange(len(frames))
    dense = smooth(np.stack([np.interp(each, times, column) for column in values.T], axis=1))
    tally = np.sort(np.array(counts))[::-1]
    return Track(
        dense[:, :4].astype(np.float32),
        dense[:, 4:].reshape(-1, 6, 2).astype(np.float32),
        len(found) / len(looks),
        float(np.median([face.score for _, face in found])),
        int(tally[int(0.1 * len(tally))]),
        float(np.mean(tally >= 2)),
    )


def smooth(values: NDArray[np.float64], sigma: float = SMOOTH_FRAMES) -> NDArray[np.float64]:
    """Gaussian smoothing of (T,C) over time with mirrored ends."""
    import numpy as np

    reach = min(int(np.ceil(3 * sigma)), len(values) - 1)
    if reach < 1:
        return values
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    return windows @ (kernel / kernel.sum())
