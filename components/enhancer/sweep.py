"""A sweep over the composite's five weights: GRPO with each draw, judged by what none of them trains on.

Rewards under different weights cannot be compared with one another. The draws are ranked by the held-out
judge and shown with the reward under the current weights: a draw that games its own weights shows as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.core.files import digest_tree, read_json, write_json
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive
from components.enhancer.params import EnhancerGrpoParams, RewardWeights
from components.enhancer.rewards import TERMS


def draw(base: RewardWeights, count: int, spread: float, seed: int) -> list[RewardWeights]:
    """`count` weightings: the base first, then draws from a Dirichlet distribution about it.

    `spread` in (0,1]: near 0 close to the base, 1 as wide as five concentrations that sum to 5 allow. Weights
    have three decimals and sum to exactly 1.
    """
    centre = np.array([getattr(base, name) for name in TERMS])
    rng = np.random.default_rng(derive(seed, "reward sweep"))
    found = [base]
    while len(found) < count:
        thousandths = np.floor(rng.dirichlet(np.maximum(centre, 0.01) * 5 / spread) * 1000).astype(int)
        thousandths[int(thousandths.argmax())] += 1000 - int(thousandths.sum())
        found.append(RewardWeights(**{n: v / 1000 for n, v in zip(TERMS, thousandths.tolist(), strict=True)}))
    return found[:count]


def dvc_commands(draws: Sequence[RewardWeights]) -> list[str]:
    """The same sweep as DVC experiments, a command a draw."""
    return [
        "dvc exp run --queue "
        + " ".join(f"-S enhancer_grpo.reward.weights.{name}={getattr(one, name):g}" for name in TERMS)
        for one in draws
    ]


def sweep(
    workspace: Workspace, params: EnhancerGrpoParams, seed: int, draws: Sequence[RewardWeights]
) -> list[dict[str, Any]]:
    """Trains and measures each draw from the SFT model; best held-out judge first.

    A draw that is done is not trained again, an interrupted one goes on from its last checkpoint
    (state/reward_sweep).

    Raises:
        InputError: the SFT model or an upstream artifact is missing.
    """
    from components.enhancer import data
    from components.enhancer.comparison import figures, held_out_figures
    from components.enhancer.grpo import lasting, train
    from components.enhancer.held_out import open_judge
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import Scorer, measure
    from components.enhancer.training import content_key

    start = require(workspace.artifacts("enhancer_sft", "model"), "syncdreamer stage enhancer_sft")
    pool, held_out = data.training_pool(workspace), data.held_out_pool(workspace)
    judge = open_judge(params.watch, params.judge, workspace)
    yardstick = Scorer.load(workspace, params.reward, params.judge)
    perception = digest_tree(workspace.artifacts("perception", "image_text"))
    before = measure(yardstick, Enhancer.load(start), held_out, params.held_out, seed)
    rows = []
    for number, weights in enumerate(draws):
        own = params.model_copy(update={"reward": params.reward.model_copy(update={"weights": weights})})
        key = content_key(
            "reward_sweep", lasting(own), seed, data.inputs(workspace), digest_tree(start), perception,
            params.reward,
        )  # fmt: skip
        folder = workspace.state("reward_sweep", key)
        if not (folder / "row.json").exists():
            say(f"reward sweep: {number + 1} of {len(draws)}, {_short(weights)}")
            scorer = Scorer.load(workspace, own.reward, own.judge)
            enhancer, _ = train(start, pool, scorer, own, seed, folder / "work")
            after = measure(yardstick, enhancer, held_out, params.held_out, seed)
            found = figures(before.metrics, after.metrics)
            found |= held_out_figures(judge, before, after, held_out, params.held_out, seed)
            write_json(folder / "row.json", {"weights": weights, **found})
        rows.append(read_json(folder / "row.json"))
    return sorted(rows, key=lambda row: -row.get("held_out_judge", 0.0))


COLUMNS = ("held_out_judge", "sampled_reward", "sampled_action_kept", "sampled_well_formed", "sampled_words")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The sweep's rows as text."""
    lines = ["  ".join(["weights".ljust(34), *COLUMNS])]
    for row in rows:
        figures = [f"{row.get(name, float('nan')):.3f}".rjust(len(name)) for name in COLUMNS]
        lines.append("  ".join([_short(RewardWeights(**row["weights"])).ljust(34), *figures]))
    return "\n".join(lines)


def _short(weights: RewardWeights) -> str:
    return " ".join(f"{name} {getattr(weights, name):.3g}" for name in TERMS)
