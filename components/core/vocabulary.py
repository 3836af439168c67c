"""The shared words: framings, deliveries, actions and the attribute schema (what can be seen in a frame).

Scalar attributes hold one of their values or "unknown"; list attributes hold any subset. The same schema
serves perception (from a picture), the enhancer's text extractor (from a prompt) and the corpus's truth.
"""

from __future__ import annotations

FRAMINGS = ("close-up", "upper body", "full body")
DELIVERIES = ("speech", "emotional", "singing")
"""What is told from the sound; a source's own label may also be "performance", which lies in the motion."""
REGIONS = ("eyes", "mouth", "hair", "jaw", "hands")
UNKNOWN = "unknown"

GARMENT_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange")
GARMENTS = ("t-shirt", "collared shirt", "jacket", "turtleneck")
HAIR_STYLES = ("short", "long", "curly", "bun", "bald")
HAIR_COLOURS = ("black", "brown", "blond", "red", "grey")
BACKGROUNDS = ("office", "bookshelf", "park", "city", "studio", "brick wall")
ACCESSORIES = ("glasses", "hat", "earrings", "headphones", "scarf")
OBJECTS = ("book", "pen", "cup", "phone", "microphone", "flower")
EXPRESSIONS = ("neutral", "smiling", "sad", "surprised")
HEADS = ("facing forward", "turned left", "turned right", "tilted")
GAZES = ("at the camera", "to the left", "to the right", "downward")
HANDS = ("not visible", "at the sides", "raised", "holding an object")
POSTURES = ("upright", "leaning")

SCALARS: dict[str, tuple[str, ...]] = {
    "attire": tuple(f"{colour} {garment}" for colour in GARMENT_COLOURS for garment in GARMENTS),
    "hair": ("bald", *(f"{style} {colour}" for style in HAIR_STYLES[:-1] for colour in HAIR_COLOURS)),
    "background": BACKGROUNDS,
    "posture": POSTURES,
    "head": HEADS,
    "gaze": GAZES,
    "hands": HANDS,
    "expression": EXPRESSIONS,
}
LISTS: dict[str, tuple[str, ...]] = {"accessories": ACCESSORIES, "objects": OBJECTS}

ACTIONS = (
    "nod",
    "shake_head",
    "tilt_head",
    "look_left",
    "look_right",
    "look_up",
    "look_down",
    "smile",
    "raise_eyebrows",
    "lean_in",
    "sway",
    "wave",
    "point",
    "raise_hand",
)
HEAD_ACTIONS = ACTIONS[:11]
HAND_ACTIONS = ACTIONS[11:]
"""Directions are the viewer's: left is the picture's left edge. Hand actions show in wider framings only."""
