"""How well the main face can be seen: sharpness, exposure, turn of the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.curation.steps.faces import Track

CROP = 96
FRAME = 128
SHARPNESS_LOOKS = 9


@dataclass(frozen=True)
class Quality:
    """Medians over the shot.

    blur: variance of the Laplacian of the face at 96 px (higher is sharper); exposure: luminance 0–255;
    yaw: turn of the head in degrees, without sign.
    """

    blur: float
    exposure: float
    yaw: float


def turn(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    """Approximate turn of the head in degrees from detector key points (T,6,2), 0 frontal, 90 full profile.

    The nose's distance from the two ears along the line between them: equal when frontal, zero to the near
    side in profile. Serves where the mesh does not fit, which is just what happens in profile.
    """
    import numpy as np

    nose, right, left = (keypoints[:, row].astype(np.float64) for row in (2, 4, 5))
    line = left - right
    length = np.maximum(np.linalg.norm(line, axis=1), 1e-6)
    place = ((nose - right) * line).sum(axis=1) / length**2
    return np.degrees(np.arcsin(np.clip(np.abs(2 * place - 1), 0, 1)))


def frame_sharpness(frames: NDArray[np.uint8]) -> float:
    """Median variance of the Laplacian of whole frames (T,H,W,3), their short side scaled to 128 px."""
    import cv2
    import numpy as np

    scale = FRAME / min(frames.shape[1:3])
    values = []
    for index in np.linspace(0, len(frames) - 1, SHARPNESS_LOOKS).round().astype(int):
        grey = cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        values.append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
    return float(np.median(values))


def quality(frames: NDArray[np.uint8], track: Track, mesh: Mapping[int, NDArray[np.float32]]) -> Quality:
    """Measures frames (T,H,W,3); `mesh` holds landmarks (478,3) of the frames where it fitted."""
    import cv2
    import numpy as np

    from components.perception.faces import crop_face
    from components.perception.landmarks import head_pose

    looks = sorted(set(np.linspace(0, len(frames) - 1, SHARPNESS_LOOKS).round().astype(int).tolist()))
    sharpness, light = [], []
    for index in looks:
        grey = cv2.cvtColor(crop_face(frames[index], track.face(index), CROP), cv2.COLOR_RGB2GRAY)
        sharpness.append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
        light.append(float(grey.mean()))
    by_points = float(np.median(turn(track.keypoints)))
    turns = [abs(np.degrees(head_pose(points)[0])) for points in mesh.values()]
    yaw = float(np.median(turns)) if turns else by_points
    return Quality(float(np.median(sharpness)), float(np.median(light)), yaw)
