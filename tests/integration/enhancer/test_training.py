"""SFT and GRPO for a few steps: they run, repeat, resume and write a model that works on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.files import digest_file, digest_tree
from components.enhancer import grpo, sft
from components.enhancer.judges import instruction_match
from components.enhancer.pairs import Pool, held_out_cases, request
from components.enhancer.params import EnhancerGrpoParams, EnhancerModelParams, EnhancerSftParams
from components.enhancer.rewards import CRITERIA
from components.enhancer.scoring import Outcome, Scorer, measure
from components.perception import wording

TINY = EnhancerModelParams(hidden=32, layers=1, heads=2, vision_width=16, vision_layers=1, vocabulary=700)
SFT = EnhancerSftParams(steps=4, batch=4, warmup=1, log_every=1, save_every=2, model=TINY)
# Enough texts that a model of four steps, which babbles, is rewarded differently within some group.
GRPO = EnhancerGrpoParams(steps=3, prompts=2, group=8, max_new_tokens=16, save_every=2)


class FixedJudge:
    """Every picture fits by half; instructions by rule."""

    name = "fixed"

    def img(self, readings: Any, prompts: Any) -> list[dict[str, float | None]]:
        return [dict.fromkeys(CRITERIA, 0.5) for _ in prompts]

    def inst(self, instructions: Any, prompts: Any) -> list[float | None]:
        return [instruction_match(a, b) for a, b in zip(instructions, prompts, strict=True)]


@pytest.fixture(scope="module")
def pool() -> Pool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 112, 112, 3), dtype=np.uint8)
    return Pool(
        images, [wording.any_attributes(rng) for _ in range(6)], ["upper body"] * 6, np.zeros(6, bool)
    )


@pytest.fixture(scope="module")
def trained(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("sft")
    enhancer, history = sft.train(pool, SFT, 5, work / "work")
    assert [row["step"] for row in history] == [1, 2, 3, 4]
    assert all("loss" in row for row in history)
    enhancer.save(work / "model")
    return work / "model"


def scorer() -> Scorer:
    return Scorer(FixedJudge(), lambda text: len(text.split()))


def test_sft_repeats_and_resumes_bit_for_bit(pool: Pool, trained: Path, tmp_path: Path) -> None:
    import shutil

    from components.enhancer.training import last_checkpoint

    enhancer, whole = sft.train(pool, SFT, 5, tmp_path / "work")
    enhancer.save(tmp_path / "model")
    assert digest_file(tmp_path / "model" / "model.safetensors") == digest_file(trained / "model.safetensors")
    # an interruption after step 2: its checkpoint is there, step 3's work is lost
    short, _ = sft.train(pool, SFT, 5, tmp_path / "other", stop_after=2)
    del short
    checkpoint = last_checkpoint(tmp_path / "other")
    assert checkpoint is not None and checkpoint.name == "checkpoint-2"
    (tmp_path / "other" / "checkpoint-3").mkdir()  # half-written: must not be taken up
    resumed, rows = sft.train(pool, SFT, 5, tmp_path / "other")
    resumed.save(tmp_path / "resumed")
    assert digest_tree(tmp_path / "resumed") == digest_tree(trained), "weights, config and tokenizer"
    assert rows == whole
    nothing_left, _ = sft.train(pool, SFT, 5, tmp_path / "other")
    nothing_left.save(tmp_path / "found")
    assert digest_tree(tmp_path / "found") == digest_tree(trained)
    shutil.rmtree(tmp_path / "other")


def test_grpo_repeats_and_resumes(pool: Pool, trained: Path, tmp_path: Path) -> None:
    first, rows = grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "a")
    first.save(tmp_path / "first")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"reward", "term_inst", "spread_time", "kl"} <= set(rows[0])
    grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "b", stop_after=2)
    again, resumed = grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "b")
    again.save(tmp_path / "again")
    assert resumed == rows
    assert digest_file(tmp_path / "again" / "model.safetensors") == digest_file(
        tmp_path / "first" / "model.safetensors"
    )


def test_greedy_and_sampled_texts_repeat(pool: Pool, trained: Path) -> None:
    from components.enhancer.model import Enhancer

    enhancer = Enhancer.load(trained)
    asked = [request("please nod", seen) for seen in pool.attributes[:2]]
    for sample in (False, True):
        one = enhancer.complete(pool.images[:2], asked, sample=sample, seed=3, max_new_tokens=8)
        two = enhancer.complete(pool.images[:2], asked, sample=sample, seed=3, max_new_tokens=8)
        assert one == two


def test_measure_gives_figures_for_both_ways_of_decoding(pool: Pool, trained: Path) -> None:
    from components.enhancer.model import Enhancer

    measured = measure(scorer(), Enhancer.load(trained), pool, 4, 1)
    for name in ("reward", "action_kept", "well_formed", "sampled_reward"):
        assert 0 <= measured.metrics[name] <= 1
    assert len(measured.samples) == 4
    assert held_out_cases(pool, 4, 1) == held_out_cases(pool, 4, 1)


def test_kept_texts_measure_like_the_model_that_wrote_them(pool: Pool, trained: Path) -> None:
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import measure_texts

    measured = measure(scorer(), Enhancer.load(trained), pool, 4, 1)
    texts = {"greedy": measured.greedy.texts, "sampled": measured.sampled.texts}
    again = measure_texts(scorer(), texts, pool, 4, 1)
    assert again is not None
    assert (again.metrics, again.samples) == (measured.metrics, measured.samples)
    assert measure_texts(scorer(), texts, pool, 5, 1) is None


def test_low_rank_updates_are_resumed_and_merged(pool: Pool, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from components.enhancer.params import LoraParams

    lora = {"lora": LoraParams(rank=4)}
    for name, run in (
        ("sft", lambda work, stop: sft.train(pool, SFT.model_copy(update=lora), 5, work, stop)),
        ("grpo", lambda w, s: grpo.train(trained, pool, scorer(), GRPO.model_copy(update=lora), 5, w, s)),
    ):
        enhancer, whole = run(tmp_path / name / "a", None)
        enhancer.save(tmp_path / name / "whole")
        run(tmp_path / name / "b", 2)
        resumed, rows = run(tmp_path / name / "b", None)
        resumed.save(tmp_path / name / "resumed")
        assert rows == whole, name
        files = [tmp_path / name / one / "model.safetensors" for one in ("whole", "resumed")]
        assert digest_file(files[0]) == digest_file(files[1]), name
        before, after = load_file(trained / "model.safetensors"), load_file(files[0])
        assert set(before) == set(after), "merged: no trace of the updates is left"
        if name == "grpo":
            moved = {key for key in before if not bool((before[key] == after[key]).all())}
            assert moved and all("_proj" in key and "visual" not in key for key in moved)


def test_the_watch_changes_no_weight_and_survives_an_interruption(
    pool: Pool, trained: Path, tmp_path: Path
) -> None:
    from components.core.files import read_jsonl
    from components.enhancer.held_out import ReferenceJudge
    from components.enhancer.pairs import training_cases
    from components.enhancer.params import WatchParams
    from components.enhancer.watch import Watch

    def watch(folder: Path) -> Watch:
        params = WatchParams(every=1, cases=4, shown=2)
        return Watch(
            params, ReferenceJudge(), scorer(), pool, training_cases(pool, 4, 0.2, 9), folder / "watch", 3
        )

    plain, rows = grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "a")
    whole = watch(tmp_path / "b")
    watched, seen_rows = grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "b", watch=whole)
    assert [{k: v for k, v in row.items() if k != "repetition"} for row in seen_rows] == rows
    plain.save(tmp_path / "plain")
    watched.save(tmp_path / "watched")
    assert digest_file(tmp_path / "plain" / "model.safetensors") == digest_file(
        tmp_path / "watched" / "model.safetensors"
    )
    assert [row["step"] for row in whole.looks] == [0, 1, 2, 3]
    assert whole.enhancer is not None and whole.enhancer.model is watched.model, "it looks at what is trained"
    grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "c", stop_after=2, watch=watch(tmp_path / "c"))
    again = watch(tmp_path / "c")
    grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "c", watch=again)
    assert again.looks == whole.looks == read_jsonl(tmp_path / "c" / "watch" / "looks.jsonl")
    again.write(tmp_path / "artifact")
    names = {path.name for path in (tmp_path / "artifact").iterdir()}
    assert names == {"looks.jsonl", "samples.jsonl", "samples.md", "00.png", "01.png"}


def test_a_falling_held_out_judge_ends_training(pool: Pool, trained: Path, tmp_path: Path) -> None:
    from components.enhancer.pairs import training_cases
    from components.enhancer.params import WatchParams
    from components.enhancer.watch import Watch

    class Falling:
        name = "falling"

        def __init__(self) -> None:
            self.next = 1.0

        def score(self, pool: Any, cases: Any, texts: Any) -> list[float | None]:
            self.next -= 0.1
            return [self.next] * len(texts)

    class Rising(Scorer):
        """Whatever is answered, the reward is a tenth higher at every look."""

        looks = 0

        def answers(self, *arguments: Any, **options: Any) -> Outcome:
            outcome = super().answers(*arguments, **options)
            self.looks += 1
            return replace(outcome, rewards=np.full(len(outcome.texts), self.looks / 10))

    params = WatchParams(every=1, cases=4, shown=0, fall=0.05, patience=1)
    rising = Rising(FixedJudge(), lambda text: 1)
    watch = Watch(params, Falling(), rising, pool, training_cases(pool, 4, 0.2, 9), tmp_path / "watch", 3)
    _, rows = grpo.train(trained, pool, scorer(), GRPO, 5, tmp_path / "a", watch=watch)
    assert watch.ended is not None and (watch.ended.best_step, watch.ended.step) == (0, 1)
    assert len(rows) == 1, "training ended after the look that found it"
    assert watch.looks[0]["judge"] == "falling"
