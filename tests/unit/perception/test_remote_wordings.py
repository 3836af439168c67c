"""What large models are asked and which answers are taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.core.vocabulary import LISTS, SCALARS
from components.perception.remote.caller import unfenced
from components.perception.remote.wordings import (
    ATTRIBUTES_PROMPT,
    AttributeAnswer,
    JudgeAnswer,
    attributes_of,
    judge_prompt,
)

GOOD: dict[str, Any] = {
    "attire": "red jacket", "hair": "bald", "background": "park", "posture": "upright", "head": "tilted",
    "gaze": "downward", "hands": "raised", "expression": "sad", "accessories": ["scarf", "hat", "hat"],
    "objects": [], "implicit_action": "waving",
}  # fmt: skip


def read(**changes: Any) -> dict[str, Any]:
    return attributes_of(AttributeAnswer.model_validate_json(json.dumps(GOOD | changes)))


def test_an_answer_becomes_attributes_of_the_vocabulary() -> None:
    found = read(attire=" Red  Jacket", hair="UNKNOWN", accessories=["Scarf", "hat", "hat"])
    assert found["attire"] == "red jacket" and found["hair"] == "unknown"
    assert found["accessories"] == ["hat", "scarf"]  # the vocabulary's order, once
    assert set(found) == {*SCALARS, *LISTS, "implicit_action"}


@pytest.mark.parametrize(
    "changes",
    [
        {"attire": "pink tutu"},
        {"attire": None},
        {"objects": ["banana"]},
        {"objects": "cup"},
        {"mood": "fine"},
        {"implicit_action": "x" * 61},
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**changes)


@pytest.mark.parametrize("name", [*SCALARS, *LISTS])
def test_nothing_may_be_left_out(name: str) -> None:
    with pytest.raises(ValidationError):
        AttributeAnswer.model_validate({key: value for key, value in GOOD.items() if key != name})


def test_the_implicit_action_may_be_missing() -> None:
    assert read(implicit_action=None)["implicit_action"] is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"high"', "null"])
def test_a_judges_no_number_is_no_answer(value: str) -> None:
    others = ", ".join(f'"{name}": 0.5' for name in JudgeAnswer.model_fields if name != "pose")
    with pytest.raises(ValidationError):
        JudgeAnswer.model_validate_json(f'{{{others}, "pose": {value}}}')


def test_a_judge_outside_the_unit_interval_is_kept_for_the_rewards_to_clamp() -> None:
    assert JudgeAnswer(identity=2, pose=-1, scene=0, motion=0, instruction=0, time=0).identity == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": {"b": 2}}\n```', '{"a": {"b": 2}}'),
        ('Sure! {"a": 1} Anything else?', '{"a": 1}'),
        ("none", "none"),
        ("}{", "}{"),
    ],
)
def test_unfenced(text: str, found: str) -> None:
    assert unfenced(text) == found


def test_prompts_hold_what_they_must() -> None:
    assert "directly observed" in ATTRIBUTES_PROMPT
    asked = judge_prompt("please nod", "the person nods.")
    assert "<<<please nod>>>" in asked and "<<<the person nods.>>>" in asked
    assert all(f"- {name}:" in asked for name in JudgeAnswer.model_fields)
