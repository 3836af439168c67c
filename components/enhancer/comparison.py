"""An enhancer after SFT against the same after GRPO, on the same held-out cases: figures and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.core.files import read_json
from components.core.paths import Workspace
from components.enhancer.pairs import Pool

if TYPE_CHECKING:
    from components.enhancer.held_out import HeldOutJudge
    from components.enhancer.scoring import Measured, Scorer


def measured_before(scorer: Scorer, workspace: Workspace, held_out: Pool, count: int, seed: int) -> Measured:
    """The SFT model on the held-out cases: its stage left the texts, else they are generated again."""
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import measure, measure_texts
    from components.enhancer.sft import ANSWERS, STAGE

    folder = workspace.artifacts(STAGE)
    if (folder / ANSWERS).exists() and read_json(folder / "config.json")["seed"] == seed:
        found = measure_texts(scorer, read_json(folder / ANSWERS), held_out, count, seed)
        if found is not None:
            return found
    return measure(scorer, Enhancer.load(folder / "model"), held_out, count, seed)


def held_out_figures(
    judge: HeldOutJudge, before: Measured, after: Measured, pool: Pool, count: int, seed: int
) -> dict[str, float]:
    """The held-out judge on the held-out cases: sampled texts after SFT, after GRPO, and the gain."""
    from components.enhancer.held_out import mean
    from components.enhancer.pairs import held_out_cases

    cases = held_out_cases(pool, count, seed)
    found = {
        name: mean(judge.score(pool, cases, measured.sampled.texts))
        for name, measured in (("sft_held_out_judge", before), ("held_out_judge", after))
    }
    known = {name: round(value, 6) for name, value in found.items() if value is not None}
    if len(known) == 2:
        known["held_out_judge_gain"] = round(known["held_out_judge"] - known["sft_held_out_judge"], 6)
    return known


def figures(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """After GRPO by their names, after SFT with `sft_`; gains of the sampled and the greedy reward, of kept
    actions and form among sampled texts; the share that is left of SFT's distinct sampled texts and pairs."""
    gains = {
        "reward_gain": after["sampled_reward"] - before["sampled_reward"],
        "greedy_reward_gain": after["reward"] - before["reward"],
        "sampled_action_gain": after["sampled_action_kept"] - before["sampled_action_kept"],
        "sampled_form_gain": after["sampled_well_formed"] - before["sampled_well_formed"],
    }
    gains |= {
        f"{name}_kept": after[f"sampled_{name}"] / before[f"sampled_{name}"]
        for name in ("distinct_texts", "distinct_bigrams")
        if before[f"sampled_{name}"]
    }
    return {
        **after,
        **{f"sft_{name}": value for name, value in before.items()},
        **{name: round(value, 6) for name, value in gains.items()},
    }


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples for people: instruction, text before and after, with reward and terms."""
    return [
        {
            "instruction": old["instruction"],
            "action": old["action"],
            "before": {key: old[key] for key in ("text", "sampled", "reward", "terms")},
            "after": {key: new[key] for key in ("text", "sampled", "reward", "terms")},
        }
        for old, new in zip(before, after, strict=True)
    ]
