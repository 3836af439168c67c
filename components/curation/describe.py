"""Annotations by a large model: attributes and captions of reference frames, in the place of the small ones.

Asked after the clips are read, all frames at once. Frames without a usable answer leave the annotations and
go to quarantine.parquet with what came instead; the gate then sees that their clips lack an annotation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.files import to_json
from components.core.media import read_image
from components.core.paths import Workspace
from components.core.progress import say
from components.curation.params import AnnotateParams
from components.perception.remote.describers import (
    Described,
    open_caller,
    read_attributes,
    write_captions,
)

QUARANTINE = ("clip_id", "asked", "by", "status", "detail", "answer")


def redescribe(
    rows: list[dict[str, Any]],
    frames: Path,
    params: AnnotateParams,
    workspace: Workspace,
    count_tokens: Callable[[str], int],
    with_actions: Callable[[str, list[str]], str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Annotation rows with the large models' answers, and the quarantined ones.

    Raises:
        BudgetSpent, TemporaryFailure, InputError: see `Caller.ask_all`; the same call goes on from there.
    """
    pictures = [read_image(frames / f"{row['clip_id']}.png") for row in rows]
    told: dict[str, tuple[str, list[Described]]] = {}
    for asked, by in (("attributes", params.attributes_by), ("caption", params.captions_by)):
        if by == "small":
            continue
        caller = open_caller(by, params.describer, workspace.state("annotate", by), job=f"annotate {asked}")
        try:
            answers = (
                read_attributes(caller, pictures)
                if asked == "attributes"
                else write_captions(caller, pictures, count_tokens)
            )
            say(f"  annotate: {asked} by {caller.backend.name}, {caller.account()}")
        finally:
            caller.close()
        told[asked] = (caller.backend.name, answers)
    kept, quarantined = [], []
    for index, row in enumerate(rows):
        answers_of_row = {asked: (name, answers[index]) for asked, (name, answers) in told.items()}
        bad = [
            {
                "clip_id": row["clip_id"], "asked": asked, "by": name, "status": one.status,
                "detail": one.detail, "answer": one.text,
            }
            for asked, (name, one) in answers_of_row.items()
            if one.value is None
        ]  # fmt: skip
        quarantined += bad
        if not bad:
            kept.append(_with_answers(row, answers_of_row, params, count_tokens, with_actions))
    return kept, quarantined


def _with_answers(
    row: dict[str, Any],
    answers: dict[str, tuple[str, Described]],
    params: AnnotateParams,
    count_tokens: Callable[[str], int],
    with_actions: Callable[[str, list[str]], str],
) -> dict[str, Any]:
    import json

    changed = dict(row)
    if "attributes" in answers:
        name, described = answers["attributes"]
        changed |= {"attributes": to_json(described.value, indent=None), "attribute_model": name}
    if "caption" in answers:
        caption = answers["caption"][1].value
        done = [each["action"] for each in json.loads(row["actions"])][: params.max_actions]
        changed |= {
            "caption": caption,
            "caption_tokens": count_tokens(caption),
            "text": with_actions(caption, done),
        }
    return changed
