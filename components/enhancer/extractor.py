"""Reads a prompt: its attributes (the schema of `core.vocabulary`), pose cues and actions, by rule.

Equations 2 and 3 of the supplement compare attributes of the image with attributes of the *prompt*; this is
where the prompt's come from. Reading ignores case, Unicode form, line breaks and runs of white space. A
scalar that is named with two different values is "unknown": listing every colour must not score. What is
denied ("without a hat", "does not wave") does not count as said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from components.core import vocabulary as words

Attributes = dict[str, str | list[str]]
"""Scalar name -> value or "unknown"; list name -> sorted values."""

_GARMENTS = {
    "t-shirt": r"t[ -]?shirt|tee",
    "collared shirt": r"collared shirt|button-up(?: shirt)?|dress shirt",
    "jacket": r"jacket|coat|blazer",
    "turtleneck": r"turtleneck(?: sweater)?|roll-neck(?: sweater)?",
}
_HAIR_COLOURS = {
    "black": "black",
    "brown": "brown|brunette",
    "blond": "blonde?|fair",
    "red": "red|ginger",
    "grey": "gr[ea]y",
}
_PLACES = {
    "office": r"office",
    "bookshelf": r"book ?shel(?:f|ves)|bookcase",
    "park": r"park",
    "city": r"city|cityscape|skyline",
    "studio": r"studio",
    "brick wall": r"brick wall",
}
_ACCESSORIES = {
    "glasses": r"(?:eye)?glasses|spectacles",
    "hat": r"hats?|cap",
    "earrings": r"earrings?",
    "headphones": r"headphones|headset",
    "scarf": r"scarf",
}
_OBJECTS = {
    "book": r"book",
    "pen": r"pen",
    "cup": r"cup|mug",
    "phone": r"(?:smart)?phone",
    "microphone": r"microphone|mic",
    "flower": r"flower",
}
_OWN = r"(?:the|their|his|her|your|its|a|my|one)"
_BE = r"(?: is| are)?(?: slightly| gently)?"
_SIDE = r"(?:(?:to|toward|towards) )?(?:(?:the|their|his|her|your) )?"
_CUES: dict[str, dict[str, str]] = {
    "head": {
        "facing forward": rf"head{_BE} (?:facing )?(?:forward|straight|the camera)"
        r"|facing (?:forward|the camera)",
        "turned left": rf"head{_BE} turned(?: slightly)? {_SIDE}left",
        "turned right": rf"head{_BE} turned(?: slightly)? {_SIDE}right",
        "tilted": rf"head{_BE} tilted|tilted head",
    },
    "gaze": {
        "at the camera": rf"(?:gaze|eyes){_BE}(?: directed| fixed)? (?:at|on|into|toward|towards) the camera"
        r"|looking (?:at|into) the camera",
        "to the left": rf"(?:gaze|eyes){_BE}(?: directed| turned| cast)? {_SIDE}left",
        "to the right": rf"(?:gaze|eyes){_BE}(?: directed| turned| cast)? {_SIDE}right",
        "downward": rf"(?:gaze|eyes){_BE}(?: directed| turned| cast)? down(?:wards?)?|downcast eyes",
    },
    "hands": {
        "not visible": rf"hands?{_BE} (?:not visible|out of (?:the )?frame|hidden|not seen)",
        "at the sides": rf"(?:hands?|arms?){_BE} (?:resting )?(?:at|by) (?:(?:the|their|his|her) )?sides?",
        "raised": rf"(?:hands?|arms?){_BE} raised|raised (?:hands?|arms?)",
        "holding an object": rf"hands?{_BE} holding an object",
    },
}
_LOOK = r"(?:look(?:s|ing)?|glanc(?:e|es|ing)|gaz(?:es|ing))(?: \w+ly| briefly)?"
_TURN = rf"turn(?:s|ing)?(?: {_OWN} (?:head|face|eyes))?"
_ACTIONS: dict[str, str] = {
    "nod": r"nod(?:s|ded|ding)?",
    "shake_head": rf"shak(?:e|es|ing)(?: of)? {_OWN} head|head ?shakes?",
    "tilt_head": rf"(?:tilt|cock)(?:s|ing)?(?: of)? {_OWN} head|head tilts?",
    "look_left": rf"(?:{_LOOK}|{_TURN}) {_SIDE}left|look (?:on|over) (?:the|your) left",
    "look_right": rf"(?:{_LOOK}|{_TURN}) {_SIDE}right|look (?:on|over) (?:the|your) right",
    "look_up": rf"{_LOOK} (?:up|upwards?|above)",
    "look_down": rf"{_LOOK} (?:down|downwards?|below)",
    "smile": r"(?:smiles?|smiled|grins?|grinning)|(?:start|begin|keep)(?:s|ing)? smiling",
    "raise_eyebrows": rf"(?:rais|lift)(?:e|es|s|ing)?(?: {_OWN}| both)? (?:eye)?brows?",
    "lean_in": r"lean(?:s|ing)?(?: slightly| a little| a bit)? (?:in|forward|closer|towards?)",
    "sway": r"sway(?:s|ing)?|rock(?:s|ing)?(?: gently)? (?:from )?side to side",
    "wave": r"wav(?:e|es|ed|ing)",
    "point": r"(?<!this )(?<!that )(?<!some )point(?:s|ed|ing)?(?! of)",
    "raise_hand": rf"(?:rais|lift)(?:e|es|s|ing)?(?: up)? {_OWN} (?:\w+ )?(?:hand|arm)"
    rf"|(?:put|hold)(?:s|ting|ing)? (?:up {_OWN} hand|{_OWN} hand up)",
}
_DENIED = re.compile(r"(?:\bno|\bnot|\bnever|\bwithout|n't)(?: \w+){0,2} ?$")
_BREAK = re.compile(r"[.,;:!?]")


@dataclass(frozen=True)
class Mention:
    """A stretch of the normalised text that names `value`."""

    value: str
    start: int
    end: int


def normalise(text: str) -> str:
    """NFKC, casefold, white space collapsed: the form in which values are compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b")


