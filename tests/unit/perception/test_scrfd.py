"""A detector in the layout of InsightFace's packs: decoding, scale, suppression, refusals, points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.curation.steps.faces import follow
from components.curation.steps.quality import turn
from components.perception.arcface import TEMPLATE, aligned, five_of_face
from components.perception.faces import Face
from components.perception.scrfd import ScrfdDetector
from tests.onnx_files import mean_colour, scrfd

BOX = (1.0, 1.5, 2.0, 2.5)
POINTS = (-0.5, 0.25, 0.5, 0.25, 0.0, 0.75, -0.25, 1.0, 0.25, 1.5)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ScrfdDetector:
    path = tmp_path_factory.mktemp("pack") / "det_10g.onnx"
    path.write_bytes(scrfd(BOX, POINTS))
    return ScrfdDetector(path, 0.9)


def picture(*places: tuple[int, int], side: int = 640, cell: int = 8) -> np.ndarray:
    """Black, with red cells whose left upper corners are at these places (x, y)."""
    frame = np.zeros((side, side, 3), np.uint8)
    for x, y in places:
        frame[y : y + cell, x : x + cell, 0] = 255
    return frame


def test_a_box_is_what_its_anchor_says(detector: ScrfdDetector) -> None:
    """A red cell of 8 px at column 20, row 30: anchor (160, 240), stride 8."""
    (face,) = detector.detect(picture((160, 240)))
    assert face.box == pytest.approx((160 - 8, 240 - 12, 160 + 16, 240 + 20))
    assert face.score == pytest.approx((127.5 / 128 + 127.5 / 128) / 2, abs=1e-5)
    expected = [(156, 242), (164, 242), (160, 246), (160, 250), (152, 242), (176, 242)]
    assert np.allclose(face.keypoints, expected, atol=1e-4)


def test_a_larger_picture_is_fitted_and_boxes_are_scaled_back(detector: ScrfdDetector) -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[480:496, 320:336, 0] = 255  # 8 px of the 640 that the longer side becomes
    (face,) = detector.detect(frame)
    assert face.box == pytest.approx((320 - 16, 480 - 24, 320 + 32, 480 + 40), abs=0.1)


def test_what_overlaps_is_one_face_and_the_largest_comes_first(detector: ScrfdDetector) -> None:
    near = picture((160, 240), (168, 240), (400, 80))
    near[320:352, 320:352, 0] = 255  # fills a cell of 32 px, and those of 16 and 8 in it
    faces = detector.detect(near)
    assert [round(face.size) for face in faces] == [128, 32, 32]


def test_a_track_follows_the_red_cell(detector: ScrfdDetector) -> None:
    frames = np.stack([picture((160 + 8 * t, 240)) for t in range(6)])
    track = follow(frames, detector, 1, 0.5)
    assert track is not None and track.rate == 1.0 and track.most == 1
    middle = track.boxes[:, [0, 2]].mean(1)
    assert (np.diff(middle) > 1).all()  # smoothed over time


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(mean_colour())
    with pytest.raises(InputError, match="not a detector of an InsightFace pack"):
        ScrfdDetector(path)
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="not an ONNX model"):
        ScrfdDetector(path)


def test_a_profile_is_told_without_ears() -> None:
    from components.perception.scrfd import _face

    box = np.array([10.0, 10.0, 50.0, 60.0])
    frontal = np.array([[20, 28], [40, 28], [30, 40], [24, 50], [36, 50]], float)
    turned = frontal - np.array([16, 0])
    frontal_turn, profile_turn = (
        turn(_face(box, 1.0, marks).keypoints[None])[0] for marks in (frontal, turned)
    )
    assert frontal_turn == pytest.approx(0, abs=1e-6) and profile_turn > 50


def test_alignment_by_a_detectors_points_is_that_of_the_template() -> None:
    """Points at the template's own places, moved, turned and enlarged: the cut is the picture moved back."""
    left, right, nose, *mouth = TEMPLATE
    turn_by = np.array([[0.96, -0.28], [0.28, 0.96]]) * 1.5
    marks = np.stack([left, right, nose, np.mean(mouth, axis=0), left, right]) @ turn_by.T + (40, 30)
    five = five_of_face(Face((0, 0, 1, 1), 1.0, marks.astype(np.float32)).keypoints)
    assert np.allclose(five, TEMPLATE @ turn_by.T + (40, 30), atol=0.7)
    frame = np.zeros((300, 300, 3), np.uint8)
    x, y = np.rint(np.array([56, 72]) @ turn_by.T + (40, 30)).astype(int)
    frame[y - 3 : y + 4, x - 3 : x + 4] = 255
    found = aligned(frame, five)
    ys, xs = np.nonzero(found[..., 0] > 128)
    assert (xs.mean(), ys.mean()) == pytest.approx((56, 72), abs=1.0)
