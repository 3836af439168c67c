"""Draws a person in a pose: the picture, the regions and what can be seen.

Everything is a polygon on a picture of twice the size that is then averaged down; only what a frame needs
is recomputed (places and skin textures are cached), so a 128-pixel frame takes a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from components.core.errors import InputError
from components.core.vocabulary import FRAMINGS, REGIONS
from components.corpus import body, face, features, hair
from components.corpus.backgrounds import background
from components.corpus.canvas import LABELS, SUPERSAMPLING, Canvas
from components.corpus.pose import Hand, Pose, attributes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.corpus.people import Person

__all__ = ["Hand", "Pose", "SIZES", "VIEWS", "attributes_of", "draw_figure", "region_masks", "render"]

VIEWS = {"close-up": (3.5, -1.68), "upper body": (6.6, -1.9), "full body": (9.9, -1.85)}
"""Per framing: height of the picture in face units and the y of its upper edge."""
SIZES = {"close-up": 128, "upper body": 192, "full body": 256}
"""Pixels at which the face stays usable."""
NECK = np.array([0.0, 1.2])
HIP = np.array([0.0, body.HIP_Y])


def _canvas(size: int, framing: str, labels: bool = False, shift: float = 0.0) -> Canvas:
    if framing not in FRAMINGS:
        raise InputError(f"framing {framing!r} is none of {', '.join(FRAMINGS)}")
    height, top = VIEWS[framing]
    pixels = size if labels else size * SUPERSAMPLING
    return Canvas(pixels, pixels / height, (-height / 2 - shift, top), labels)


def draw_figure(canvas: Canvas, person: Person, pose: Pose, framing: str) -> None:
    """Draws the figure, back to front, on whatever `canvas` shows."""
    turn = face.Turn.of(pose)
    pivot = HIP if framing != "close-up" else np.array([0.0, 2.6])
    tilt = 0.16 * pose.lean
    zoom = 1 + 0.14 * pose.forward
    move = np.array([0.12 * pose.lean, 0.1 * pose.forward])
    c, s = np.cos(tilt), np.sin(tilt)
    neck = pivot + zoom * np.array([[c, -s], [s, c]]) @ (NECK - pivot) + move

    def torso_frame() -> None:
        canvas.frame(tilt, pivot, move, zoom)

    def head_frame() -> None:
        # zooming about the neck at rest, then carrying the neck to where the torso has it
        canvas.frame(tilt + pose.roll, NECK, neck - NECK, zoom)

    head_frame()
    hair.draw_back_hair(canvas, person, turn)
    if framing == "full body":
        canvas.frame()
        body.draw_legs(canvas, person)
    torso_frame()
    body.draw_torso(canvas, person)
    hair.draw_scarf(canvas, person)
    head_frame()
    face.draw_ears(canvas, person, turn)
    face.draw_head(canvas, person, pose, turn)
    face.draw_ears(canvas, person, turn, near=True)
    features.draw_beard(canvas, person, pose, turn)
    face.draw_nose(canvas, person, turn)
    features.draw_mouth(canvas, person, pose, turn)
    features.draw_eyes(canvas, person, pose, turn)
    features.draw_brows(canvas, person, pose, turn)
    hair.draw_front_hair(canvas, person, turn)
    hair.draw_headwear(canvas, person, turn)
    torso_frame()
    body.draw_arms(canvas, person, pose, framing)
    canvas.frame()


def render(person: Person, pose: Pose, size: int, framing: str = "close-up") -> NDArray[np.uint8]:
    """The picture, (size,size,3) uint8 RGB.

    Raises:
        InputError: the framing is unknown.
    """
    canvas = _canvas(size, framing)
    place = background(person.attributes["background"], person.background_seed, canvas.pixels)
    canvas.image = place.copy()
    draw_figure(canvas, person, pose, framing)
    return cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)


def region_masks(
    person: Person, pose: Pose, size: int, framing: str = "close-up"
) -> dict[str, NDArray[np.bool_]]:
    """Where `core.vocabulary.REGIONS` show: name → (size,size) bool.

    The jaw is the lower face around the mouth.

    Raises:
        InputError: the framing is unknown.
    """
    canvas = _canvas(size, framing, labels=True)
    draw_figure(canvas, person, pose, framing)
    return {name: canvas.image == LABELS[name] for name in REGIONS}
