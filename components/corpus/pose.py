"""What a person does at one instant, and what of it can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from components.corpus.people import Person

GESTURES = ("open", "point", "fist")


class Hand(NamedTuple):
    """A lifted hand: position in face units (x right, y down, face centre at rest = 0) and its shape."""

    x: float
    y: float
    gesture: str = "open"


@dataclass(frozen=True)
class Pose:
    """One instant. Left and right are the viewer's; angles in radians.

    yaw > 0 turns the face to the picture's right, pitch > 0 looks down, roll > 0 tilts the top of the head
    to the right; gaze_x > 0 looks right, gaze_y > 0 down; aperture, blink and forward in [0,1]; mouth_width,
    smile (negative: sad), brow (negative: frown) and lean (sideways) in [-1,1]. A hand that is None hangs
    at the side.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    aperture: float = 0.0
    mouth_width: float = 0.0
    smile: float = 0.0
    blink: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brow: float = 0.0
    lean: float = 0.0
    forward: float = 0.0
    left_hand: Hand | None = None
    right_hand: Hand | None = None
    holding: bool = False


def holding_side(person: Person) -> int:
    """Which hand (−1 left, 1 right of the picture) holds the object."""
    return 1 if person.seed % 2 else -1


def attributes_of(person: Person, pose: Pose, framing: str) -> dict[str, Any]:
    """Every attribute of `core.vocabulary` as it shows in this pose and framing."""
    if pose.holding:
        hands = "holding an object"
    elif framing == "close-up":
        hands = "not visible"
    else:
        hands = "raised" if pose.left_hand or pose.right_hand else "at the sides"
    if abs(pose.roll) > 0.13:
        head = "tilted"
    elif abs(pose.yaw) > 0.26:
        head = "turned right" if pose.yaw > 0 else "turned left"
    else:
        head = "facing forward"
    if abs(pose.gaze_x) > 0.45:
        gaze = "to the right" if pose.gaze_x > 0 else "to the left"
    else:
        gaze = "downward" if pose.gaze_y > 0.45 else "at the camera"
    if pose.brow > 0.6:
        expression = "surprised"
    elif abs(pose.smile) > 0.4:
        expression = "smiling" if pose.smile > 0 else "sad"
    else:
        expression = "neutral"
    leaning = abs(pose.lean) > 0.45 or pose.forward > 0.55
    return {
        **{name: person.attributes[name] for name in ("attire", "hair", "background")},
        "posture": "leaning" if leaning else "upright",
        "head": head,
        "gaze": gaze,
        "hands": hands,
        "expression": expression,
        "accessories": list(person.attributes["accessories"]),
        "objects": list(person.attributes["objects"]) if pose.holding else [],
    }
