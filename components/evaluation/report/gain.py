"""What the report says of GRPO's gain: how much the targets' own defects built in, and the watch's looks."""

from __future__ import annotations

from typing import Any

from components.core.files import read_json, read_jsonl
from components.core.paths import Workspace
from components.evaluation.report import figures

GAIN = (
    ("gain", "gain of the mean composite reward, sampled texts"),
    ("built_in", "of it, complete SFT targets alone would have given"),
    ("built_in_share", "that is, as a share of the gain"),
    ("sampling", "what SFT's samples lack of their targets' reward (GRPO sharpens)"),
    ("beyond", "what GRPO is above complete prompts"),
    ("targets_reward", "reward of the SFT targets themselves"),
    ("complete_reward", "reward of complete prompts for the same cases"),
)
REPEATED = (
    ("sft_sampled_reward", "reward after SFT on complete targets"),
    ("sampled_reward", "reward after GRPO from there"),
    ("reward_gain", "gain from there"),
    ("action_kept", "actions kept after GRPO from there, greedy"),
    ("well_formed", "well formed after GRPO from there, greedy"),
)
LOOKS = (
    "step",
    "reward",
    "held_out",
    "well_formed",
    "action_kept",
    "repetition",
    "words",
    "distinct_bigrams",
)


def gain(workspace: Workspace) -> dict[str, Any] | None:
    """What GRPO's gain is made of, the repetition on complete targets where `explain-gain --again` has made
    it for this very run, and the looks of the watch."""
    from components.enhancer.gain import repeated

    folder = workspace.artifacts("enhancer_grpo")
    if not (folder / "gain.json").exists():
        return None
    told, again = read_json(folder / "gain.json"), repeated(workspace)
    path = folder / "watch" / "looks.jsonl"
    looks = read_jsonl(path) if path.exists() else []
    return {
        "rows": [(label, figures.short(told[name])) for name, label in GAIN if name in told],
        "repeated": [(label, figures.short(again[name])) for name, label in REPEATED] if again else [],
        "columns": LOOKS,
        "looks": [[figures.short(row.get(name)) for name in LOOKS] for row in looks],
    }
