"""Geometry of the face mesh by hand-made landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import InputError
from components.perception import landmarks as lm


@pytest.fixture
def face() -> np.ndarray:
    """An upright face 100 px wide and 136 px high, centred at (100,100), lips shut, eyes open."""
    points = np.full((478, 3), 100.0)
    points[:, 2] = 0
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(lm.OVAL), endpoint=False)
    points[list(lm.OVAL), 0] = 100 + 50 * np.cos(angles)
    points[list(lm.OVAL), 1] = 100 + 68 * np.sin(angles)
    points[2, :2] = (100, 120)
    points[9, :2] = (100, 75)
    for ring, centre in ((lm.RIGHT_EYE, 78), (lm.LEFT_EYE, 122)):
        around = np.linspace(0, 2 * np.pi, len(ring), endpoint=False)
        points[list(ring), 0] = centre + 9 * np.cos(around)
        points[list(ring), 1] = 85 + 3 * np.sin(around)
    for (outer, inner, top, bottom, top2, bottom2), centre in (
        ((33, 133, 159, 145, 158, 153), 78),
        ((362, 263, 386, 374, 385, 380), 122),
    ):
        points[outer, :2], points[inner, :2] = (centre - 9, 85), (centre + 9, 85)
        points[[top, top2], :2], points[[bottom, bottom2], :2] = (centre, 82), (centre, 88)
    points[468, :2], points[473, :2] = (78, 85), (122, 85)
    around = np.linspace(0, 2 * np.pi, len(lm.LIPS_OUTER), endpoint=False)
    points[list(lm.LIPS_OUTER), 0] = 100 - 16 * np.cos(around)
    points[list(lm.LIPS_OUTER), 1] = 140 + 6 * np.sin(around)
    points[61, :2], points[291, :2] = (84, 140), (116, 140)
    points[0, :2], points[17, :2] = (100, 134), (100, 146)
    for upper, lower in lm.LIP_PAIRS:
        points[upper, :2] = points[lower, :2] = (100, 140)
    return points


def rotated(points: np.ndarray, angle: float, axes: tuple[int, int]) -> np.ndarray:
    made = points - (100, 100, 0)
    a, b = axes
    c, s = np.cos(angle), np.sin(angle)
    first, second = made[:, a].copy(), made[:, b].copy()
    made[:, a], made[:, b] = c * first - s * second, s * first + c * second
    return made + (100, 100, 0)


def test_aperture_by_hand(face: np.ndarray) -> None:
    assert lm.aperture(face) == 0
    for upper, lower in lm.LIP_PAIRS:
        face[upper, 1], face[lower, 1] = 136, 148
    height = 1.9 * (120 - 32) / 1.35  # forehead's top at y=32, nose base at y=120
    assert lm.aperture(face) == pytest.approx(12 / height)
    assert lm.aperture(face * 3) == pytest.approx(12 / height), "free of scale"
    assert lm.aperture(rotated(face, 0.4, (0, 1))) == pytest.approx(12 / height), "free of roll"


def test_eyes(face: np.ndarray) -> None:
    assert lm.eye_openness(face) == pytest.approx((6 / 18, 6 / 18))
    face[[159, 158], 1] = face[[145, 153], 1]
    left, right = lm.eye_openness(face)
    assert left == 0 and right == pytest.approx(1 / 3)


def test_pose_of_a_straight_and_a_turned_face(face: np.ndarray) -> None:
    assert lm.head_pose(face) == pytest.approx((0, 0, 0), abs=1e-9)
    assert lm.head_pose(rotated(face, 0.3, (0, 1)))[2] == pytest.approx(0.3)
    # Turned to the picture's right: the right ear goes away from the viewer (z grows), the nose points right.
    yaw, pitch, roll = lm.head_pose(rotated(face, 0.3, (0, 2)))
    assert (yaw, pitch, roll) == pytest.approx((0.3, 0, 0), abs=1e-6)
    # Looking down: the forehead comes nearer, the chin goes away.
    assert lm.head_pose(rotated(face, 0.2, (1, 2)))[1] == pytest.approx(0.2)


def test_gaze_follows_the_irises(face: np.ndarray) -> None:
    assert lm.gaze(face) == pytest.approx((0, 0), abs=1e-9)
    face[[468, 473], 0] += 4.5
    face[[468, 473], 1] += 1.8
    right, down = lm.gaze(face)
    assert right == pytest.approx(0.5) and down == pytest.approx(0.2)


def test_smile_lifts_the_corners(face: np.ndarray) -> None:
    assert lm.smile(face) == pytest.approx(0, abs=1e-9)
    face[[61, 291], 1] -= 8
    assert lm.smile(face) == pytest.approx(8 / 32)


def test_regions_lie_where_they_should(face: np.ndarray) -> None:
    masks = lm.regions(face, 220, 200)
    assert set(masks) == {"eyes", "mouth", "hair", "jaw", "hands"}
    assert all(mask.shape == (220, 200) and mask.dtype == bool for mask in masks.values())
    assert masks["eyes"][85, 78] and masks["eyes"][85, 122]
    assert masks["mouth"][140, 100] and not masks["mouth"][85, 78]
    assert masks["jaw"][158, 100] and not masks["jaw"][140, 100]
    assert masks["hair"][20, 100] and not masks["hair"][160, 100]
    assert not masks["hands"].any()
    assert not (masks["mouth"] & masks["jaw"]).any()
    area = masks["mouth"].sum() / (np.pi * 16 * 6 * 1.15**2)
    assert area == pytest.approx(1, abs=0.12)


def test_a_region_outside_the_frame_is_empty(face: np.ndarray) -> None:
    masks = lm.regions(face + (500, 0, 0), 220, 200)
    assert not any(mask.any() for mask in masks.values())


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(478,3\)"):
        lm.aperture(np.zeros((468, 3)))


def test_a_held_pose_is_an_action_against_the_person_at_rest(face: np.ndarray) -> None:
    from components.perception.actions import recognise

    turned = rotated(face, -0.3, (0, 2))
    held = np.stack([face, *[turned] * 19])
    places = np.arange(20) * 5
    against = recognise(held, places, neutral=face)
    assert [(done.name, done.end) for done in against] == [("look_left", 3.8)]
    # Without it the clip's median, the turned head, is at rest; one look at the start is too short to count.
    assert recognise(held, places) == []
