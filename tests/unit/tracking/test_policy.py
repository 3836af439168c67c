"""The promotion rules, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import InputError
from components.core.files import write_text
from components.core.paths import Workspace
from components.tracking.policy import MetricRule, Policy, judge, read_policy

POLICY = Policy(
    required_gates=("clips", "evaluation"),
    metrics=(
        MetricRule(name="sync", direction="higher", minimum_gain=0.02, margin=0.05),
        MetricRule(name="leak", direction="lower", margin=0.05),
    ),
)
GATES = {"clips": True, "evaluation": True}


def evidence(sync: float, leak: float = 0.1, half: float = 0.01) -> dict[str, dict[str, float]]:
    return {
        "sync": {"value": sync, "low": sync - half, "high": sync + half},
        "leak": {"value": leak, "low": leak - half, "high": leak + half},
    }


def test_the_first_model_needs_its_gates_only() -> None:
    assert not judge(POLICY, evidence(0.1), {"clips": True}, None).better
    assert judge(POLICY, {}, GATES, None).figures[0].candidate is None
    verdict = judge(POLICY, evidence(0.1), GATES, None)
    assert verdict.better
    assert [figure.outcome for figure in verdict.figures] == ["first", "first"]


def test_better_wins() -> None:
    verdict = judge(POLICY, evidence(0.62), GATES, evidence(0.6))
    assert verdict.better
    assert verdict.reason == "better than the champion: sync 0.6 → 0.62"


def test_worse_loses() -> None:
    verdict = judge(POLICY, evidence(0.5), GATES, evidence(0.6))
    assert not verdict.better
    assert verdict.reason == "worse than the champion: sync 0.6 → 0.5"


@given(st.floats(-1, 1))
def test_equal_loses(value: float) -> None:
    verdict = judge(POLICY, evidence(value), GATES, evidence(value))
    assert not verdict.better
    assert verdict.reason == "no metric gains the required minimum"


def test_better_on_one_and_worse_on_another_follows_the_margin() -> None:
    assert judge(POLICY, evidence(0.7, leak=0.15), GATES, evidence(0.6, leak=0.1)).better
    verdict = judge(POLICY, evidence(0.7, leak=0.16), GATES, evidence(0.6, leak=0.1))
    assert not verdict.better
    assert verdict.reason == "worse than the champion: leak 0.1 → 0.16"


def test_a_gain_without_a_minimum_is_no_reason() -> None:
    assert not judge(POLICY, evidence(0.6, leak=0.0), GATES, evidence(0.6, leak=0.5)).better


@pytest.mark.parametrize("value", [None, float("nan"), "high", True])
def test_a_missing_metric_refuses(value: object) -> None:
    candidate: dict = evidence(0.9)
    candidate["leak"] = {"value": value}
    verdict = judge(POLICY, candidate, GATES, evidence(0.6))
    assert not verdict.better
    assert verdict.reason == "the candidate lacks the metric leak"


def test_a_champion_without_the_metric_cannot_be_compared() -> None:
    verdict = judge(POLICY, evidence(0.9), GATES, {"sync": {"value": 0.1}})
    assert not verdict.better
    assert "the champion lacks the metric leak" in verdict.reason


@pytest.mark.parametrize("gates", [{"clips": True}, {"clips": True, "evaluation": False}])
def test_a_failed_or_absent_gate_refuses(gates: dict[str, bool]) -> None:
    verdict = judge(POLICY, evidence(0.9), gates, None)
    assert not verdict.better
    assert verdict.reason == "required gate not passed: evaluation"


def test_significance_needs_the_interval_beyond_the_champion() -> None:
    strict = POLICY.model_copy(update={"significance": "interval"})
    assert judge(strict, evidence(0.65, half=0.04), GATES, evidence(0.6)).better
    assert not judge(strict, evidence(0.65, half=0.06), GATES, evidence(0.6)).better


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_two_models_never_both_beat_each_other(first: float, second: float) -> None:
    one, other = evidence(first), evidence(second)
    assert not (judge(POLICY, one, GATES, other).better and judge(POLICY, other, GATES, one).better)


def test_the_shipped_policy_is_read_and_a_broken_one_is_told(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    shipped = read_policy(workspace)
    assert "evaluation" in shipped.required_gates
    assert any(rule.minimum_gain for rule in shipped.metrics)
    write_text(tmp_path / "mlflow" / "promotion.yaml", "required_gates: []\nmetrics: []\n")
    with pytest.raises(InputError, match=r"promotion\.yaml: metrics: "):
        read_policy(workspace)
    write_text(tmp_path / "mlflow" / "promotion.yaml", "metrics: [\n")
    with pytest.raises(InputError, match="is not YAML"):
        read_policy(workspace)
