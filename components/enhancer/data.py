"""Which pictures the enhancer learns from and which it is measured on, read from upstream artifacts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.files import digest_file, read_parquet
from components.core.paths import Workspace
from components.core.vocabulary import UNKNOWN
from components.enhancer.pairs import Pool

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

ANNOTATIONS = ("annotate", "annotations.parquet")
PEOPLE = ("perception", "people")
TOO_SMALL = {"full body": ("gaze", "expression")}
"""What a picture of 112 px does not show in this framing: unknown there, in training as in scoring."""


def visible(attributes: dict[str, Any], framing: str) -> dict[str, Any]:
    """The attributes with those that are too small to see set to "unknown"."""
    return attributes | dict.fromkeys(TOO_SMALL.get(framing, ()), UNKNOWN)


def _people(workspace: Workspace, held_out: bool) -> Pool:
    from components.perception.people import read_people

    people = read_people(workspace.artifacts(*PEOPLE))
    rows = np.flatnonzero(people.table["held_out"].to_numpy(dtype=bool) == held_out)
    table = people.table.iloc[rows]
    attributes = [
        visible(json.loads(text), framing)
        for text, framing in zip(table["attributes"], table["framing"], strict=True)
    ]
    return Pool(people.pictures[rows], attributes, list(table["framing"]), np.zeros(len(rows), dtype=bool))


def _frames(workspace: Workspace, table: pd.DataFrame) -> NDArray[np.uint8]:
    from components.core.media import read_image
    from components.enhancer.model import IMAGE_SIZE, picture

    folder = workspace.artifacts("annotate", "frames")
    images = [np.asarray(picture(read_image(folder / f"{clip}.png"))) for clip in table["clip_id"]]
    return np.stack(images) if images else np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)


def _clips(workspace: Workspace, split: str) -> Pool:
    table = read_parquet(workspace.artifacts(*ANNOTATIONS))
    table = table[table["split"] == split].sort_values("clip_id", kind="stable")
    attributes = [
        visible(json.loads(text), framing)
        for text, framing in zip(table["attributes"], table["framing"], strict=True)
    ]
    return Pool(
        _frames(workspace, table), attributes, list(table["framing"]), np.ones(len(table), dtype=bool)
    )


def join(first: Pool, second: Pool) -> Pool:
    """Both pools, the first one's rows first."""
    return Pool(
        np.concatenate([first.images, second.images]),
        first.attributes + second.attributes,
        first.framings + second.framings,
        np.concatenate([first.clips, second.clips]),
    )


def training_pool(workspace: Workspace) -> Pool:
    """Rendered people that are not held out, and the clips of the training split.

    Raises:
        InputError: an artifact is missing, or there is no picture.
    """
    pool = join(_people(workspace, held_out=False), _clips(workspace, "train"))
    if not len(pool):
        raise InputError("the enhancer has no picture to learn from: no rendered people and no training clip")
    return pool


def held_out_pool(workspace: Workspace) -> Pool:
    """Rendered people kept back, and the clips of the test split: nobody in it was trained on.

    Raises:
        InputError: an artifact is missing, or there is no picture.
    """
    pool = join(_people(workspace, held_out=True), _clips(workspace, "test"))
    if not len(pool):
        raise InputError(
            "the enhancer has no held-out picture: no held-out people and no clip of the test split"
        )
    return pool


def inputs(workspace: Workspace) -> list[str]:
    """Digests of everything `training_pool` reads: the key of work in progress."""
    files = [workspace.artifacts(*ANNOTATIONS), *sorted(workspace.artifacts(*PEOPLE).glob("*"))]
    return [digest_file(path) for path in files if path.is_file()]
