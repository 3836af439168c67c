"""People who are rendered where they are needed: `synthetic://people=100,clips=300,seed=11`.

The demo corpus's own people are few, so that it fits into a repository; this makes any number of others, to
train on. The same address gives the same bytes; a stopped run goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.paths import Workspace
from components.curation.sources.places import SYNTHETIC, local

KEYS = ("people", "clips", "seed")


def render(workspace: Workspace, url: str) -> Path:
    """Renders what is not there yet; returns the folder (clips and their source.yaml).

    Raises:
        InputError: the address does not read `synthetic://people=N,clips=N,seed=N`, or names fewer clips than
            people.
    """
    from components.corpus.build import PEOPLE, make_all, plan_people

    wanted = _numbers(url)
    place = local(workspace, f"{SYNTHETIC}://{','.join(f'{key}={wanted[key]}' for key in KEYS)}")
    make_all(plan_people(wanted["seed"], wanted["people"], wanted["clips"]), place)
    return place / PEOPLE


def _numbers(url: str) -> dict[str, int]:
    pairs = [part.partition("=")[::2] for part in url.removeprefix(f"{SYNTHETIC}://").split(",")]
    found = dict(pairs)
    if len(pairs) != len(KEYS) or set(found) != set(KEYS) or not all(v.isdecimal() for v in found.values()):
        raise InputError(f"source {url!r} should read {SYNTHETIC}://people=100,clips=300,seed=11")
    return {key: int(value) for key, value in found.items()}
