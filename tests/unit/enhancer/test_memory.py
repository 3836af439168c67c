"""Scores are computed once a scope: by content, across processes (another connection), whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.enhancer.judges import instruction_match
from components.enhancer.memory import Memory, RememberedJudge
from components.enhancer.rewards import CRITERIA
from components.enhancer.scoring import Scorer
from components.perception import wording


class Counting:
    """Counts what it is asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked = 0

    def img(self, readings: Any, prompts: Sequence[str]) -> list[dict[str, float | None]]:
        self.asked += len(prompts)
        return [dict.fromkeys(CRITERIA, len(prompt) % 7 / 7) for prompt in prompts]

    def inst(self, instructions: Any, prompts: Any) -> list[float | None]:
        return [instruction_match(a, b) for a, b in zip(instructions, prompts, strict=True)]


def samples(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    rng = np.random.default_rng(seed)
    seen = [wording.any_attributes(rng) for _ in range(count)]
    return seen, ["please nod"] * count, [wording.any_statement(rng, one).text for one in seen]


def scorer(folder: Path, judge: Counting, scope: str = "a") -> Scorer:
    memory = Memory(folder / "scores.db", scope)
    return Scorer(RememberedJudge(judge, memory), lambda text: len(text.split()), memory=memory)


def test_another_process_scores_alike_without_judge_or_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, asked, texts = samples(40)
    judge = Counting()
    plain = Scorer(Counting(), lambda text: len(text.split())).grade(seen, asked, texts)
    assert scorer(tmp_path, judge).grade(seen, asked, texts) == plain
    assert judge.asked == 40

    def no_rule(text: str) -> Any:
        raise AssertionError("the text was read again")

    monkeypatch.setattr("components.enhancer.scoring.extract", no_rule)
    other = Counting()
    assert scorer(tmp_path, other).grade(seen, asked, texts) == plain
    assert other.asked == 0
    with pytest.raises(AssertionError, match="read again"):
        scorer(tmp_path, other, scope="other code").grade(seen, asked, texts)


def test_what_is_new_is_asked_alone_and_what_is_twice_once(tmp_path: Path) -> None:
    seen, asked, texts = samples(10)
    judge = Counting()
    first = scorer(tmp_path, judge)
    first.grade(seen[:6], asked[:6], texts[:6])
    assert judge.asked == 6
    twice = first.grade(seen[4:] * 2, asked[4:] * 2, texts[4:] * 2)
    assert judge.asked == 10
    assert twice[:6] == twice[6:]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("abcdefgh"), max_size=20), st.sets(st.sampled_from("abcdefgh")))
def test_through_is_the_function_itself(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], known: set[str]
) -> None:
    memory = Memory(tmp_path_factory.mktemp("memory") / "scores.db", "scope")
    memory.keep({memory.key("kind", name): {"name": name, "none": None} for name in known})
    computed: list[str] = []

    def compute(rows: list[int]) -> list[Any]:
        computed.extend(names[row] for row in rows)
        return [{"name": names[row], "none": None} for row in rows]

    found = memory.through([memory.key("kind", name) for name in names], compute)
    assert [one["name"] for one in found] == names
    assert sorted(computed) == sorted(set(names) - known)
    memory.close()


def test_kinds_and_contents_have_keys_of_their_own(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "scores.db", "scope")
    keys = {memory.key("img", "a", "b"), memory.key("inst", "a", "b"), memory.key("img", "ab", "")}
    assert len(keys) == 3
