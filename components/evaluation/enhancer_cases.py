"""The enhancer on held-out pictures and wordings: after SFT, and after GRPO on the same cases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import read_json, to_json, write_json
from components.core.media import write_image
from components.core.paths import Workspace, require
from components.core.seeds import derive
from components.evaluation.params import EvaluateParams
from components.evaluation.table import Table, rounded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.enhancer.params import RewardParams
    from components.enhancer.scoring import Outcome

STAGES = ("enhancer_sft", "enhancer_grpo")
SHOWN = 4
JUDGE = "judge"
"""The composite reward holds this network's scores; the other figures are rules."""


@dataclass(frozen=True)
class Cases:
    """Held-out cases with both models' answers; pictures (N,112,112,3) uint8, clips (N,): curated ones.

    before, after: greedy, as `generate` decodes; sampled_…: at temperature 1, the policy that GRPO trains.
    seen: what is known of each picture (told in the request, scored by the reward). seed: of the sampling.
    """

    instructions: Sequence[str]
    actions: Sequence[str]
    pictures: NDArray[np.uint8]
    clips: NDArray[np.bool_]
    before: Outcome
    after: Outcome
    sampled_before: Outcome
    sampled_after: Outcome
    seen: Sequence[Mapping[str, Any]]
    seed: int


def score_cases(workspace: Workspace, params: EvaluateParams, seed: int) -> Cases:
    """Both models on the same held-out combinations, greedy and sampled.

    Raises:
        InputError: a model or an upstream artifact is missing.
    """
    from components.enhancer.data import held_out_pool
    from components.enhancer.model import Enhancer
    from components.enhancer.pairs import held_out_cases
    from components.enhancer.scoring import Scorer

    pool = held_out_pool(workspace)
    cases = held_out_cases(pool, params.enhancer_cases, derive(seed, "evaluate", "enhancer"))
    scorer = Scorer.load(workspace, reward_params(workspace))
    outcomes: list[Outcome] = []
    for stage in STAGES:
        enhancer = Enhancer.load(require(workspace.artifacts(stage, "model"), f"syncdreamer stage {stage}"))
        for sample in (False, True):
            outcomes.append(scorer.answers(enhancer, pool, cases, sample=sample, seed=seed))
    before, sampled_before, after, sampled_after = outcomes
    rows = [case.row for case in cases]
    return Cases(
        [case.instruction.text for case in cases],
        [case.instruction.action for case in cases],
        pool.images[rows],
        pool.clips[rows],
        before,
        after,
        sampled_before,
        sampled_after,
        [pool.attributes[row] for row in rows],
        seed,
    )


def reward_params(workspace: Workspace) -> RewardParams:
    """The reward that GRPO was trained on, from its config.json; the defaults if it does not say."""
    from components.enhancer.params import RewardParams

    path = workspace.artifacts("enhancer_grpo", "config.json")
    told = read_json(path).get("reward") if path.exists() else None
    return RewardParams.model_validate(told or {})


def report_cases(table: Table, cases: Cases, folder: Path) -> None:
    """Adds the figures and writes enhancer/: examples.json with pictures, texts and reward terms."""
    before, after = cases.before, cases.after
    sampled = cases.sampled_before, cases.sampled_after
    for name, network, a, b in (
        ("enhancer_action_kept", None, before.kept, after.kept),
        ("enhancer_well_formed", None, before.formed, after.formed),
        ("enhancer_reward", JUDGE, sampled[0].rewards, sampled[1].rewards),
        ("enhancer_reward_greedy", JUDGE, before.rewards, after.rewards),
    ):
        control = table.interval(name + " sft", a)
        table.add(name, table.interval(name, b), network, ("after SFT", control))
    for name, a, b in (
        ("enhancer_reward_gain", sampled[0].rewards, sampled[1].rewards),
        ("enhancer_reward_gain_greedy", before.rewards, after.rewards),
    ):
        table.add(name, table.interval(name, b - a), JUDGE, ("no change", 0.0))
    write_json(folder / "enhancer" / "examples.json", examples(cases, folder))


def case_rows(cases: Cases) -> list[dict[str, Any]]:
    """One row a case: what makes it the same test for another model, and this model's figures there.

    `picture`, `seen`: digests of the pixels and of what is known of them. The figures bear the names of the
    metrics that they are the terms of; an unscorable reward is None, and left out of the mean.
    """
    after, sampled = cases.after, cases.sampled_after
    gains = sampled.rewards - cases.sampled_before.rewards, after.rewards - cases.before.rewards
    return [
        {
            "index": index,
            "picture": hashlib.sha256(cases.pictures[index].tobytes()).hexdigest()[:16],
            "seen": hashlib.sha256(to_json(cases.seen[index], None).encode()).hexdigest()[:16],
            "instruction": cases.instructions[index],
            "action": cases.actions[index],
            "seed": cases.seed,
            "text": after.texts[index],
            "enhancer_action_kept": float(after.kept[index]),
            "enhancer_well_formed": float(after.formed[index]),
            "enhancer_reward": rounded(float(sampled.rewards[index])),
            "enhancer_reward_greedy": rounded(float(after.rewards[index])),
            "enhancer_reward_gain": rounded(float(gains[0][index])),
            "enhancer_reward_gain_greedy": rounded(float(gains[1][index])),
        }
        for index in range(len(cases.actions))
    ]


def examples(cases: Cases, folder: Path) -> list[dict[str, Any]]:
    """Some cases for people, different actions, curated clips first; writes their pictures."""
    order = sorted(range(len(cases.actions)), key=lambda i: (not cases.clips[i], i))
    chosen: list[int] = []
    for index in order:
        if cases.actions[index] not in {cases.actions[i] for i in chosen}:
            chosen.append(index)
    rows = []
    for number, index in enumerate(chosen[:SHOWN]):
        write_image(folder / "enhancer" / f"{number:02d}.jpg", cases.pictures[index])
        row: dict[str, Any] = {
            "picture": f"enhancer/{number:02d}.jpg",
            "instruction": cases.instructions[index],
            "action": cases.actions[index],
        }
        for name, side in (("before", cases.before), ("after", cases.after)):
            row[name] = side.texts[index]
            row[f"reward_{name}"] = rounded(float(side.rewards[index]))
            row[f"terms_{name}"] = {
                term: rounded(math.nan if value is None else value)
                for term, value in side.terms[index].items()
            }
        rows.append(row)
    return rows
