"""User instructions: fourteen actions × four phrasings × eight carrier sentences, some kept for testing.

One carrier is never seen in training, and of the others every fourth (phrasing, carrier) combination is kept
back, so that a held-out instruction is a wording that training never showed. Training has further carriers
that are never held out: with few, a model learns them as wholes and stumbles over a new one (a question mark
that it never saw, a verb between unknown words).
"""

from __future__ import annotations

from dataclasses import dataclass

from components.core.vocabulary import ACTIONS

PHRASINGS: dict[str, tuple[str, ...]] = {
    "nod": ("nod", "nod the head", "give a nod", "nod in agreement"),
    "shake_head": ("shake the head", "give a head shake", "shake their head", "give a shake of the head"),
    "tilt_head": ("tilt the head", "tilt their head", "cock the head", "give a head tilt"),
    "look_left": ("look left", "look to the left", "glance left", "turn the head to the left"),
    "look_right": ("look right", "look to the right", "glance right", "turn the head to the right"),
    "look_up": ("look up", "look upwards", "glance up", "glance upwards"),
    "look_down": ("look down", "look downwards", "glance down", "glance downwards"),
    "smile": ("smile", "give a smile", "start smiling", "grin"),
    "raise_eyebrows": (
        "raise the eyebrows", "lift the eyebrows", "raise their eyebrows", "raise both brows",
    ),
    "lean_in": ("lean in", "lean forward", "lean closer", "lean towards the camera"),
    "sway": ("sway", "sway from side to side", "sway gently", "rock from side to side"),
    "wave": ("wave", "wave at the camera", "give a wave", "wave hello"),
    "point": ("point", "point at the camera", "point a finger", "point ahead"),
    "raise_hand": ("raise a hand", "raise their hand", "lift a hand", "put a hand up"),
}  # fmt: skip
CARRIERS = (
    "{}",
    "please {}",
    "make the person {}",
    "have them {} while talking",
    "I want the speaker to {}",
    "the person should {}",
    "can you make them {}?",
    "let the person {} as they speak",
)
TRAINING_CARRIERS = (
    "could you have the speaker {}?",
    "would the person {}, please?",
    "show the person as they {}",
    "they {} now",
    "now {}.",
    "I would like them to {} here",
    "get the person to {}",
    "the speaker might {} a little",
    "video of someone who should {}",
    "ask the person to {}!",
    "{} please",
    "in this clip they should {} once",
)
"""Carriers that only training has."""
HELD_OUT_CARRIER = 6
HELD_OUT_EVERY = 4


@dataclass(frozen=True)
class Instruction:
    """A user's instruction and the action it asks for."""

    text: str
    action: str


def _split() -> dict[bool, dict[str, tuple[Instruction, ...]]]:
    sides: dict[bool, dict[str, list[Instruction]]] = {
        side: {action: [] for action in ACTIONS} for side in (False, True)
    }
    for number, action in enumerate(ACTIONS):
        for row, phrasing in enumerate(PHRASINGS[action]):
            for column, carrier in enumerate(CARRIERS):
                held_out = column == HELD_OUT_CARRIER or (row + column + number) % HELD_OUT_EVERY == 0
                sides[held_out][action].append(Instruction(carrier.format(phrasing), action))
            sides[False][action] += [
                Instruction(carrier.format(phrasing), action) for carrier in TRAINING_CARRIERS
            ]
    return {side: {action: tuple(rows) for action, rows in table.items()} for side, table in sides.items()}


_BY_SIDE = _split()


def training() -> dict[str, tuple[Instruction, ...]]:
    """Instructions by action that training may show."""
    return _BY_SIDE[False]


def held_out() -> dict[str, tuple[Instruction, ...]]:
    """Instructions by action whose wording training never shows."""
    return _BY_SIDE[True]
