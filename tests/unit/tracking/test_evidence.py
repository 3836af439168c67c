"""What names a frozen set, and the single figures that promotion pairs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.tracking.comparison import paired
from components.tracking.evidence import frozen, samples


def evaluation() -> dict[str, Any]:
    case = {"picture": "p", "seen": "s", "instruction": "nod", "action": "nod", "seed": 3, "text": "a person"}
    return {
        "protocol": {"frames": 125, "reward": {"beta": 0.6}, "models": {"enhancer_grpo": "1"}},
        "items": [{"identity": "a", "reference": "r", "sound": "r", "seed": 1, "index": 0, "face_rate": 1.0}],
        "cases": [
            case | {"index": index, "enhancer_action_kept": float(index > 0), "enhancer_reward": value}
            for index, value in enumerate((0.5, None, 0.75))
        ],
    }


@pytest.mark.parametrize(
    "path",
    [("cases", 0, name) for name in ("picture", "seen", "instruction", "action", "seed", "index")]
    + [("items", 0, "seed"), ("protocol", "frames"), ("protocol", "reward")],
)
def test_what_makes_another_frozen_set(path: tuple[Any, ...]) -> None:
    content = evaluation()
    changed = copy.deepcopy(content)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "another"
    assert frozen(changed) != frozen(content)


def test_what_the_model_did_does_not_change_the_set() -> None:
    content = evaluation()
    changed = copy.deepcopy(content)
    changed["cases"][0] |= {"text": "other", "enhancer_reward": 0.1}
    changed["items"][0]["face_rate"] = 0.2
    changed["protocol"]["models"] = {"enhancer_grpo": "2"}
    changed["cases"].reverse()
    assert frozen(changed) == frozen(content)


def test_cases_are_paired_one_by_one_even_where_picture_and_wording_repeat() -> None:
    content = evaluation()
    other = copy.deepcopy(content)
    other["cases"][0]["enhancer_action_kept"] = 1.0
    found = samples(content)
    assert sorted(found) == ["enhancer_action_kept", "enhancer_reward", "face_rate"]
    assert sorted(found["enhancer_action_kept"].values()) == [0.0, 1.0, 1.0]
    assert sorted(map(str, found["enhancer_reward"].values())) == ["0.5", "0.75", "None"]
    gained = paired(
        samples(other)["enhancer_action_kept"], found["enhancer_action_kept"], higher=True, level=0.95
    )
    assert gained is not None and (gained.n, gained.p) == (3, 0.5) and gained.gain == pytest.approx(1 / 3)
    rewards = paired(found["enhancer_reward"], found["enhancer_reward"], higher=True, level=0.95)
    assert rewards is not None and rewards.n == 2
