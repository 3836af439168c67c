"""An independent check that a prompt is well formed, apart from the rewards that it may learn to game."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

_CUE = re.compile(
    r"\b(?:head (?:facing forward|straight|turned (?:to the )?(?:left|right)|tilted(?: to one side)?)"
    r"|(?:gaze|eyes) (?:at the camera|on the camera|to the left|to the right|downward|cast downward)"
    r"|hands? (?:not visible|out of frame|(?:at|by) the sides|raised|holding an object))\b"
)
_CUE_HEAD = re.compile(r"(?<!bald )(?<!the )(?<!their )\bhead\b|\bgaze\b|\beyes\b|\bhands\b|\bone hand\b")
_MARKERS = {"at first": 0, "then": 1, "finally": 2}
_OBJECT = re.compile(r"\b(book|pen|cup|phone|microphone|flower)\b")
_WORN = re.compile(r"\b(glasses|hat|earrings|headphones|scarf)\b")
_ONCE = (r"\ba person\b", r"\bthe person\b", r"\bwearing\b", r"\bholding a \w+\b", r"\b(?:expression|face)\b")
_GRAM = 4


def faults(prompt: str, attributes: Mapping[str, Any]) -> list[str]:
    """What is wrong with a prompt about a picture with these attributes; empty if it is well formed.

    Looked for: no end, empty parts, repeated runs of four words, more than one subject, act, outfit or held
    thing, repeated or orphaned cues, temporal markers repeated or out of order, invented objects or
    accessories (only where the list is known).
    """
    text = " ".join(prompt.lower().split())
    found = []
    if not text.endswith("."):
        found.append("no end")
    if re.search(r"[,.]\s*[,.]|^\W|\b(?:and|a|an|the|to|with|wearing|holding|at|then|finally)\s*[,.]", text):
        found.append("empty part")
    tokens = re.findall(r"[\w-]+", text)
    grams = Counter(tuple(tokens[i : i + _GRAM]) for i in range(len(tokens) - _GRAM + 1))
    if any(count > 1 for count in grams.values()):
        found.append("repeated words")
    if any(len(re.findall(pattern, text)) > 1 for pattern in _ONCE):
        found.append("said twice")
    cues = [match.group(0) for match in _CUE.finditer(text)]
    kinds = Counter({"eyes": "gaze", "hand": "hands"}.get(c.split()[0], c.split()[0]) for c in cues)
    if any(count > 1 for count in kinds.values()):
        found.append("repeated cue")
    rest = re.sub(r"\b(?:turns|tilts|shakes|cocks|nods) (?:the |their )?head\b", "", _CUE.sub("", text))
    if _CUE_HEAD.search(rest):
        found.append("orphaned cue")
    stages = [_MARKERS[m.group(0)] for m in re.finditer(r"\b(?:at first|then|finally)\b", text)]
    if stages != sorted(set(stages)):
        found.append("stages out of order")
    for name, pattern in (("objects", _OBJECT), ("accessories", _WORN)):
        seen = attributes.get(name)
        if seen is not None and set(pattern.findall(text)) - set(seen):
            found.append(f"invented {name}")
    return found


def well_formed(prompt: str, attributes: Mapping[str, Any]) -> bool:
    """Whether `faults` finds nothing."""
    return not faults(prompt, attributes)
