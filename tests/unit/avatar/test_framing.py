"""The square around a face: worked numbers, and regions that stay on what they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.avatar.clips import MOUTH, CuratedClip
from components.avatar.framing import framed
from components.core.pictures import Square, face_square


def clip(framing: str = "close-up", size: int = 128) -> CuratedClip:
    """Three frames with a face at (40 … 88, 50 … 100) and a white mouth of 16 × 8 px in its region."""
    frames = np.zeros((3, size, size, 3), np.uint8)
    frames[:, 80:88, 56:72] = 255
    regions = np.zeros((3, 5, 16, 16), np.float32)
    regions[:, MOUTH, 10:11, 7:9] = 1
    boxes = np.tile(np.array([40, 50, 88, 100], np.float32), (3, 1))
    keypoints = np.tile(np.array([64, 84], np.float32), (3, 6, 1))
    return CuratedClip("a", "train", framing, "p", frames, None, boxes, keypoints, regions)


def box(x: float, y: float, tall: float) -> np.ndarray:
    return np.array([[x - tall / 3, y - tall / 2, x + tall / 3, y + tall / 2]])


def test_square_by_hand():
    assert face_square(box(64, 75, 50), 1.6, 128, 128) == Square(24, 35, 80)
    assert face_square(box(20, 75, 50), 1.6, 128, 128) == Square(0, 35, 80), "moved into the picture"
    assert face_square(box(64, 64, 100), 2.0, 128, 128) == Square(-36, -36, 200), "larger than the picture"


@given(x=st.floats(0, 128), y=st.floats(0, 128), tall=st.floats(10, 120), scale=st.floats(1, 5))
def test_square_stays_inside_where_it_fits(x, y, tall, scale):
    square = face_square(box(x, y, tall), scale, 128, 128)
    if square.side <= 128:
        assert 0 <= square.left <= 128 - square.side and 0 <= square.top <= 128 - square.side


def test_everything_moves_with_the_frames():
    made = framed(clip(), 0.625)
    assert made.frames.shape == (3, 80, 80, 3)
    assert made.boxes[0].tolist() == [16, 15, 64, 65]
    assert made.keypoints[0, 0].tolist() == [40, 49]
    white = made.frames[0, ..., 0] > 0
    rows, columns = np.nonzero(white)
    mouth = made.regions[0, MOUTH]
    weight = np.indices(mouth.shape) + 0.5
    centre = (weight * mouth).sum((1, 2)) / mouth.sum() * 80 / 16
    assert centre == pytest.approx([rows.mean() + 0.5, columns.mean() + 0.5], abs=1.0)


def test_wider_framings_are_taken_whole():
    wide = clip("upper body")
    assert framed(wide, 0.6) is wide


def test_beyond_the_edge_the_picture_is_repeated():
    frames = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1).repeat(3, 3)
    assert Square(-1, 0, 3).cut(frames)[0, ..., 0].tolist() == [[0, 0, 1], [2, 2, 3], [2, 2, 3]]


def swaying(frames: int = 40) -> CuratedClip:
    """A head of five dots that wanders, leans and comes nearer; the fifth dot, the mouth, moves by itself."""
    import cv2

    face = np.array([[52, 56], [76, 56], [64, 68], [64, 82]], np.float64)
    pictures, keypoints, regions = [], [], []
    for index in range(frames):
        phase = 2 * np.pi * index / frames
        angle, size = 0.15 * np.sin(phase), 1 + 0.15 * np.cos(phase)
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (face + [0, 3 * (index % 2)] * np.array([[0], [0], [0], [1]]) - 64) @ turn.T + 64
        points += [8 * np.sin(phase), 5 * np.cos(phase)]
        picture = np.zeros((128, 128, 3), np.uint8)
        for point in points:
            cv2.circle(picture, np.round(point * 16 - 8).astype(int).tolist(), 48, (255,) * 3, -1, 8, 4)
        pictures.append(picture)
        keypoints.append(points[[0, 1, 2, 3, 0, 1]])
        region = np.zeros((5, 32, 32), np.float32)
        column, row = (points[2] / 4).astype(int)
        region[0, row, column] = 1
        regions.append(region)
    tracks = np.array(keypoints, np.float32)
    boxes = np.concatenate([tracks.min(1) - 10, tracks.max(1) + 10], 1)
    return CuratedClip(
        "a", "train", "close-up", "p", np.stack(pictures), None, boxes, tracks, np.stack(regions)
    )


def test_a_followed_head_is_still_and_its_mouth_moves():
    before = swaying()
    made = framed(before, 0.6, follow=True)
    still = made.keypoints[:, :3]
    assert np.ptp(before.keypoints[:, :3], axis=0).max() > 15
    assert np.ptp(still, axis=0).max() < 1.5
    # The pictures moved as the points say: bright where eyes and nose are, in every frame.
    for frame, points in zip(made.frames, still, strict=True):
        for x, y in points:
            assert frame[int(y), int(x), 0] > 150
    assert np.ptp(made.keypoints[:, 3, 1]) == pytest.approx(3, abs=0.8)
    heights = made.boxes[:, 3] - made.boxes[:, 1]
    assert heights.std() / heights.mean() < 0.06
    cells = np.indices((32, 32)) + 0.5
    nose = np.array([(cells * plane[0]).sum((1, 2)) / plane[0].sum() for plane in made.regions])
    assert np.abs(nose[:, ::-1] * made.frames.shape[1] / 32 - still[:, 2]).max() < 4


def test_a_still_head_is_left_as_it_is():
    one = swaying(1)
    same = CuratedClip(
        "a", "train", "close-up", "p", one.frames.repeat(9, 0), None, one.boxes.repeat(9, 0),
        one.keypoints.repeat(9, 0), one.regions.repeat(9, 0),
    )  # fmt: skip
    assert np.array_equal(framed(same, 0.6, follow=True).frames, framed(same, 0.6).frames)
