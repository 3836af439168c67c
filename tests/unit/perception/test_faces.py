"""Detector, mesh and crops on a real portrait (NASA, public domain) and on drawn people."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from components.core.errors import InputError
from components.corpus.people import sample_person
from components.corpus.pose import Pose
from components.corpus.render import render
from components.perception import landmarks as lm
from components.perception.faces import (
    MOUTH,
    FaceDetector,
    FaceMesh,
    crop_face,
    mouth_crop,
    overlap,
    track_face,
)


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector() as made:
        yield made


@pytest.fixture(scope="module")
def mesh() -> Iterator[FaceMesh]:
    with FaceMesh() as made:
        yield made


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage.data import astronaut

    return cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)


def test_portrait_has_one_face_where_it_is(detector: FaceDetector, portrait: np.ndarray) -> None:
    faces = detector.detect(portrait)
    assert len(faces) == 1
    x, y = faces[0].centre
    assert abs(x - 112) < 10 and abs(y - 62) < 12
    assert faces[0].score > 0.8
    assert faces[0].keypoints.shape == (6, 2)


def test_nothing_in_an_empty_picture(detector: FaceDetector, mesh: FaceMesh) -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    assert detector.detect(grey) == []
    assert mesh.landmarks(grey) is None


def test_small_face_is_found_in_tiles(detector: FaceDetector, portrait: np.ndarray) -> None:
    frame = np.full((400, 400, 3), 120, np.uint8)
    frame[100:150, 200:250] = cv2.resize(portrait[10:110, 70:170], (50, 50), interpolation=cv2.INTER_AREA)
    faces = detector.detect(frame)
    assert len(faces) == 1
    assert 200 < faces[0].centre[0] < 250 and 100 < faces[0].centre[1] < 150


@pytest.mark.parametrize(
    ("framing", "size"), [("close-up", 64), ("close-up", 128), ("upper body", 192), ("full body", 256)]
)
def test_drawn_people_are_found_and_their_lips_measured(
    detector: FaceDetector, mesh: FaceMesh, framing: str, size: int
) -> None:
    measured, true = [], []
    for seed in range(4):
        person = sample_person(1_900_000 + seed)
        for opening in (0.0, 0.5, 1.0):
            frame = render(person, Pose(aperture=opening, yaw=0.1), size, framing)
            faces = detector.detect(frame)
            assert len(faces) == 1
            points = mesh.landmarks(frame, faces[0])
            assert points is not None and points.shape == (478, 3)
            measured.append(lm.aperture(points))
            true.append(opening)
    assert np.corrcoef(measured, true)[0, 1] > 0.75


def test_turning_the_head_turns_the_measured_pose(mesh: FaceMesh) -> None:
    person = sample_person(1_900_001)
    yaws = [
        lm.head_pose(mesh.landmarks(render(person, Pose(yaw=yaw), 128), None))[0] for yaw in (-0.3, 0, 0.3)
    ]
    assert yaws[0] < -0.12 < yaws[1] < 0.12 < yaws[2]


def test_mesh_repeats_itself(mesh: FaceMesh, portrait: np.ndarray) -> None:
    first = mesh.landmarks(portrait)
    mesh.landmarks(render(sample_person(1_900_002), Pose(), 128))
    assert np.array_equal(first, mesh.landmarks(portrait)), "no state carries over"


def test_crops_follow_the_face(detector: FaceDetector, portrait: np.ndarray) -> None:
    face = detector.detect(portrait)[0]
    crop = crop_face(portrait, face)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    same = crop_face(np.roll(portrait, (5, 9), (0, 1)), face.scaled(1.0, 9, 5))
    assert np.abs(same.astype(int) - crop).max() <= 1, "the crop moves with the box"
    mouth = mouth_crop(portrait, face)
    assert mouth.shape == (48, 48, 3)
    lips = mouth[20:28, 18:30].astype(float).mean((0, 1))
    assert lips[0] > lips[1], "lips are red"


def test_crop_beyond_the_edge_repeats_it(detector: FaceDetector, portrait: np.ndarray) -> None:
    face = detector.detect(portrait)[0]
    far = face.scaled(1.0, -face.centre[0], 0.0)
    assert crop_face(portrait, far).shape == (112, 112, 3)


def test_track_follows_and_smooths(detector: FaceDetector) -> None:
    person = sample_person(1_900_003)
    frames = np.stack([render(person, Pose(yaw=0.2 * np.sin(t / 4)), 128) for t in range(16)])
    track = track_face(frames, detector, stride=3)
    assert track is not None and len(track) == 16
    points = np.array([face.keypoints[MOUTH] for face in track])
    assert np.abs(np.diff(points, axis=0)).max() < 3
    assert all(overlap(a, b) > 0.8 for a, b in zip(track, track[1:], strict=False))
    assert track_face(np.full_like(frames, 90), detector) is None


def test_refusals(detector: FaceDetector) -> None:
    with pytest.raises(InputError, match="uint8"):
        detector.detect(np.zeros((64, 64, 3), np.float32))
    with pytest.raises(InputError, match="min_score"):
        FaceDetector(min_score=0)


def test_native_libraries_keep_quiet() -> None:
    code = (
        "import numpy as np; from components.perception.faces import FaceMesh;"
        "FaceMesh().landmarks(np.zeros((64, 64, 3), np.uint8))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr == ""
