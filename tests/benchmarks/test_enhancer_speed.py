"""The enhancer's rewards in time: a slow judge, our own part of a step, and scoring again what was scored.

Ratios of one process; the figures are printed (`make bench`).
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from components.enhancer.judges import ServiceJudge, instruction_match
from components.enhancer.memory import Memory
from components.enhancer.pairs import Pool
from components.enhancer.rewards import CRITERIA
from components.enhancer.scoring import Scorer
from components.perception import wording
from components.perception.params import ServiceParams
from components.perception.remote.answers import Answers
from components.perception.remote.caller import Caller
from components.perception.remote.questions import Question, Reply, Usage

SCORES = json.dumps(dict.fromkeys((*CRITERIA, "instruction", "time"), 0.7))


class SlowJudge:
    """A backend that answers after a while."""

    name = "slow"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def ask(self, question: Question) -> Reply:
        await asyncio.sleep(self.seconds)
        return Reply(SCORES, Usage(100, 20))

    async def close(self) -> None:
        """Nothing is open."""


def scorer(folder: Path, seconds: float) -> Scorer:
    caller = Caller(SlowJudge(seconds), Answers(folder / "answers.db"), ServiceParams(), "bench")
    memory = Memory(folder / "scores.db", "bench")
    return Scorer(ServiceJudge(caller), lambda text: len(text.split()), memory=memory)


def pool_of(count: int) -> Pool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 112, 112, 3), dtype=np.uint8)
    seen = [wording.any_attributes(rng) for _ in range(count)]
    return Pool(images, seen, ["upper body"] * count, np.zeros(count, bool))


class RuleJudge:
    """No waiting at all."""

    name = "rule"

    def img(self, readings: Any, prompts: Any) -> list[dict[str, float | None]]:
        return [dict.fromkeys(CRITERIA, 0.5) for _ in prompts]

    def inst(self, instructions: Any, prompts: Any) -> list[float | None]:
        return [instruction_match(a, b) for a, b in zip(instructions, prompts, strict=True)]


def test_grpo_step_with_a_slow_judge_and_our_own_part(tmp_path: Path) -> None:
    """A step of 32 completions at the default run's shape: judge of 200 ms against one of 0 ms (at most 1.3
    times), and the reward function's share of a step with the embedded kind of judge (at most 5%)."""
    from components.enhancer import grpo, sft
    from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams

    pool = pool_of(16)
    enhancer, _ = sft.train(
        pool, EnhancerSftParams(steps=2, batch=4, warmup=1, log_every=1, save_every=2), 5, tmp_path / "sft"
    )
    enhancer.save(tmp_path / "model")
    params = EnhancerGrpoParams(steps=5, save_every=100)
    spent: dict[str, list[float]] = {}

    def seconds(name: str, judge: Scorer) -> float:
        ends: list[float] = []
        spent[name] = []
        inner = judge.grade

        def timed(*args: Any, **more: Any) -> Any:
            begin = time.perf_counter()
            found = inner(*args, **more)
            ends.append(time.perf_counter())
            spent[name].append(ends[-1] - begin)
            return found

        judge.grade = timed  # type: ignore[method-assign]
        grpo.train(tmp_path / "model", pool, judge, params, 5, tmp_path / name)
        return float(np.median(np.diff(ends)))

    at_once = seconds("fast", scorer(tmp_path / "a", 0.0))
    slow = seconds("slow", scorer(tmp_path / "b", 0.2))
    rule = seconds("rule", Scorer(RuleJudge(), lambda text: len(text.split())))
    own = float(np.median(spent["rule"]))
    print(f"\nGRPO step of 32: judge 0 ms {at_once:.2f} s, 200 ms {slow:.2f} s, ratio {slow / at_once:.2f}")
    print(f"reward of 32 completions by rule: {own * 1e3:.0f} ms, {own / rule:.1%} of a step of {rule:.2f} s")


def test_scoring_ten_thousand_samples_again(tmp_path: Path) -> None:
    """Answers and rules are kept in SQLite: at most 2 s in the same process and in another one."""
    pool = pool_of(100)
    rng = np.random.default_rng(1)
    texts = [wording.any_statement(rng).text + f" {number}" for number in range(10_000)]
    rows = [number % 100 for number in range(10_000)]
    seen, pictures = [pool.attributes[row] for row in rows], [pool.images[row] for row in rows]
    asked = ["please nod"] * len(rows)
    first = scorer(tmp_path, 0.0)
    begin = time.perf_counter()
    told = first.grade(seen, asked, texts, pictures)
    paid = time.perf_counter()
    assert first.grade(seen, asked, texts, pictures) == told
    again = time.perf_counter()
    print(f"\nfirst: {paid - begin:.1f} s")
    calls = first.judge.caller.answers.spent("bench").calls  # type: ignore[union-attr]
    fresh = scorer(tmp_path, 0.0)  # nothing in memory: what another process would have
    other, used = time.perf_counter(), time.process_time()
    assert fresh.grade(seen, asked, texts, pictures) == told
    end, spent = time.perf_counter(), time.process_time()
    assert fresh.judge.caller.answers.spent("bench").calls == calls == 10_000  # type: ignore[union-attr]
    print(f"\n10,000 samples: asked {paid - begin:.1f} s, again {again - paid:.2f} s")
    print(f"the same in a new process: {end - other:.2f} s, {spent - used:.2f} s of CPU")
