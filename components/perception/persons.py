"""Whether a picture shows a person at all, seen from any side: mediapipe's bundled segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.perception.faces import _checked, _solutions, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUT = 256


class PersonMask:
    """Segments people; every frame on its own."""

    def __init__(self) -> None:
        self._model: Any = None

    def share(self, frame: NDArray[np.uint8]) -> float:
        """Share of the pixels of a frame (H,W,3) uint8 that belong to a person, in [0,1]."""
        import cv2
        import numpy as np

        picture = cv2.resize(_checked(frame), (INPUT, INPUT), interpolation=cv2.INTER_AREA)
        if self._model is None:
            solutions = _solutions()
            with quiet():
                self._model = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
                found = self._model.process(picture)
        else:
            found = self._model.process(picture)
        return float((np.asarray(found.segmentation_mask) > 0.5).mean())

    def close(self) -> None:
        """Frees the native graph."""
        if self._model is not None:
            self._model.close()
            self._model = None
