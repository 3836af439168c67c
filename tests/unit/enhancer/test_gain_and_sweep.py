"""What a gain is made of, and the draws of a sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.enhancer import pairs
from components.enhancer.gain import COMPLETE, account, target_rewards
from components.enhancer.judges import instruction_match
from components.enhancer.params import RewardWeights, TargetParams
from components.enhancer.phrasing import Instruction
from components.enhancer.rewards import CRITERIA, TERMS
from components.enhancer.scoring import Scorer
from components.enhancer.sweep import draw, dvc_commands, table
from components.perception import wording


class FairJudge:
    """Every picture fits by half; instructions by rule."""

    name = "fair"

    def img(self, readings: Any, prompts: Any) -> list[dict[str, float | None]]:
        return [dict.fromkeys(CRITERIA, 0.5) for _ in prompts]

    def inst(self, instructions: Any, prompts: Any) -> list[float | None]:
        return [instruction_match(a, b) for a, b in zip(instructions, prompts, strict=True)]


def setting() -> tuple[Scorer, pairs.Pool, list[pairs.Case]]:
    rng = np.random.default_rng(0)
    seen = [wording.any_attributes(rng) for _ in range(24)]
    pool = pairs.Pool(np.zeros((24, 8, 8, 3), np.uint8), seen, ["upper body"] * 24, np.zeros(24, bool))
    cases = [pairs.Case(row, Instruction("please nod", "nod")) for row in range(24)]
    return Scorer(FairJudge(), lambda text: len(text.split())), pool, cases


def test_incomplete_targets_build_a_gain_in_and_complete_ones_none() -> None:
    scorer, pool, cases = setting()
    lacking = target_rewards(scorer, pool, cases, TargetParams(), 1)
    whole = target_rewards(scorer, pool, cases, COMPLETE, 1)
    assert lacking["built_in_gain"] > 0.15
    assert abs(whole["built_in_gain"]) < 0.02
    assert lacking["complete_reward"] == whole["complete_reward"]
    assert lacking == target_rewards(scorer, pool, cases, TargetParams(), 1)


@pytest.mark.parametrize(
    ("sft", "grpo", "expected"),
    [
        (0.70, 0.92, {"gain": 0.22, "built_in": 0.2, "built_in_share": 0.2 / 0.22, "sampling": 0.05}),
        (0.75, 0.85, {"gain": 0.1, "built_in": 0.1, "built_in_share": 1.0, "beyond": 0.0}),
        (0.75, 0.99, {"gain": 0.24, "built_in": 0.2, "beyond": 0.04}),
        (0.80, 0.70, {"gain": -0.1, "built_in": 0.0, "built_in_share": 0.0}),
    ],
)
def test_account(sft: float, grpo: float, expected: dict[str, float]) -> None:
    targets = {"targets_reward": 0.75, "complete_reward": 0.95, "built_in_gain": 0.2}
    found = account(targets, sft, grpo)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.floats(0.01, 1.0), st.integers(0, 2**31))
def test_draws_are_weights_that_begin_with_the_base(count: int, spread: float, seed: int) -> None:
    base = RewardWeights()
    found = draw(base, count, spread, seed)
    assert found[0] == base and len(found) == count
    assert found == draw(base, count, spread, seed)
    for one in found:  # the model itself refuses a sum that is not 1
        assert all(0 <= getattr(one, name) <= 1 for name in TERMS)


def test_a_small_spread_stays_close() -> None:
    base = RewardWeights()
    near, far = draw(base, 40, 0.02, 1)[1:], draw(base, 40, 1.0, 1)[1:]
    distance = [
        np.mean([abs(getattr(one, name) - getattr(base, name)) for one in rows for name in TERMS])
        for rows in (near, far)
    ]
    assert distance[0] < 0.05 < distance[1]


def test_the_sweep_as_dvc_experiments() -> None:
    first, *_ = dvc_commands(draw(RewardWeights(), 2, 0.5, 1))
    assert first.startswith("dvc exp run --queue -S enhancer_grpo.reward.weights.img=0.3 -S ")
    assert first.endswith("enhancer_grpo.reward.weights.len=0.1")


def test_the_table_shows_every_row() -> None:
    rows = [{"weights": RewardWeights().model_dump(), "held_out_judge": 0.91, "sampled_reward": 0.8}]
    text = table(rows)
    assert "img 0.3 inst 0.25" in text and "0.910" in text and "nan" in text
