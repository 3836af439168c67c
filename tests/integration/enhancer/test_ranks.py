"""SFT and GRPO on two ranks with DeepSpeed: as in one process, resumed, whole weights at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import digest_file
from components.core.paths import Workspace
from components.enhancer import grpo, sft
from components.enhancer.model import Enhancer
from components.enhancer.pairs import Pool
from components.enhancer.params import EnhancerGrpoParams, EnhancerModelParams, EnhancerSftParams, RanksParams
from components.enhancer.scoring import Scorer
from components.perception import wording

TINY = EnhancerModelParams(hidden=32, layers=1, heads=2, vision_width=16, vision_layers=1, vocabulary=700)
SFT = EnhancerSftParams(steps=4, batch=4, warmup=1, log_every=1, save_every=2, model=TINY)
GRPO = EnhancerGrpoParams(
    steps=2, prompts=2, group=2, max_new_tokens=8, save_every=1, watch={"every": 0}, ranks={"count": 2}
)


def pictures() -> Pool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 112, 112, 3), dtype=np.uint8)
    seen = [wording.any_attributes(rng) for _ in range(6)]
    return Pool(images, seen, ["upper body"] * 6, np.zeros(6, bool))


def scorer_of(workspace: Workspace) -> Scorer:
    """A small image-text model with fresh weights where the perception stage would leave its own."""
    from components.perception.image_text import NAME, ImageTextModel, JudgeNet, picture_features
    from components.perception.text import TextEncoder, TextNet, domain_texts, train_tokenizer

    tokenizer = train_tokenizer(domain_texts(1, 50), 400)
    shape = {"vocabulary": tokenizer.get_vocab_size(), "dim": 16, "layers": 1, "heads": 2}
    encoder = TextEncoder(tokenizer, TextNet(*shape.values()), shape)
    seen = len(picture_features(wording.any_attributes(np.random.default_rng(0))))
    net = JudgeNet(seen, 2 * encoder.dim, 8)
    config = {"name": NAME, "dim": 8, "picture": seen, "text": 2 * encoder.dim}
    ImageTextModel(net, encoder, None, config).save(workspace.artifacts("perception", "image_text"))
    return Scorer.load(workspace)


def test_a_group_stays_in_one_rank_and_the_batch_is_shared_evenly() -> None:
    with pytest.raises(ValueError, match="no multiple of the 3 ranks"):
        EnhancerSftParams(batch=16, ranks=RanksParams(count=3))
    with pytest.raises(ValueError, match="a group stays in one"):
        EnhancerGrpoParams(prompts=3, ranks=RanksParams(count=2), watch={"every": 0})
    with pytest.raises(ValueError, match=r"watch\.every"):
        EnhancerGrpoParams(ranks=RanksParams(count=2))


def test_a_scorer_of_this_process_alone_is_refused(tmp_path: Path) -> None:
    from tests.integration.enhancer.test_training import FixedJudge

    alone = Scorer(FixedJudge(), lambda text: 1)
    with pytest.raises(InputError, match="every rank can open"):
        grpo.train(tmp_path, pictures(), alone, GRPO, 5, tmp_path / "work")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_two_ranks_train_like_one_and_are_resumed(tmp_path: Path, zero_stage: int) -> None:
    """Losses lie within 2% of those of one process (other sums, not the same bits)."""
    pool = pictures()
    _, expected = sft.train(pool, SFT, 5, tmp_path / "alone")
    two = SFT.model_copy(update={"ranks": RanksParams(count=2, zero_stage=zero_stage)})
    both, rows = sft.train(pool, two, 5, tmp_path / "both")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in expected], rel=0.02)
    sft.train(pool, two, 5, tmp_path / "interrupted", stop_after=2)
    resumed, again = sft.train(pool, two, 5, tmp_path / "interrupted")
    assert again == rows
    both.save(tmp_path / "one")
    resumed.save(tmp_path / "other")
    assert digest_file(tmp_path / "one" / "model.safetensors") == digest_file(
        tmp_path / "other" / "model.safetensors"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_grpo_on_two_ranks_is_resumed(tmp_path: Path) -> None:
    pool, scorer = pictures(), scorer_of(Workspace(tmp_path / "workspace"))
    start, _ = sft.train(pool, SFT.model_copy(update={"steps": 2}), 5, tmp_path / "sft")
    start.save(tmp_path / "start")
    after, rows = grpo.train(tmp_path / "start", pool, scorer, GRPO, 5, tmp_path / "whole")
    assert [row["step"] for row in rows] == [1, 2]
    assert all({"reward", "term_inst", "kl", "reward_std"} <= set(row) for row in rows)
    moved = [
        name
        for name, weight in after.model.state_dict().items()
        if not bool((weight == start.model.state_dict()[name]).all())
    ]
    assert moved
    grpo.train(tmp_path / "start", pool, scorer, GRPO, 5, tmp_path / "parts", stop_after=1)
    resumed, again = grpo.train(tmp_path / "start", pool, scorer, GRPO, 5, tmp_path / "parts")
    assert again == rows
    assert isinstance(resumed, Enhancer)
