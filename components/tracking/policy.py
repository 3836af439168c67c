"""When a candidate is better than the champion: rules from mlflow/promotion.yaml, judged without MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from components.core.errors import InputError
from components.core.params import Params
from components.core.paths import Workspace

POLICY_FILE = Path("mlflow") / "promotion.yaml"


class MetricRule(Params):
    """How one metric counts. `minimum_gain` and `margin` are in the metric's own unit."""

    name: str
    direction: Literal["higher", "lower"] = "higher"
    minimum_gain: float | None = Field(None, ge=0, description="a gain this large is a reason to promote")
    margin: float = Field(0.0, ge=0, description="a loss larger than this refuses (non-inferiority)")


class Policy(Params):
    """The promotion rules."""

    required_gates: tuple[str, ...]
    metrics: tuple[MetricRule, ...] = Field(min_length=1)
    significance: Literal["none", "interval"] = Field(
        "none", description="interval: a gain counts only if the candidate's interval excludes the champion"
    )
    require_approval: bool = Field(False, description="a better candidate waits for a person")


class Figure(Params):
    """One metric of both models, and what the rule made of it. gain > 0 is better, whatever the direction."""

    name: str
    candidate: float | None
    champion: float | None
    gain: float | None
    outcome: Literal["first", "gain", "same", "loss"]


class Judgement(Params):
    """Whether the rules allow the candidate to become champion, and why (not)."""

    better: bool
    reason: str
    figures: tuple[Figure, ...] = ()


def read_policy(workspace: Workspace) -> Policy:
    """The policy of the workspace, or the one beside this code if the workspace has none.

    Raises:
        InputError: not YAML or not a policy; the message names file and field.
    """
    import yaml

    path = workspace.root / POLICY_FILE
    if not path.exists():
        path = Path(__file__).resolve().parents[2] / POLICY_FILE
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{POLICY_FILE} is missing") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from error


def judge(
    policy: Policy,
    candidate: Mapping[str, Mapping[str, Any]],
    gates: Mapping[str, bool],
    champion: Mapping[str, Mapping[str, Any]] | None,
) -> Judgement:
    """Applies the rules.

    candidate, champion: metric name → {"value", "low", "high"}; champion None: there is none yet.
    gates: gate name → passed.

    The candidate must have passed every required gate and have every metric of the policy; then it must lose
    more than the margin on none, and gain at least the minimum on one. The first model needs its gates only
    (the evaluation's gate asks for the metrics).
    """
    refused = [name for name in policy.required_gates if not gates.get(name, False)]
    if refused:
        return Judgement(better=False, reason=f"required gate not passed: {', '.join(refused)}")
    if champion is None:
        figures = tuple(
            Figure(
                name=r.name, candidate=_value(candidate, r.name), champion=None, gain=None, outcome="first"
            )
            for r in policy.metrics
        )
        return Judgement(better=True, reason="first model to pass every required gate", figures=figures)
    missing = [rule.name for rule in policy.metrics if _value(candidate, rule.name) is None]
    if missing:
        return Judgement(better=False, reason=f"the candidate lacks the metric {', '.join(missing)}")
    missing = [rule.name for rule in policy.metrics if _value(champion, rule.name) is None]
    if missing:
        reason = f"the champion lacks the metric {', '.join(missing)}; evaluate it again to compare"
        return Judgement(better=False, reason=reason)
    figures = tuple(_figure(policy, rule, candidate, champion) for rule in policy.metrics)
    losses = [f"{f.name} {f.champion:.4g} → {f.candidate:.4g}" for f in figures if f.outcome == "loss"]
    if losses:
        reason = f"worse than the champion: {'; '.join(losses)}"
        return Judgement(better=False, reason=reason, figures=figures)
    gains = [f"{f.name} {f.champion:.4g} → {f.candidate:.4g}" for f in figures if f.outcome == "gain"]
    if not gains:
        return Judgement(better=False, reason="no metric gains the required minimum", figures=figures)
    return Judgement(better=True, reason=f"better than the champion: {'; '.join(gains)}", figures=figures)


def _figure(
    policy: Policy,
    rule: MetricRule,
    candidate: Mapping[str, Mapping[str, Any]],
    champion: Mapping[str, Mapping[str, Any]],
) -> Figure:
    new, old = _sure(candidate, rule.name), _sure(champion, rule.name)
    sign = 1 if rule.direction == "higher" else -1
    gain = sign * (new - old)
    outcome: Literal["gain", "same", "loss"] = "same"
    # Sums of decimal fractions miss their bound by a rounding error; that must not decide.
    slack = 1e-9 * max(1.0, abs(new), abs(old))
    if gain < -rule.margin - slack:
        outcome = "loss"
    elif rule.minimum_gain is not None and gain > 0 and gain >= rule.minimum_gain - slack:
        outcome = "gain" if policy.significance == "none" or _excludes(candidate, rule, old) else "same"
    return Figure(name=rule.name, candidate=new, champion=old, gain=gain, outcome=outcome)


def _excludes(candidate: Mapping[str, Mapping[str, Any]], rule: MetricRule, old: float) -> bool:
    """Whether the candidate's interval lies wholly on the better side of the champion's value."""
    bound = candidate[rule.name].get("low" if rule.direction == "higher" else "high")
    if not isinstance(bound, (int, float)) or not math.isfinite(bound):
        return False
    return bound > old if rule.direction == "higher" else bound < old


def _value(metrics: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    value = metrics.get(name, {}).get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _sure(metrics: Mapping[str, Mapping[str, Any]], name: str) -> float:
    value = _value(metrics, name)
    assert value is not None
    return value
