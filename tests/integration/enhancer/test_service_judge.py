"""Rewards judged over HTTP: what is asked, what is clamped, what is unscorable, and a budget in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import InputError, TemporaryFailure
from components.enhancer.grpo import reward_function
from components.enhancer.held_out import LargeHeldOutJudge
from components.enhancer.judges import ServiceJudge
from components.enhancer.pairs import Case, Pool
from components.enhancer.params import RewardParams
from components.enhancer.phrasing import Instruction
from components.enhancer.scoring import Scorer
from components.perception import wording
from components.perception.params import ServiceParams
from components.perception.remote.answers import Answers
from components.perception.remote.caller import Caller
from components.perception.remote.gemini import Gemini
from components.perception.remote.questions import BudgetSpent
from tests.integration.perception.gemini_server import KEY, GeminiServer, blocked

SCORES = {"identity": 1.0, "pose": 0.5, "scene": 0.75, "motion": 0.75, "instruction": 0.9, "time": 0.4}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


@pytest.fixture(scope="module")
def pool() -> Pool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (4, 112, 112, 3), dtype=np.uint8)
    seen = [wording.any_attributes(rng) for _ in range(4)]
    return Pool(images, seen, ["upper body"] * 4, np.zeros(4, bool))


def judge(server: GeminiServer, folder: Path, **params: Any) -> ServiceJudge:
    settings = ServiceParams(**({"endpoint": server.address, "backoff_s": 0.01, "attempts": 2} | params))
    return ServiceJudge(Caller(Gemini(settings), Answers(folder / "answers.db"), settings, "reward"))


def graded(scorer: Scorer, pool: Pool, prompts: list[str]) -> list[Any]:
    count = len(prompts)
    return scorer.grade(pool.attributes[:count], ["please nod"] * count, prompts, list(pool.images[:count]))


def words(text: str) -> int:
    return len(text.split())


def test_scores_enter_the_terms(pool: Pool, tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: {"text": json.dumps(SCORES)}) as server:
        one = judge(server, tmp_path)
        (by_rule,) = graded(Scorer(one, words), pool, ["the person nods."])
        (by_judge,) = graded(Scorer(one, words, judged_time=True), pool, ["the person nods."])
        seen = server.requests
        assert len(seen) == 1 and seen[0].pictures == [(112, 112)]  # the second grade cost nothing
        assert "<<<please nod>>>" in seen[0].prompt and "<<<the person nods.>>>" in seen[0].prompt
        one.caller.close()
    assert by_rule.parts["judge"] == pytest.approx(0.75)
    assert by_rule.terms["inst"] == 0.9 and by_rule.terms["time"] == 0.0
    assert by_judge.terms["time"] == 0.4 and by_judge.reward != by_rule.reward


def test_the_criteria_have_weights_of_their_own(pool: Pool, tmp_path: Path) -> None:
    params = RewardParams.model_validate(
        {"criteria": {"identity": 1.0, "pose": 0.0, "scene": 0.0, "motion": 0.0}}
    )
    with GeminiServer(lambda number, seen: {"text": json.dumps(SCORES)}) as server:
        one = judge(server, tmp_path)
        (found,) = graded(Scorer(one, words, params), pool, ["the person nods."])
        one.caller.close()
    assert found.parts["judge"] == 1.0


def test_numbers_outside_are_clamped_and_counted(pool: Pool, tmp_path: Path) -> None:
    odd = SCORES | {"identity": 1.5, "instruction": -2, "time": 7}
    with GeminiServer(lambda number, seen: {"text": json.dumps(odd)}) as server:
        scorer = Scorer(judge(server, tmp_path), words)
        (found,) = graded(scorer, pool, ["the person nods."])
        scorer.judge.caller.close()  # type: ignore[union-attr]
    assert scorer.clamped == 2 and found.terms["inst"] == 0.0
    assert found.parts["judge"] == pytest.approx((1 + 0.5 + 0.75 + 0.75) / 4)


def test_unscorable_samples_leave_the_groups_statistics(pool: Pool, tmp_path: Path) -> None:
    def script(number: int, seen: Any) -> dict[str, Any]:
        if "waves" in seen.prompt:
            return {"body": blocked()}
        return {"text": json.dumps(SCORES | {"instruction": 0.2 if "smiles" in seen.prompt else 0.8})}

    cases = [Case(0, Instruction("please nod", "nod"))]
    logged: dict[str, float] = {}
    with GeminiServer(script) as server:
        scorer = Scorer(judge(server, tmp_path), words)
        reward = reward_function(scorer, pool, cases, 4)
        texts = ["the person nods.", "the person smiles.", "the person waves.", "the person nods twice."]
        completions = [[{"role": "assistant", "content": text}] for text in texts]
        found = reward(completions, [0] * 4, log_metric=logged.__setitem__)
        scorer.judge.caller.close()  # type: ignore[union-attr]
    known = [found[index] for index in (0, 1, 3)]
    assert found[2] == pytest.approx(sum(known) / 3)  # no advantage, no shift of mean or direction
    assert logged["unscorable"] == 0.25 and logged["spread_inst"] > 0


def test_a_spent_budget_ends_the_step_and_a_larger_one_goes_on(pool: Pool, tmp_path: Path) -> None:
    prompts = [f"the person nods {number} times." for number in range(4)]
    with GeminiServer(lambda number, seen: {"text": json.dumps(SCORES)}) as server:
        small = judge(server, tmp_path, max_calls=3)
        with pytest.raises(BudgetSpent, match="1 of 4 questions are unasked"):
            graded(Scorer(small, words), pool, prompts)
        small.caller.close()
        large = judge(server, tmp_path, max_calls=4)
        assert all(one.reward is not None for one in graded(Scorer(large, words), pool, prompts))
        large.caller.close()
        assert len(server.requests) == 4


def test_a_service_that_is_away_is_temporary(pool: Pool, tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: {"kind": "error", "code": 503}) as server:
        one = judge(server, tmp_path)
        with pytest.raises(TemporaryFailure, match="503"):
            graded(Scorer(one, words), pool, ["the person nods."])
        one.caller.close()


def test_pictures_are_needed(pool: Pool, tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: {"text": json.dumps(SCORES)}) as server:
        one = judge(server, tmp_path)
        with pytest.raises(InputError, match="needs the pictures"):
            Scorer(one, words).grade(pool.attributes[:1], ["please nod"], ["the person nods."])
        held_out = LargeHeldOutJudge(one)
        case = Case(0, Instruction("please nod", "nod"))
        (score,) = held_out.score(pool, [case], ["the person nods."])
        one.caller.close()
    assert score == pytest.approx(sum(SCORES.values()) / 6)
