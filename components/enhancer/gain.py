"""How much of GRPO's gain was built in: SFT's targets are incomplete on purpose, GRPO finds what they lack.

The targets' own reward against that of complete prompts on the same cases is what imitation alone would have
gained from better targets. Training again on complete targets shows what GRPO gains beyond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.files import digest_file, digest_tree, read_json, write_json
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive
from components.enhancer.held_out import mean
from components.enhancer.pairs import Case, Pool, complete, held_out_cases, imperfect
from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams, TargetParams

if TYPE_CHECKING:
    from components.enhancer.scoring import Scorer

COMPLETE = TargetParams(keep_attribute=1, keep_cue=1, full_stages=1, half_stages=0)
REPEATED = "complete_targets.json"
"""Below state/enhancer_gain: the repetition on complete targets, and the digest of the figures beside it."""
SHOWN = (
    "sft_sampled_reward", "sampled_reward", "reward_gain", "sft_reward", "reward", "action_kept",
    "well_formed", "sft_sampled_distinct_bigrams", "sampled_distinct_bigrams",
)  # fmt: skip
"""Figures of the repetition that are told."""


def target_rewards(
    scorer: Scorer, pool: Pool, cases: Sequence[Case], targets: TargetParams, seed: int
) -> dict[str, float]:
    """The reward of SFT's targets for these cases, of complete prompts, and the difference: the gain that the
    targets' defects built in."""
    rng = np.random.default_rng(derive(seed, "targets of held-out cases"))
    seen = [pool.attributes[case.row] for case in cases]
    actions = [case.instruction.action for case in cases]
    instructions = [case.instruction.text for case in cases]
    pictures = [pool.images[case.row] for case in cases]
    written = {
        "targets_reward": [imperfect(a, do, targets, rng) for a, do in zip(seen, actions, strict=True)],
        "complete_reward": [complete(a, do) for a, do in zip(seen, actions, strict=True)],
    }
    found = {
        name: mean([one.reward for one in scorer.grade(seen, instructions, texts, pictures)])
        for name, texts in written.items()
    }
    known = {name: round(value, 6) for name, value in found.items() if value is not None}
    if len(known) == 2:
        known["built_in_gain"] = round(known["complete_reward"] - known["targets_reward"], 6)
    return known


def account(targets: dict[str, float], sft: float, grpo: float) -> dict[str, float]:
    """What a gain is made of, from `target_rewards` and the sampled rewards after SFT and after GRPO.

    `built_in`: the part of the gain that complete targets would have given, at most all of it. `beyond`: how
    far GRPO is above the complete prompts themselves. `sampling`: what SFT's samples lack of their targets'
    reward, which GRPO gains by sharpening.
    """
    gain = grpo - sft
    built_in = min(max(gain, 0.0), max(0.0, targets["built_in_gain"]))
    return {
        "gain": round(gain, 6),
        "built_in": round(built_in, 6),
        "built_in_share": round(built_in / gain, 6) if gain > 0 else 0.0,
        "sampling": round(max(0.0, targets["targets_reward"] - sft), 6),
        "beyond": round(max(0.0, grpo - targets["complete_reward"]), 6),
    }


def repeat_on_complete_targets(
    workspace: Workspace, sft: EnhancerSftParams, grpo: EnhancerGrpoParams, seed: int
) -> dict[str, float]:
    """SFT on complete targets, then GRPO from there, both measured as the stages measure; resumable.

    Returns:
        the figures of `grpo.figures`. What is trained lies in state/enhancer_gain.
    """
    from components.enhancer import data
    from components.enhancer.comparison import figures
    from components.enhancer.grpo import lasting
    from components.enhancer.grpo import train as train_grpo
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import Scorer, measure
    from components.enhancer.sft import train as train_sft
    from components.enhancer.training import content_key

    whole = sft.model_copy(update={"targets": COMPLETE})
    judge = digest_tree(workspace.artifacts("perception", "image_text"))
    key = content_key("enhancer_gain", whole, lasting(grpo), seed, data.inputs(workspace), judge)
    folder = workspace.state("enhancer_gain", key)
    if (folder / "figures.json").exists():
        return read_json(folder / "figures.json")
    pool, held_out = data.training_pool(workspace), data.held_out_pool(workspace)
    scorer = Scorer.load(workspace, grpo.reward, grpo.judge)
    start = folder / "sft"
    if not (start / "done.json").exists():
        trained, _ = train_sft(pool, whole, seed, folder / "sft_work")
        trained.save(start)
        write_json(start / "done.json", {})
    say("enhancer: GRPO from complete targets")
    before = measure(scorer, Enhancer.load(start), held_out, grpo.held_out, seed)
    enhancer, _ = train_grpo(start, pool, scorer, grpo, seed, folder / "grpo_work")
    found = figures(before.metrics, measure(scorer, enhancer, held_out, grpo.held_out, seed).metrics)
    write_json(folder / "figures.json", found)
    return found


def built_in(
    scorer: Scorer, workspace: Workspace, held_out: Pool, measured: Mapping[str, float], count: int, seed: int
) -> dict[str, Any]:
    """The account of a GRPO stage's gain: what the targets that SFT was trained on had built in.

    `measured` are the stage's figures (`grpo.figures`). Nothing is trained or generated.
    """
    targets = TargetParams.model_validate(
        read_json(workspace.artifacts("enhancer_sft", "config.json"))["targets"]
    )
    cases = held_out_cases(held_out, count, seed)
    written = target_rewards(scorer, held_out, cases, targets, seed)
    return written | account(written, measured["sft_sampled_reward"], measured["sampled_reward"])


def explain(
    workspace: Workspace, sft: EnhancerSftParams, grpo: EnhancerGrpoParams, seed: int, again: bool
) -> dict[str, Any]:
    """The account of the gain in artifacts/enhancer_grpo; with `again`, GRPO from complete targets beside it,
    which is kept for the report (`repeated`).

    Raises:
        InputError: the stages have not run.
    """
    from components.enhancer import data
    from components.enhancer.scoring import Scorer

    path = require(workspace.artifacts("enhancer_grpo", "metrics.json"), "syncdreamer stage enhancer_grpo")
    held_out = data.held_out_pool(workspace)
    scorer = Scorer.load(workspace, grpo.reward, grpo.judge, remember=True)
    told: dict[str, Any] = built_in(scorer, workspace, held_out, read_json(path), grpo.held_out, seed)
    if again:
        figures = repeat_on_complete_targets(workspace, sft, grpo, seed)
        told["complete_targets"] = {name: figures[name] for name in SHOWN}
        write_json(
            workspace.state("enhancer_gain") / REPEATED,
            {"of": digest_file(path), "complete_targets": told["complete_targets"]},
        )
    return told


def repeated(workspace: Workspace) -> dict[str, float] | None:
    """What `explain(…, again=True)` found for the very figures that are in artifacts/enhancer_grpo now."""
    kept, path = (
        workspace.state("enhancer_gain") / REPEATED,
        workspace.artifacts("enhancer_grpo", "metrics.json"),
    )
    if not kept.exists() or not path.exists():
        return None
    found = read_json(kept)
    return dict(found["complete_targets"]) if found["of"] == digest_file(path) else None
