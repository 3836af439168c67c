"""The rule judge of instructions, the check of form, groups with unscorable samples."""

from __future__ import annotations

import numpy as np
import pytest

from components.enhancer import pairs
from components.enhancer.form import faults, well_formed
from components.enhancer.grpo import fill_groups
from components.enhancer.judges import instruction_match
from components.enhancer.params import RewardWeights, TargetParams
from components.perception import wording


@pytest.mark.parametrize(
    ("instruction", "prompt", "expected"),
    [
        ("please nod", "the person nods.", 1.0),
        ("please nod", "the person nods and nods.", 0.5),
        ("please nod", "the person waves.", 0.0),
        ("please nod", "the person nods, then waves.", 0.5),
        ("nod and smile", "the person nods.", 0.5),
        ("nod and smile", "the person nods and smiles.", 1.0),
        ("sing about whales", "a person sings about whales", 2 / 3),
        ("please", "a person", 0.0),
    ],
)
def test_instruction_match(instruction: str, prompt: str, expected: float) -> None:
    assert instruction_match(instruction, prompt) == pytest.approx(expected)


GOOD = (
    "a person with a bald head, wearing a red jacket and glasses, in a park, holding a cup, sad expression. "
    "at first head tilted, gaze downward, then the person tilts the head, finally they settle."
)
SEEN = {"objects": ["cup"], "accessories": ["glasses"]}


def test_a_good_text_has_no_fault() -> None:
    assert faults(GOOD, SEEN) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("finally they settle.", "finally they settle"), "no end"),
        (("gaze downward,", "gaze ,"), "orphaned cue"),
        (("gaze downward", "head tilted"), "repeated cue"),
        (("then the", "finally the"), "stages out of order"),
        (("a cup", "a phone"), "invented objects"),
        (("glasses", "a hat"), "invented accessories"),
        (("in a park", "in a"), "empty part"),
        (("the person tilts the head", "the person tilts the head, the person nods"), "said twice"),
        (("in a park,", "in a park, with a bald head,"), "repeated words"),
    ],
)
def test_each_fault_is_found(change: tuple[str, str], fault: str) -> None:
    seen = SEEN if "invented" in fault else {}
    assert fault in faults(GOOD.replace(*change), seen)


def test_every_target_is_well_formed() -> None:
    rng = np.random.default_rng(0)
    for number in range(400):
        seen = wording.any_attributes(rng)
        action = pairs.ACTIONS[number % len(pairs.ACTIONS)]
        for text in (pairs.complete(seen, action), pairs.imperfect(seen, action, TargetParams(), rng)):
            assert well_formed(text, seen), (faults(text, seen), text)


def test_unscorable_samples_take_their_groups_mean() -> None:
    assert fill_groups([0.2, None, 0.4, None, None, None], 3) == [
        0.2,
        pytest.approx(0.3),
        0.4,
        None,
        None,
        None,
    ]


def test_reward_weights_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match="sum to"):
        RewardWeights(img=0.9)


def test_hand_actions_are_not_asked_of_close_ups() -> None:
    assert not pairs.possible("wave", "close-up")
    assert pairs.possible("wave", "upper body")
    assert pairs.possible("nod", "close-up")
