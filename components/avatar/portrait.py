"""Looks at what is given for generation, frames the portrait as in training, and says what to expect."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.avatar.sound_check import complaints
from components.core.errors import InputError
from components.core.media import SAMPLE_RATE
from components.core.pictures import face_square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.faces import Face

SMALL_FACE_PX = 40
LARGE_YAW = 0.55
"""Asymmetry of the nose between the eyes, in half eye distances: about 35 degrees."""
SAME_FRAMING = 0.08
"""A square picture whose face is this close to training's share is taken whole."""


class InputWarning(UserWarning):
    """An input is usable, but the result will suffer; says how."""


@dataclass(frozen=True)
class Portrait:
    """square (S,S,3) uint8 at its own resolution, and the face in it."""

    square: NDArray[np.uint8]
    face: Face


def frame_portrait(image: NDArray[np.uint8], face_share: float) -> Portrait:
    """Cuts the square that training's close-ups show: the largest face takes `face_share` of its height.

    Raises:
        InputError: not (H,W,3) uint8, or no face can be found.
    """
    from components.perception.faces import FaceDetector

    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"the portrait must be (H,W,3) uint8, got {image.dtype} {image.shape}")
    with FaceDetector() as detector:
        found = detector.detect(image)
    if not found:
        raise InputError("no face found in the portrait; give a picture with one clearly visible face")
    face = found[0]
    if len([other for other in found if other.size > 0.5 * face.size]) > 1:
        _warn("several people are in the portrait: the largest face is animated")
    if face.size < SMALL_FACE_PX:
        _warn(f"the face is small ({face.size:.0f} px across): expect a blurred likeness")
    if _turned(face) > LARGE_YAW:
        _warn("the face is turned away: expect a distorted mouth and weak lip-sync")
    height, width = image.shape[:2]
    tall = face.box[3] - face.box[1]
    if height == width and abs(tall / height / face_share - 1) < SAME_FRAMING:
        return Portrait(image, face)
    square = face_square(np.array([face.box]), 1 / face_share, height, width)
    return Portrait(square.cut(image[None])[0], face.scaled(1.0, -square.left, -square.top))


def _turned(face: Face) -> float:
    """How far the nose stands from the middle of the eyes, in half eye distances."""
    from components.perception.faces import LEFT_EYE, NOSE, RIGHT_EYE

    left, right, nose = (face.keypoints[index] for index in (LEFT_EYE, RIGHT_EYE, NOSE))
    half = max(float(np.hypot(*(left - right))) / 2, 1e-6)
    return abs(float(nose[0] - (left[0] + right[0]) / 2)) / half


def check_audio(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples (N,) as float32, after a look at them.

    Raises:
        InputError: not (N,), not finite, or empty.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise InputError(
            f"the audio must be (N,) finite samples at {SAMPLE_RATE} Hz, got shape {samples.shape}"
        )
    for complaint in complaints(samples):
        _warn(complaint)
    return samples


def check_text(text: str) -> str:
    """The instruction, after a look at it.

    Raises:
        InputError: it is empty.
    """
    if not text.strip():
        raise InputError("the text is empty: say what the person should do, e.g. 'nod slowly'")
    if len(text.split()) < 3:
        _warn(f"the instruction {text!r} is vague: expect generic motion")
    return text


def _warn(message: str) -> None:
    warnings.warn(message, InputWarning, stacklevel=3)
