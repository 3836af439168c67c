"""Where eyes, mouth, hair, jaw and hands are, on a coarse grid, for the localization loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.vocabulary import REGIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OVERSAMPLING = 2
"""Sub-cells a side in which a cell's coverage is counted."""
SKIN_SPREAD = 2.5
"""Standard deviations of the face's own colour within which a pixel counts as this person's skin."""
SMALLEST_SPREAD = 4.0
NECK_WIDTH, NECK_HEIGHT = 0.7, 0.55
"""Of the face, below the chin: skin there is neck, not hand."""
LEFT_CHEEK, RIGHT_CHEEK, NOSE_TIP = 280, 50, 4


def skin_below(frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels (H,W) below the face, beside the neck, with the colour of this person's cheeks and nose.

    The face mesh knows no hands, and hand detectors miss drawn ones, so bare skin under the face stands for
    them; a garment of the same colour is a known confusion.
    """
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    colours = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32)
    left, top = landmarks[:, :2].min(0)
    right, chin = landmarks[:, :2].max(0)
    reach = max(1, int(0.06 * (right - left)))
    patches = []
    for point in (LEFT_CHEEK, RIGHT_CHEEK, NOSE_TIP):
        x, y = (int(round(float(v))) for v in landmarks[point, :2])
        patches.append(
            colours[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].reshape(-1, 2)
        )
    samples = np.concatenate(patches)
    below = np.zeros((height, width), bool)
    if not len(samples):
        return below
    middle = np.median(samples, axis=0)
    spread = np.maximum(np.median(np.abs(samples - middle), axis=0) * 1.48, SMALLEST_SPREAD)
    skin = (np.abs(colours - middle) < SKIN_SPREAD * spread).all(axis=2)
    below[max(0, int(chin) + 1) :] = True
    half = NECK_WIDTH * (right - left) / 2
    centre = (left + right) / 2
    end = int(chin + NECK_HEIGHT * (chin - top))
    below[: max(0, end), max(0, int(centre - half)) : max(0, int(centre + half))] = False
    cleaned = cv2.morphologyEx((skin & below).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cleaned.astype(bool)


def masks(
    frame: NDArray[np.uint8], landmarks: NDArray[np.float32], grid: int, hands: bool
) -> NDArray[np.uint8]:
    """Coverage (5,grid,grid) uint8, 0–255, of `REGIONS` in a square frame (S,S,3).

    landmarks: (478,3) pixels of that frame; hands: whether to look for them (wider framings).
    """
    import cv2
    import numpy as np

    from components.perception.landmarks import regions

    side = grid * OVERSAMPLING
    found = regions(landmarks * (side / frame.shape[0]), side, side)
    if hands:
        skin = skin_below(frame, landmarks).astype(np.float32)
        found["hands"] = cv2.resize(skin, (side, side), interpolation=cv2.INTER_AREA) > 0.5
    stacked = np.stack([found[name] for name in REGIONS]).astype(np.float32)
    cells = stacked.reshape(len(REGIONS), grid, OVERSAMPLING, grid, OVERSAMPLING).mean((2, 4))
    return np.round(cells * 255).astype(np.uint8)
