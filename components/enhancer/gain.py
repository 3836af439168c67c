"""How much of GRPO's gain was built in: SFT's targets are incomplete on purpose, GRPO finds what they lack.

The targets' own reward against that of complete prompts on the same cases is what imitation alone would have
gained from better targets. Training again on complete targets shows what GRPO gains beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.files import digest_tree, read_json, write_json
from components.core.paths import Workspace
from components.core.progress import say
from components.core.seeds import derive
from components.enhancer.held_out import mean
from components.enhancer.pairs import Case, Pool, complete, held_out_cases, imperfect
from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams, TargetParams

if TYPE_CHECKING:
    from components.enhancer.scoring import Scorer

COMPLETE = TargetParams(keep_attribute=1, keep_cue=1, full_stages=1, half_stages=0)


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
    from components.enhancer.grpo import figures, lasting
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


def explain(
    workspace: Workspace, sft: EnhancerSftParams, grpo: EnhancerGrpoParams, seed: int, again: bool
) -> dict[str, Any]:
    """The account of the gain in artifacts/enhancer_grpo; with `again`, GRPO from complete targets beside it.

    Raises:
        InputError: the stages have not run.
    """
    from components.enhancer import data
    from components.enhancer.scoring import Scorer

    measured = read_json(Path(workspace.artifacts("enhancer_grpo", "metrics.json")))
    held_out = data.held_out_pool(workspace)
    cases = held_out_cases(held_out, grpo.held_out, seed)
    scorer = Scorer.load(workspace, grpo.reward, grpo.judge)
    targets = target_rewards(scorer, held_out, cases, sft.targets, seed)
    told: dict[str, Any] = {
        **targets, **account(targets, measured["sft_sampled_reward"], measured["sampled_reward"])
    }  # fmt: skip
    if again:
        figures = repeat_on_complete_targets(workspace, sft, grpo, seed)
        names = (
            "sft_sampled_reward", "sampled_reward", "reward_gain", "sft_reward", "reward", "action_kept",
            "well_formed", "sft_sampled_distinct_bigrams", "sampled_distinct_bigrams",
        )  # fmt: skip
        told["complete_targets"] = {name: figures[name] for name in names}
    return told
