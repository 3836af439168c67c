"""Whole texts from the phrasebook: motion-aware prompts, complete or with chosen parts left out.

One writer serves the enhancer's training targets and the texts on which the small text model learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.core import vocabulary as words
from components.perception import phrases

if TYPE_CHECKING:
    import numpy as np

DESCRIPTIVE = ("hair", "attire", "accessories", "background", "objects", "expression", "posture")
"""Attributes of the first sentence, in order; `head`, `gaze` and `hands` are cues of the second."""
CUE_KINDS = ("head", "gaze", "hands")
STAGES = ("beginning", "middle", "end")
SETTLED = "they settle"
STILL = "they are still"
MARKERS = {"beginning": "at first", "middle": "then", "end": "finally"}


@dataclass(frozen=True)
class Statement:
    """A text and what it says: attribute values (absent = unsaid) and the action."""

    text: str
    attributes: dict[str, Any]
    action: str | None


def _pick(options: Sequence[str], rng: np.random.Generator | None) -> str:
    return options[0] if rng is None else options[int(rng.integers(len(options)))]


def description(attributes: Mapping[str, Any], rng: np.random.Generator | None = None) -> str:
    """First part of a prompt, from the attributes present (absent or "unknown" ones are not said).

    Without `rng` every value has its canonical wording; with it a synonym may be drawn.
    """
    subject = "a person"
    if (hair := attributes.get("hair", words.UNKNOWN)) != words.UNKNOWN:
        subject += f" with {_pick(phrases.hair_phrases(hair), rng)}"
    worn = []
    if (attire := attributes.get("attire", words.UNKNOWN)) != words.UNKNOWN:
        worn.append(_pick(phrases.attire_phrases(attire), rng))
    worn += [phrases.ACCESSORY_NAMES[name] for name in attributes.get("accessories") or ()]
    parts = [subject]
    if worn:
        parts.append(f"wearing {phrases.join(worn)}")
    if (place := attributes.get("background", words.UNKNOWN)) != words.UNKNOWN:
        parts.append(_pick(phrases.BACKGROUND_PLACES[place], rng))
    if held := attributes.get("objects"):
        parts.append(f"holding {phrases.join([phrases.OBJECT_NAMES[name] for name in held])}")
    for name, table in (("expression", phrases.EXPRESSION_PHRASES), ("posture", phrases.POSTURE_PHRASES)):
        if (value := attributes.get(name, words.UNKNOWN)) != words.UNKNOWN:
            parts.append(_pick(table[value], rng))
    return ", ".join(parts)


def motion(
    attributes: Mapping[str, Any],
    action: str | None,
    cues: Sequence[str] = CUE_KINDS,
    stages: Sequence[str] = STAGES,
    rng: np.random.Generator | None = None,
) -> str:
    """Second part: the pose cues named in `cues` (where known), the action and the temporal stages."""
    said = [
        _pick(phrases.CUES[kind][attributes[kind]], rng)
        for kind in CUE_KINDS
        if kind in cues and attributes.get(kind, words.UNKNOWN) != words.UNKNOWN
    ]
    parts = []
    if "beginning" in stages:
        parts.append(f"{MARKERS['beginning']} {', '.join(said) if said else STILL}")
    elif said:
        parts.append(", ".join(said))
    if action is not None:
        clause = f"the person {_pick(phrases.ACTION_CLAUSES[action], rng)}"
        parts.append(f"{MARKERS['middle']} {clause}" if "middle" in stages else clause)
    if "end" in stages:
        parts.append(f"{MARKERS['end']} {SETTLED}")
    return ", ".join(parts)


def prompt(
    attributes: Mapping[str, Any],
    action: str | None,
    cues: Sequence[str] = CUE_KINDS,
    stages: Sequence[str] = STAGES,
    rng: np.random.Generator | None = None,
) -> str:
    """A motion-aware prompt: what is seen, then how it moves. Complete by default."""
    moving = motion(attributes, action, cues, stages, rng)
    return description(attributes, rng) + "." + (f" {moving}." if moving else "")


def any_attributes(rng: np.random.Generator) -> dict[str, Any]:
    """Attributes drawn at random from the vocabulary, lists of up to three values."""
    found: dict[str, Any] = {
        name: values[int(rng.integers(len(values)))] for name, values in words.SCALARS.items()
    }
    count = int(rng.choice((0, 1, 2, 3), p=(0.4, 0.35, 0.2, 0.05)))
    chosen = set(rng.permutation(len(words.ACCESSORIES))[:count].tolist())
    found["accessories"] = [name for index, name in enumerate(words.ACCESSORIES) if index in chosen]
    found["objects"] = [words.OBJECTS[int(rng.integers(len(words.OBJECTS)))]] if rng.random() < 0.4 else []
    return found


def some(attributes: Mapping[str, Any], rng: np.random.Generator, keep: float) -> dict[str, Any]:
    """Each attribute with probability `keep`."""
    return {name: value for name, value in attributes.items() if rng.random() < keep}


def any_statement(
    rng: np.random.Generator, attributes: Mapping[str, Any] | None = None, action: str | None = None
) -> Statement:
    """A text of any completeness about the given (or random) attributes and the given (or random) action."""
    said = some(
        any_attributes(rng) if attributes is None else attributes, rng, float(rng.choice((0.5, 0.8, 1.0)))
    )
    if action is None and rng.random() < 0.8:
        action = words.ACTIONS[int(rng.integers(len(words.ACTIONS)))]
    stages = tuple(stage for stage in STAGES if rng.random() < 0.5)
    text = prompt(said, action, CUE_KINDS, stages, rng)
    if rng.random() < 0.3:
        halves = text.split(". ", 1)
        text = ". ".join(half.rstrip(".") for half in reversed(halves)) + "."
    return Statement(text, said, action)
