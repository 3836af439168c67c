"""The small captioner: what was observed in a frame, said in one sentence of fewer than 77 tokens.

It follows the paper's instruction to its captioner: only what can be directly observed, no speculation. A
value that perception did not recognise ("unknown") is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from components.core.vocabulary import UNKNOWN
from components.perception import phrases

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.perception.attributes import AttributeModel

CAPTION_TOKENS = 77
"""A caption has fewer tokens than this (the supplement's limit)."""
INSTRUCTION = (
    "You are given a reference image. Describe the image clearly and concisely in fewer than 77 tokens. "
    "Do not include speculation, hidden details, or information not visible in the image. "
    "Only describe what can be directly observed."
)


class Captioner(Protocol):
    """Describes pictures: frames (N,H,W,3) uint8 RGB -> N captions."""

    def caption(self, frames: NDArray[np.uint8]) -> list[str]: ...


def _said(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) and value != UNKNOWN else None


def facts(attributes: Mapping[str, Any]) -> list[str]:
    """The wording of each known attribute, the most telling first."""
    said: list[str] = []
    subject = "a person"
    if hair := _said(attributes, "hair"):
        subject += f" with {phrases.hair_phrases(hair)[0]}"
    worn = []
    if attire := _said(attributes, "attire"):
        worn.append(phrases.attire_phrases(attire)[0])
    worn += [phrases.ACCESSORY_NAMES[name] for name in attributes.get("accessories") or ()]
    if worn:
        subject += f" wearing {phrases.join(worn)}"
    said.append(subject)
    if place := _said(attributes, "background"):
        said.append(phrases.BACKGROUND_PLACES[place][0])
    held = [phrases.OBJECT_NAMES[name] for name in attributes.get("objects") or ()]
    if held:
        said.append(f"holding {phrases.join(held)}")
    for name, table in (
        ("expression", phrases.EXPRESSION_PHRASES),
        ("posture", phrases.POSTURE_PHRASES),
        ("head", phrases.HEAD_CUES),
        ("gaze", phrases.GAZE_CUES),
        ("hands", phrases.HANDS_CUES),
    ):
        value = _said(attributes, name)
        if value and not (name == "hands" and (value == "not visible" or held)):
            said.append(table[value][0])
    return said


def compose(attributes: Mapping[str, Any], count_tokens: Callable[[str], int] | None = None) -> str:
    """A caption of the known attributes; with `count_tokens` the last facts go until it is short enough."""
    said = facts(attributes)
    while True:
        caption = ", ".join(said) + "."
        caption = caption[0].upper() + caption[1:]
        if count_tokens is None or len(said) == 1 or count_tokens(caption) < CAPTION_TOKENS:
            return caption
        said.pop()


def with_actions(caption: str, actions: Sequence[str]) -> str:
    """The text of a clip: the caption, then what the person does, in order and without repeats."""
    names = list(dict.fromkeys(actions))
    if not names:
        return caption
    clauses = [phrases.action_clause(name) for name in names]
    return f"{caption} The person {', then '.join(clauses)}."


class SmallCaptioner:
    """Captions by the small attribute model."""

    def __init__(self, attributes: AttributeModel, count_tokens: Callable[[str], int]) -> None:
        self._attributes = attributes
        self._count = count_tokens

    def caption(self, frames: NDArray[np.uint8]) -> list[str]:
        """frames (N,H,W,3) uint8 RGB -> N captions of fewer than 77 tokens."""
        return [compose(found, self._count) for found in self._attributes.predict(frames)]
