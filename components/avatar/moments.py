"""The texts of a clip's moments: what the person does just then, not what happens somewhere in the clip.

Told "looks left, then nods" for every second of a clip, a generator that is trained on windows of a second
learns that text says nothing about motion. So a window is told of the actions that it shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.avatar.vae import TIME
from components.core.media import FPS

PLAIN = "A person talks to the camera."
"""What stands for the caption where the action alone is told."""
LEAST_SHARE = 0.4
"""An action is told of a window that it fills to this share of the latents."""


def moment_texts(
    caption: str, actions: Sequence[Mapping[str, Any]], latents: int
) -> tuple[list[str], list[int]]:
    """Texts of a clip, in pairs (with caption, with PLAIN), the first pair without an action; and each
    latent's pair.

    Args:
        caption: what is seen all along. actions: {action, start, end} in seconds, as annotated.
        latents: latent frames of the clip; latent j stands for frames 4j-3 … 4j.
    """
    from components.perception.captions import with_actions

    sets: list[tuple[str, ...]] = [()]
    places = []
    for latent in range(latents):
        middle = max(0.0, TIME * latent - (TIME - 1) / 2) / FPS
        done = tuple(each["action"] for each in actions if each["start"] <= middle <= each["end"])
        if done not in sets:
            sets.append(done)
        places.append(sets.index(done))
    return [with_actions(start, done) for done in sets for start in (caption, PLAIN)], places


def told(places: Sequence[int]) -> int:
    """The pair of a window, of its latents' pairs: the action that fills most of it, if any fills enough."""
    counts = Counter(place for place in places if place)
    if not counts:
        return 0
    place, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return place if count >= LEAST_SHARE * len(places) else 0
