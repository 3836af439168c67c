"""Before against after: gains, what is left of the variety, and the repetition on complete targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.core.files import read_json, write_json
from components.core.paths import Workspace
from components.enhancer.comparison import figures
from components.enhancer.gain import REPEATED, repeated
from components.enhancer.grpo import _alike, _group_spread
from components.evaluation.report.gain import gain


def measured(**more: float) -> dict[str, float]:
    return {
        "reward": 0.9, "sampled_reward": 0.7, "sampled_action_kept": 0.9, "sampled_well_formed": 0.9,
        "sampled_distinct_texts": 96.0, "sampled_distinct_bigrams": 400.0, **more,
    }  # fmt: skip


def test_gains_and_shares_by_hand() -> None:
    after = measured(
        reward=0.98, sampled_reward=0.92, sampled_action_kept=0.95, sampled_well_formed=0.875,
        sampled_distinct_texts=72.0, sampled_distinct_bigrams=370.0,
    )  # fmt: skip
    found = figures(measured(), after)
    assert found["reward_gain"] == pytest.approx(0.22)
    assert found["greedy_reward_gain"] == pytest.approx(0.08)
    assert found["sampled_action_gain"] == pytest.approx(0.05)
    assert found["sampled_form_gain"] == pytest.approx(-0.025)
    assert found["distinct_texts_kept"] == pytest.approx(0.75)
    assert found["distinct_bigrams_kept"] == pytest.approx(0.925)
    assert (found["sft_sampled_reward"], found["sampled_reward"]) == (0.7, 0.92)


def test_a_model_that_said_nothing_has_no_share() -> None:
    silent = measured(sampled_distinct_texts=0.0, sampled_distinct_bigrams=0.0)
    assert "distinct_bigrams_kept" not in figures(silent, measured())


def test_spreads_are_of_groups_alone() -> None:
    scores: list[float | None] = [0.0, 1.0, 0.5, 0.5, None, None]
    assert _group_spread(scores, 2) == pytest.approx(0.25)  # .5 and 0; the unscorable group has none
    assert _alike(scores, 2) == pytest.approx(2 / 3)
    assert _alike([0.1, 0.2, None, 0.3], 2) == pytest.approx(0.5)


def filled(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    out = workspace.artifacts("enhancer_grpo")
    write_json(out / "metrics.json", measured())
    write_json(out / "gain.json", {"gain": 0.2, "built_in": 0.15, "built_in_share": 0.75, "beyond": 0.0})
    return workspace


def test_the_report_says_what_the_gain_is_made_of(tmp_path: Path) -> None:
    workspace = filled(tmp_path)
    told: Any = gain(workspace)
    assert ("that is, as a share of the gain", "0.75") in told["rows"]
    assert told["repeated"] == [] and told["looks"] == []
    (workspace.artifacts("enhancer_grpo") / "gain.json").unlink()
    assert gain(workspace) is None


def test_a_repetition_is_shown_beside_its_own_run_only(tmp_path: Path) -> None:
    from components.core.files import digest_file

    workspace = filled(tmp_path)
    metrics = workspace.artifacts("enhancer_grpo", "metrics.json")
    again = {
        "sft_sampled_reward": 0.88, "sampled_reward": 0.93, "reward_gain": 0.05, "action_kept": 0.97,
        "well_formed": 0.99,
    }  # fmt: skip
    write_json(
        workspace.state("enhancer_gain") / REPEATED, {"of": digest_file(metrics), "complete_targets": again}
    )
    assert repeated(workspace) == again
    told: Any = gain(workspace)
    assert ("gain from there", "0.05") in told["repeated"]
    write_json(metrics, read_json(metrics) | {"reward": 0.1})  # another run
    assert repeated(workspace) is None
