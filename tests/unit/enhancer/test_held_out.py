"""Held-out judges and the rule that ends a hacked training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.enhancer import pairs
from components.enhancer.grpo import lasting
from components.enhancer.held_out import ReferenceJudge, chrf, mean, repetition
from components.enhancer.params import EnhancerGrpoParams, JudgeParams
from components.enhancer.phrasing import Instruction
from components.enhancer.watch import hacked, page
from components.perception import wording


def test_chrf_by_hand() -> None:
    assert chrf("abc", "abc") == 1.0
    assert chrf("xyz", "abc") == 0.0
    assert chrf("", "") == 1.0 and chrf("a", "") == 0.0
    # 1-grams: 2 of 3 each way; 2-grams: 1 of 2; 3-grams: 0 of 1 -> P = R = (2/3 + 1/2 + 0) / 3
    assert chrf("abd", "abc") == pytest.approx((2 / 3 + 1 / 2) / 3)
    # precision 1, recall (2/3 + 1/2 + 0)/3 over orders 1..3
    recall, precision = (2 / 3 + 1 / 2 + 0) / 3, (1 + 1 + 0) / 3
    assert chrf("ab", "abc") == pytest.approx(2 * precision * recall / (precision + recall))


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet="abc d", max_size=30), st.text(alphabet="abc d", max_size=30))
def test_chrf_is_symmetric_bounded_and_blind_to_case_and_space(a: str, b: str) -> None:
    score = chrf(a, b)
    assert 0 <= score <= 1 + 1e-12
    assert score == pytest.approx(chrf(b, a))
    assert score == pytest.approx(chrf(a.upper().replace(" ", "\n "), b))


def test_the_reference_judge_sees_through_what_cheats_the_rules() -> None:
    rng = np.random.default_rng(0)
    seen = [wording.any_attributes(rng) for _ in range(8)]
    pool = pairs.Pool(np.zeros((8, 112, 112, 3), np.uint8), seen, ["upper body"] * 8, np.zeros(8, bool))
    cases = [pairs.Case(row, Instruction("please nod", "nod")) for row in range(8)]
    judge = ReferenceJudge()
    whole = [pairs.complete(pool.attributes[case.row], "nod") for case in cases]
    assert judge.score(pool, cases, whole) == [1.0] * 8
    hacked_texts = ["at first head , then nods , finally " + "eyes to the right " * 6] * 8
    repeated = [text + " " + text for text in whole]
    partial = [text.split(". ")[0] + "." for text in whole]
    scores = [mean(judge.score(pool, cases, texts)) for texts in (hacked_texts, repeated, partial)]
    assert all(score is not None and score < 0.9 for score in scores)
    assert scores[0] is not None and scores[0] < 0.4


def look(step: int, reward: float | None, held_out: float | None) -> dict[str, Any]:
    return {"step": step, "reward": reward, "held_out": held_out}


@pytest.mark.parametrize(
    ("looks", "step"),
    [
        ([], None),
        ([look(0, 0.5, 0.6), look(10, 0.6, 0.7), look(20, 0.7, 0.8)], None),  # both rise
        ([look(0, 0.5, 0.6), look(10, 0.4, 0.5), look(20, 0.3, 0.4)], None),  # both fall: no hacking
        ([look(0, 0.5, 0.6), look(10, 0.7, 0.5), look(20, 0.8, 0.5)], 20),  # reward rises, judge falls
        ([look(0, 0.5, 0.6), look(10, 0.7, 0.5)], None),  # not for long enough
        ([look(0, 0.5, 0.6), look(10, 0.7, 0.5), look(20, 0.8, 0.59)], None),  # the judge came back
        ([look(0, 0.5, 0.60), look(10, 0.7, 0.58), look(20, 0.8, 0.58)], None),  # too little
        ([look(0, 0.5, 0.6), look(10, 0.7, None), look(20, 0.8, 0.5), look(30, 0.8, 0.5)], 30),
        ([look(0, 0.5, 0.5), look(10, 0.6, 0.7), look(20, 0.7, 0.6), look(30, 0.7, 0.6)], 30),
    ],
)
def test_hacking_is_a_rising_reward_with_a_falling_judge(looks: list[Any], step: int | None) -> None:
    found = hacked(looks, fall=0.05, patience=2)
    assert (found.step if found else None) == step
    if found:
        assert "fell from" in str(found)


def test_repetition() -> None:
    assert repetition("a b c d e f") == 0.0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert repetition("a") == 0.0


def test_the_page_shows_every_case_over_the_steps() -> None:
    base = {"well_formed": 1.0, "action_kept": 1.0, "repetition": 0.0, "words": 9.0}
    looks = [look(0, 0.5, 0.5) | base, look(10, 0.6, 0.6) | base]
    samples = [
        {"step": step, "picture": "00.png", "instruction": "nod", "text": f"text {step}", "reward": 0.5,
         "held_out": 0.5}
        for step in (0, 10)
    ]  # fmt: skip
    text = page(looks, samples)
    assert "![reference](00.png)" in text and "text 0" in text and "text 10" in text


def test_budgets_do_not_change_what_training_is() -> None:
    def params(**service: Any) -> EnhancerGrpoParams:
        return EnhancerGrpoParams.model_validate(
            {"judge": {"kind": "gemini", "describer": {"service": service}}}
        )

    assert lasting(params(max_calls=5)) == lasting(params(max_calls=50, timeout_s=3.0, output_price=1.0))
    assert lasting(params(model="a")) != lasting(params(model="b"))


def test_the_embedded_judge_is_not_asked_about_time() -> None:
    with pytest.raises(ValueError, match="time: judge"):
        JudgeParams(time="judge")
    assert JudgeParams(kind="gemini", time="judge").time == "judge"
