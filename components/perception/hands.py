"""Hands by MediaPipe's bundled hand model: 21 points of up to two hands, and how sure it is of them.

The legacy solution gives one confidence a hand, not one a point, so all points of a hand carry it. Figures
made with it name it; the published HKC uses DWPose's confidences of each point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.perception.faces import _solutions, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "mediapipe-hands"
HANDS, POINTS = 2, 21


class HandTracker:
    """Every frame on its own: no state carries over, results repeat.

    Args:
        min_score: palms below it are dropped, in (0,1].
    """

    name = NAME

    def __init__(self, min_score: float = 0.5) -> None:
        self._min_score = min_score
        self._model: Any = None

    def __enter__(self) -> HandTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the native graph."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def look(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Confidence (T,2,21) and positions (T,2,21,2) in frame heights; NaN where a hand is not seen.

        Slot 0 is the hand that the model calls left, slot 1 the other; frames (T,H,W,3) uint8.

        Raises:
            InputError: another shape or type.
        """
        frames = np.asarray(frames)
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise InputError(f"frames must be (T,H,W,3) uint8, got {frames.dtype} {frames.shape}")
        confidence = np.full((len(frames), HANDS, POINTS), np.nan, np.float32)
        positions = np.full((len(frames), HANDS, POINTS, 2), np.nan, np.float32)
        stretch = np.array([frames.shape[2] / frames.shape[1], 1.0])
        for index, frame in enumerate(frames):
            for slot, score, points in self._hands(np.ascontiguousarray(frame)):
                if np.isnan(confidence[index, slot, 0]) or score > confidence[index, slot, 0]:
                    confidence[index, slot] = score
                    positions[index, slot] = points * stretch
        return confidence, positions

    def _hands(self, frame: NDArray[np.uint8]) -> list[tuple[int, float, NDArray[np.float64]]]:
        if self._model is None:
            solutions = _solutions()
            with quiet():
                self._model = solutions.hands.Hands(
                    static_image_mode=True, max_num_hands=HANDS, min_detection_confidence=self._min_score
                )
                found = self._model.process(frame)
        else:
            found = self._model.process(frame)
        if not found.multi_hand_landmarks:
            return []
        hands = []
        for points, side in zip(found.multi_hand_landmarks, found.multi_handedness, strict=True):
            label = side.classification[0]
            place = np.array([(p.x, p.y) for p in points.landmark], np.float64)
            hands.append((0 if label.label == "Left" else 1, min(1.0, float(label.score)), place))
        return hands
