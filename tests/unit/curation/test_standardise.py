"""The uniform form: crops, shifted sound, the right length."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from components.core.pictures import Square
from components.curation.standardise import aligned, choose_crop, package
from components.curation.steps.faces import Track

BOX = np.tile(np.array([30, 20, 60, 60], np.float32), (10, 1))


def track(length: int) -> Track:
    points = np.tile(np.array([[40, 35]], np.float32), (length, 6, 1))
    return Track(np.tile(BOX[0], (length, 1)), points, 1.0, 0.9, 1, 0.0)


def test_close_ups_are_cropped_around_the_face_inside_the_frame() -> None:
    assert choose_crop(BOX, 128, 128, True, 2.0) == Square(5, 0, 80)
    assert choose_crop(BOX, 100, 200, True, 9.0) == Square(0, 0, 100)


def test_wider_framings_are_padded_to_a_square() -> None:
    assert choose_crop(BOX, 100, 200, False, 2.0) == Square(0, -50, 200)
    frames = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    padded = Square(0, -1, 4).cut(frames)
    assert padded[0, :, 0, 0].tolist() == [0, 0, 2, 2] and padded[0, 0, :, 0].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("shift", "pictures", "sound"), [(0, (0, 9), (0, 9)), (2, (2, 9), (0, 7)), (-2, (0, 7), (2, 9))]
)
def test_shifted_sound_loses_frames_and_gains_no_silence(shift: int, pictures: tuple, sound: tuple) -> None:
    seen, heard = aligned(9, shift)
    assert ((seen.start, seen.stop), (heard.start, heard.stop)) == (pictures, sound)


def test_a_package_is_consistent_and_repeats_to_the_byte() -> None:
    length, shift = 20, 3
    frames = np.random.default_rng(0).integers(0, 255, (length, 96, 128, 3), np.uint8)
    samples = (np.repeat(np.arange(length), 640) / 100).astype(np.float32)
    mesh = {
        index: np.random.default_rng(index).uniform(20, 80, (478, 3)).astype(np.float32)
        for index in (0, 5, 10)
    }
    how = {"shift": shift, "close_up": True, "scale": 2.0, "size": 64, "crf": 12, "grid": 16}
    parts, geometry = package(frames, samples, track(length), mesh, **how)
    assert package(frames, samples, track(length), mesh, **how)[0] == parts
    with wave.open(io.BytesIO(parts["wav"])) as sound:
        heard = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32767
    assert len(heard) == (length - shift) * 640 and heard[:640].max() < 1e-3
    assert len(geometry["boxes"]) == len(geometry["keypoints"]) == length - shift
    assert geometry["boxes"][0] == [20.0, 16.0, 44.0, 48.0]  # the 40 px face takes half of the 80 px crop
    with np.load(io.BytesIO(parts["npz"])) as arrays:
        assert arrays["landmark_frames"].tolist() == [2, 7]
        assert arrays["landmarks"].shape == (2, 478, 3) and arrays["masks"].shape == (2, 5, 16, 16)
