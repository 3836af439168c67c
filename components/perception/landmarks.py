"""What the 478-point face mesh says: lip opening, eyes, head pose, gaze, smile, regions. Pure NumPy.

Input everywhere: `landmarks` (478,3) px from `faces.FaceMesh` (x right, y down, z on the scale of x, smaller
towards the viewer). Directions are the viewer's: positive is to the picture's right, and down.
Point numbers are those of MediaPipe's face mesh with irises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LEFT_IRIS = (473, 474, 475, 476, 477)
RIGHT_IRIS = (468, 469, 470, 471, 472)
FOREHEAD, CHIN = 10, 152
LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
"""Upper and lower inner lip: the middle and the points beside it."""


def _checked(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    import numpy as np

    points = np.asarray(landmarks, np.float64)
    if points.shape != (478, 3):
        raise InputError(f"landmarks must be (478,3), got {points.shape}")
    return points


def _distance(points: NDArray[np.float64], a: int, b: int) -> float:
    import numpy as np

    return float(np.hypot(*(points[a, :2] - points[b, :2])))


def face_height(landmarks: NDArray[np.floating]) -> float:
    """Top of the forehead to between the eyes and down the nose, px: free of the jaw's movement.

    1.9 times the distance from the forehead's top to the nose's base: about the height of a face at rest.
    """
    points = _checked(landmarks)
    return max(1.9 * _distance(points, FOREHEAD, 2) / 1.35, 1e-6)


def aperture(landmarks: NDArray[np.floating]) -> float:
    """Opening between the inner lips (mean of three pairs) over the face's height; 0 is closed."""
    points = _checked(landmarks)
    opening = sum(_distance(points, upper, lower) for upper, lower in LIP_PAIRS) / len(LIP_PAIRS)
    return opening / face_height(points)


def eye_openness(landmarks: NDArray[np.floating]) -> tuple[float, float]:
    """Height over width of the picture's left eye and right eye; about 0.3 open, under 0.12 shut."""
    points = _checked(landmarks)
    left = (
        (_distance(points, 159, 145) + _distance(points, 158, 153))
        / 2
        / max(_distance(points, 33, 133), 1e-6)
    )
    right = (
        (_distance(points, 386, 374) + _distance(points, 385, 380))
        / 2
        / max(_distance(points, 362, 263), 1e-6)
    )
    return left, right


def head_pose(landmarks: NDArray[np.floating]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in radians: face towards the picture's right, downwards, leaning clockwise.

    From the plane through the eyes' outer corners, the forehead's top and the chin; a face with average
    proportions that looks at the camera gives zeros.
    """
    import numpy as np

    points = _checked(landmarks)
    across = points[263] - points[33]
    across += points[454] - points[234]
    down = points[CHIN] - points[FOREHEAD]
    across /= max(float(np.linalg.norm(across)), 1e-9)
    down = down - across * (down @ across)
    down /= max(float(np.linalg.norm(down)), 1e-9)
    forward = np.cross(down, across)  # towards the viewer: z negative
    yaw = float(np.arctan2(forward[0], -forward[2]))
    pitch = float(np.arcsin(np.clip(forward[1], -1, 1)))
    roll = float(np.arctan2(across[1], across[0]))
    return yaw, pitch, roll


def gaze(landmarks: NDArray[np.floating]) -> tuple[float, float]:
    """(right, down): where the irises stand in the eyes, in half eye widths, mean of both; 0 = middle."""
    import numpy as np

    points = _checked(landmarks)[:, :2]
    total = np.zeros(2)
    for outer, inner, top, bottom, iris in ((33, 133, 159, 145, 468), (362, 263, 386, 374, 473)):
        axis = points[inner] - points[outer]
        half = max(float(np.linalg.norm(axis)) / 2, 1e-6)
        axis = axis / (2 * half)
        normal = np.array([-axis[1], axis[0]])
        offset = points[iris] - (points[outer] + points[inner]) / 2
        lids = (points[top] + points[bottom]) / 2 - (points[outer] + points[inner]) / 2
        total += (offset @ axis / half, (offset - 0.5 * lids) @ normal / half)
    return float(total[0] / 2), float(total[1] / 2)


def smile(landmarks: NDArray[np.floating]) -> float:
    """How far the mouth's corners stand above the middle of the lips, over the mouth's width."""
    import numpy as np

    points = _checked(landmarks)
    axis = points[291, :2] - points[61, :2]
    width = max(float(np.linalg.norm(axis)), 1e-6)
    normal = np.array([-axis[1], axis[0]]) / width
    corners = (points[61, :2] + points[291, :2]) / 2
    middle = (points[0, :2] + points[17, :2]) / 2
    return float((middle - corners) @ normal / width)


def _fill(polygon: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside a polygon (P,2), by the even-odd rule: (height,width) bool."""
    import numpy as np

    mask = np.zeros((height, width), bool)
    top = max(int(np.floor(polygon[:, 1].min())), 0)
    bottom = min(int(np.ceil(polygon[:, 1].max())) + 1, height)
    columns = np.arange(width) + 0.0
    following = np.roll(polygon, -1, axis=0)
    for row in range(top, bottom):
        y0, y1 = polygon[:, 1], following[:, 1]
        crossing = (y0 <= row) != (y1 <= row)
        if crossing.any():
            share = (row - y0[crossing]) / (y1[crossing] - y0[crossing])
            xs = polygon[crossing, 0] + share * (following[crossing, 0] - polygon[crossing, 0])
            mask[row] = (columns[:, None] < xs[None, :]).sum(1) % 2 == 1
    return mask


def _grown(polygon: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    centre = polygon.mean(0)
    return centre + (polygon - centre) * factor


def regions(landmarks: NDArray[np.floating], height: int, width: int) -> dict[str, NDArray[np.bool_]]:
    """Masks (height,width) bool of `vocabulary.REGIONS` in a frame of that size.

    eyes: both eyes with lids and brows; mouth: lips with a small rim; jaw: the lower face without the mouth;
    hair: the band above and beside the upper face (the mesh does not see hair: its usual place);
    hands: empty, for the face mesh knows none.
    """
    import numpy as np

    points = _checked(landmarks)[:, :2]
    eyes = np.zeros((height, width), bool)
    for ring in (LEFT_EYE, RIGHT_EYE):
        polygon = _grown(points[list(ring)], 1.5)
        middle = polygon[:, 1].mean()
        polygon[:, 1] = np.where(
            polygon[:, 1] < middle, middle + (polygon[:, 1] - middle) * 1.8, polygon[:, 1]
        )
        eyes |= _fill(polygon, height, width)
    mouth = _fill(_grown(points[list(LIPS_OUTER)], 1.15), height, width)
    oval = points[list(OVAL)]
    face = _fill(oval, height, width)
    _, down = points[FOREHEAD], points[CHIN] - points[FOREHEAD]
    length = max(float(np.linalg.norm(down)), 1e-6)
    down = down / length
    rows, columns = np.mgrid[0:height, 0:width]
    along = (columns - points[FOREHEAD, 0]) * down[0] + (rows - points[FOREHEAD, 1]) * down[1]
    level = float((points[2] - points[FOREHEAD]) @ down)
    jaw = _fill(_grown(oval, 1.05), height, width) & (along > level) & ~mouth
    brow = float((points[9] - points[FOREHEAD]) @ down)
    hair = _fill(_grown(oval, 1.4), height, width) & ~face & (along < brow + 0.25 * length)
    return {
        "eyes": eyes,
        "mouth": mouth,
        "hair": hair & ~eyes,
        "jaw": jaw,
        "hands": np.zeros((height, width), bool),
    }
