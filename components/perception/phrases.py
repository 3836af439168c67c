"""How the schema of `core.vocabulary` is said in English: one phrasebook for captions, prompts and cues.

Each value has a canonical wording (first) and synonyms. Pure text, no state: the small captioner writes with
it, the text models learn from it and the enhancer's targets are built from it. The reader of prompts
(`components.enhancer.extractor`) has rules of its own, so that writer and reader check each other.
"""

from __future__ import annotations

from components.core import vocabulary as words

GARMENT_NAMES = {
    "t-shirt": ("t-shirt", "tee"),
    "collared shirt": ("collared shirt", "button-up shirt"),
    "jacket": ("jacket", "coat"),
    "turtleneck": ("turtleneck", "roll-neck sweater"),
}
BACKGROUND_PLACES = {
    "office": ("in an office", "at an office"),
    "bookshelf": ("in front of a bookshelf", "with a bookshelf behind"),
    "park": ("in a park", "outdoors in a park"),
    "city": ("in a city", "with a city behind"),
    "studio": ("in a studio", "before a plain studio wall"),
    "brick wall": ("in front of a brick wall", "against a brick wall"),
}
ACCESSORY_NAMES = {
    "glasses": "glasses",
    "hat": "a hat",
    "earrings": "earrings",
    "headphones": "headphones",
    "scarf": "a scarf",
}
OBJECT_NAMES = {name: f"a {name}" for name in words.OBJECTS}
EXPRESSION_PHRASES = {value: (f"{value} expression", f"{value} face") for value in words.EXPRESSIONS}
POSTURE_PHRASES = {
    "upright": ("upright posture", "sitting upright"),
    "leaning": ("leaning posture", "body leaning to one side"),
}
HEAD_CUES: dict[str, tuple[str, ...]] = {
    "facing forward": ("head facing forward", "head straight"),
    "turned left": ("head turned left", "head turned to the left"),
    "turned right": ("head turned right", "head turned to the right"),
    "tilted": ("head tilted", "head tilted to one side"),
}
GAZE_CUES: dict[str, tuple[str, ...]] = {
    "at the camera": ("gaze at the camera", "eyes on the camera"),
    "to the left": ("gaze to the left", "eyes to the left"),
    "to the right": ("gaze to the right", "eyes to the right"),
    "downward": ("gaze downward", "eyes cast downward"),
}
HANDS_CUES: dict[str, tuple[str, ...]] = {
    "not visible": ("hands not visible", "hands out of frame"),
    "at the sides": ("hands at the sides", "hands by the sides"),
    "raised": ("hands raised", "one hand raised"),
    "holding an object": ("hands holding an object", "hand holding an object"),
}
CUES = {"head": HEAD_CUES, "gaze": GAZE_CUES, "hands": HANDS_CUES}

ACTION_CLAUSES: dict[str, tuple[str, ...]] = {
    "nod": ("nods", "gives a nod"),
    "shake_head": ("shakes the head", "gives a shake of the head"),
    "tilt_head": ("tilts the head", "cocks the head"),
    "look_left": ("looks to the left", "glances left"),
    "look_right": ("looks to the right", "glances right"),
    "look_up": ("looks up", "glances up"),
    "look_down": ("looks down", "glances down"),
    "smile": ("smiles", "gives a smile"),
    "raise_eyebrows": ("raises the eyebrows", "lifts the eyebrows"),
    "lean_in": ("leans in", "leans closer"),
    "sway": ("sways", "sways from side to side"),
    "wave": ("waves", "gives a wave"),
    "point": ("points", "points a finger"),
    "raise_hand": ("raises a hand", "lifts a hand"),
}
"""Third person, one action each: what a prompt or a clip's text says that happens."""


def join(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def hair_phrases(value: str) -> tuple[str, ...]:
    """Wordings of a hair value such as `short brown`, `bun red` or `bald`."""
    if value == "bald":
        return ("a bald head", "no hair")
    style, colour = value.split(" ", 1)
    if style == "bun":
        return (f"{colour} hair in a bun", f"a {colour} bun")
    return (f"{style} {colour} hair", f"{colour} {style} hair")


def attire_phrases(value: str) -> tuple[str, ...]:
    """Wordings of an attire value such as `red collared shirt`, with its article."""
    colour, garment = value.split(" ", 1)
    article = "an" if colour[0] in "aeiou" else "a"
    return tuple(f"{article} {colour} {name}" for name in GARMENT_NAMES[garment])


def action_clause(action: str, variant: int = 0) -> str:
    """Third-person clause of an action, for example `tilts the head`."""
    clauses = ACTION_CLAUSES[action]
    return clauses[variant % len(clauses)]