def _find(pattern: str, value: str, text: str) -> list[Mention]:
    """Mentions that are not denied in their own clause."""
    found = []
    for match in _compiled(pattern).finditer(text):
        clause = _BREAK.split(text[: match.start()])[-1]
        if not _DENIED.search(clause):
            found.append(Mention(value, match.start(), match.end()))
    return found


def _all(table: dict[str, str], text: str) -> list[Mention]:
    found = [mention for value, pattern in table.items() for mention in _find(pattern, value, text)]
    return sorted(found, key=lambda mention: (mention.start, mention.end))


def _one(values: Iterable[str]) -> str:
    named = set(values)
    return named.pop() if len(named) == 1 else words.UNKNOWN


@cache
def _attire_table() -> dict[str, str]:
    return {
        f"{colour} {garment}": rf"{colour} (?:\w+ )?(?:{names})"
        for colour in words.GARMENT_COLOURS
        for garment, names in _GARMENTS.items()
    }


@cache
def _hair_table() -> dict[str, str]:
    table = {"bald": r"bald|no hair|shaved head"}
    for colour, names in _HAIR_COLOURS.items():
        tone = f"(?:{names})"
        for style in ("short", "long", "curly"):
            table[f"{style} {colour}"] = rf"{style},? (?:and )?{tone} hair|{tone},? (?:and )?{style} hair"
        table[f"bun {colour}"] = (
            rf"{tone} hair (?:\w+ ){{0,2}}in(?:to)? a bun|{tone}(?: hair)? bun|hair (?:\w+ )?in a {tone} bun"
        )
    return table


def cue_mentions(prompt: str) -> dict[str, list[Mention]]:
    """Complete pose-cue phrases of the closed lexicon, per kind (`head`, `gaze`, `hands`), in order."""
    text = normalise(prompt)
    return {kind: _all(table, text) for kind, table in _CUES.items()}


def cues(prompt: str) -> dict[str, list[str]]:
    """Values of the pose cues by kind, in order of mention; repeats stay. "Holding a cup" says what the
    hands do where no phrase about the hands does."""
    text = normalise(prompt)
    found = {kind: [mention.value for mention in _all(table, text)] for kind, table in _CUES.items()}
    if not found["hands"]:
        held = "|".join(_OBJECTS.values())
        if _find(rf"(?:holding|holds) (?:{_OWN}|an) (?:\w+ )?(?:{held}|object)", "held", text):
            found["hands"] = ["holding an object"]
    return found


def action_mentions(prompt: str) -> list[Mention]:
    """Every mention of one of the fourteen actions, in order."""
    return _all(_ACTIONS, normalise(prompt))


def actions(prompt: str) -> list[str]:
    """Names of the actions in order of mention; an action mentioned twice is listed twice."""
    return [mention.value for mention in action_mentions(prompt)]


def object_mentions(prompt: str) -> list[Mention]:
    """Every mention of an object of the vocabulary, in order."""
    return _all(_OBJECTS, normalise(prompt))


def accessory_mentions(prompt: str) -> list[Mention]:
    """Every mention of an accessory of the vocabulary, in order."""
    return _all(_ACCESSORIES, normalise(prompt))


def extract(prompt: str) -> Attributes:
    """Attributes that the prompt states: scalars (value or "unknown") and lists (sorted, possibly empty)."""
    text = normalise(prompt)
    posed = cues(prompt)
    scalars = {
        "attire": _one(mention.value for mention in _all(_attire_table(), text)),
        "hair": _one(mention.value for mention in _all(_hair_table(), text)),
        "background": _one(mention.value for mention in _all(_PLACES, text)),
        "posture": _one(
            mention.value
            for mention in _all(
                {
                    "upright": r"upright|straight posture|(?:sits|sitting|stands|standing) straight",
                    "leaning": r"leaning(?! (?:slightly |a little |a bit )?(?:in|forward|closer|towards?)\b)",
                },
                text,
            )
        ),
        "head": _one(posed["head"]),
        "gaze": _one(posed["gaze"]),
        "hands": _one(posed["hands"]),
        "expression": _one(
            mention.value
            for mention in _all(
                {
                    "neutral": "neutral",
                    "smiling": r"(?<!start )(?<!starts )(?<!begin )(?<!begins )(?<!keep )(?<!keeps )smiling",
                    "sad": "sad",
                    "surprised": "surprised",
                },
                text,
            )
        ),
    }
    lists = {
        "accessories": sorted({mention.value for mention in accessory_mentions(text)}),
        "objects": sorted({mention.value for mention in object_mentions(text)}),
    }
    return {**scalars, **lists}
