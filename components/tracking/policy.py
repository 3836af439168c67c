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
from components.tracking.comparison import Evidence, from_intervals, holm, paired

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
    significance: Literal["none", "interval", "paired"] = Field(
        "none",
        description="interval: a gain counts only if the candidate's interval excludes the champion; paired: "
        "only if a paired test over the same clips, corrected for the number of metrics, excludes chance",
    )
    level: float = Field(0.95, gt=0.5, lt=1, description="confidence that significance asks for")
    proven_margins: bool = Field(
        False,
        description="with paired: the whole interval of a loss, not its value, must be within the margin",
    )
    same_clips: bool = Field(
        True, description="only evaluations of the same frozen clips, seeds and networks are compared"
    )
    require_approval: bool = Field(False, description="a better candidate waits for a person")


class Figure(Params):
    """One metric of both models, and what the rule made of it. gain > 0 is better, whatever the direction.

    low, high: interval of the gain. p: one-sided, corrected. n: clips compared. method: see `comparison`.
    """

    name: str
    candidate: float | None
    champion: float | None
    gain: float | None
    outcome: Literal["first", "gain", "same", "loss"]
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0
    method: str = ""


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
    samples: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    withdrawn: bool = False,
) -> Judgement:
    """Applies the rules.

    candidate, champion: metric name → {"value", "low", "high"}; champion None: there is none yet.
    gates: gate name → passed. samples: the single clips' figures of both (`evidence.Samples`), if known.
    withdrawn: the champion learnt from withdrawn material: whoever is no worse takes its place.

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
    proofs = {rule.name: _proof(policy, rule, candidate, champion, samples) for rule in policy.metrics}
    chances = {
        rule.name: proof.p
        for rule in policy.metrics
        if rule.minimum_gain is not None and (proof := proofs[rule.name])
    }
    corrected = holm(chances)
    figures = tuple(
        _figure(policy, rule, candidate, champion, proofs[rule.name], corrected.get(rule.name))
        for rule in policy.metrics
    )
    losses = [f"{f.name} {f.champion:.4g} → {f.candidate:.4g}" for f in figures if f.outcome == "loss"]
    if losses:
        reason = f"worse than the champion: {'; '.join(losses)}"
        return Judgement(better=False, reason=reason, figures=figures)
    gains = [f"{f.name} {f.champion:.4g} → {f.candidate:.4g}" for f in figures if f.outcome == "gain"]
    if gains:
        return Judgement(better=True, reason=f"better than the champion: {'; '.join(gains)}", figures=figures)
    if withdrawn:
        reason = "no worse than the champion, which learnt from withdrawn material"
        return Judgement(better=True, reason=reason, figures=figures)
    lucky = [f.name for r, f in zip(policy.metrics, figures, strict=True) if _enough(r, f) is True]
    reason = "no metric gains the required minimum"
    if lucky:
        reason += f" beyond chance (not significant: {', '.join(lucky)})"
    return Judgement(better=False, reason=reason, figures=figures)


def _proof(
    policy: Policy,
    rule: MetricRule,
    candidate: Mapping[str, Mapping[str, Any]],
    champion: Mapping[str, Mapping[str, Any]],
    samples: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Evidence | None:
    """How sure the difference is: clip by clip where the single figures are known, else by intervals."""
    higher, level = rule.direction == "higher", policy.level
    one, other = (side.get(rule.name, {}) for side in samples)
    return paired(one, other, higher=higher, level=level) or from_intervals(
        candidate[rule.name], champion[rule.name], higher=higher, level=level
    )


def _enough(rule: MetricRule, figure: Figure) -> bool:
    gain = figure.gain
    slack = _slack(figure.candidate, figure.champion)
    return gain is not None and rule.minimum_gain is not None and 0 < gain >= rule.minimum_gain - slack


def _slack(*values: float | None) -> float:
    """Sums of decimal fractions miss their bound by a rounding error; that must not decide."""
    return 1e-9 * max(1.0, *(abs(value) for value in values if value is not None))


def _figure(
    policy: Policy,
    rule: MetricRule,
    candidate: Mapping[str, Mapping[str, Any]],
    champion: Mapping[str, Mapping[str, Any]],
    proof: Evidence | None,
    p: float | None,
) -> Figure:
    new, old = _sure(candidate, rule.name), _sure(champion, rule.name)
    gain = (new - old) if rule.direction == "higher" else (old - new)
    figure = Figure(name=rule.name, candidate=new, champion=old, gain=gain, outcome="same")
    if proof is not None:
        shown = {"low": proof.low, "high": proof.high, "n": proof.n, "method": proof.method}
        figure = figure.model_copy(update=shown | {"p": p if p is not None else proof.p})
    worst = gain
    if policy.significance == "paired" and policy.proven_margins:
        worst = min(gain, proof.low) if proof is not None else -math.inf
    outcome = "same"
    if worst < -rule.margin - _slack(new, old):
        outcome = "loss"
    elif _enough(rule, figure) and _significant(policy, rule, candidate, old, p):
        outcome = "gain"
    return figure.model_copy(update={"outcome": outcome})


def _significant(
    policy: Policy, rule: MetricRule, candidate: Mapping[str, Mapping[str, Any]], old: float, p: float | None
) -> bool:
    if policy.significance == "interval":
        return _excludes(candidate, rule, old)
    if policy.significance == "paired":
        return p is not None and p <= 1 - policy.level
    return True


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
