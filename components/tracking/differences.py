"""What two registered pairs differ in: figures clip by clip, parameters, data, code, gates, clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.core.errors import InputError
from components.core.paths import Workspace
from components.tracking.comparison import paired
from components.tracking.lineage import LEARNT, Index
from components.tracking.policy import read_policy
from components.tracking.registry import (
    AVATAR,
    CHAMPION,
    ENHANCER,
    Pair,
    alias_pair,
    evaluated_on,
    find_pair,
    newest_pair,
    samples_of,
)
from components.tracking.runs import Tracker
from components.tracking.store import flatten
from components.tracking.trace import synchronise

SHOWN_CLIPS = 10


def pair_named(tracker: Tracker, name: str) -> Pair:
    """A pair by alias (`champion`, `previous`, `challenger`), `newest`, or `AVATAR+ENHANCER` versions (`3+2`;
    `3` means `3+3`).

    Raises:
        InputError: there is none.
    """
    if name.replace("+", "").isdigit():
        avatar, _, enhancer = name.partition("+")
        return find_pair(tracker, {AVATAR: avatar, ENHANCER: enhancer or avatar})
    found = newest_pair(tracker) if name == "newest" else alias_pair(tracker, name)
    if found is None:
        raise InputError(f"no pair is {name}; `syncdreamer models` lists versions and aliases")
    return found


def difference(
    workspace: Workspace, old: str = CHAMPION, new: str = "newest", tracker: Tracker | None = None
) -> dict[str, Any]:
    """Everything in which pair `new` differs from pair `old`, as plain values.

    `figures`: metric → old, new, and where both were measured on the same frozen clips the paired gain with
    its interval and p (uncorrected; the direction is the policy's, else higher is better).

    Raises:
        InputError: a pair is unknown.
    """
    tracker = tracker or Tracker(workspace)
    before, after = pair_named(tracker, old), pair_named(tracker, new)
    synchronise(tracker)
    with Index.of(workspace) as index:
        models = {}
        for name in before.versions:
            sides = [index.model(name, pair.versions[name]) for pair in (before, after)]
            sets = [
                {c.clip_id for c in index.clips(name, pair.versions[name], LEARNT)}
                for pair in (before, after)
            ]
            params = [flatten(side.get("params", {})) for side in sides]
            parents = [side.get("parents", {}) for side in sides]
            models[name] = {
                "versions": [before.versions[name], after.versions[name]],
                "params": changes(*params),
                "parents": changes(*parents),
                "clips_added": sorted(sets[1] - sets[0]),
                "clips_removed": sorted(sets[0] - sets[1]),
            }
    facts = {
        field: [getattr(before, field), getattr(after, field)] for field in ("git", "data", "lock", "id")
    }
    return {
        "old": before.versions,
        "new": after.versions,
        "facts": {name: sides for name, sides in facts.items() if sides[0] != sides[1]},
        "gates": changes(before.gates, after.gates),
        "figures": _figures(workspace, tracker, before, after),
        "models": models,
    }


def _figures(workspace: Workspace, tracker: Tracker, before: Pair, after: Pair) -> dict[str, Any]:
    policy = read_policy(workspace)
    directions = {rule.name: rule.direction for rule in policy.metrics}
    against = evaluated_on(tracker, before, after.frozen)
    samples = samples_of(tracker, after), samples_of(tracker, against) if against else {}
    standing = against or before
    figures = {}
    for name in sorted(standing.metrics.keys() | after.metrics.keys()):
        values = [side.metrics.get(name, {}).get("value") for side in (standing, after)]
        row: dict[str, Any] = {"old": values[0], "new": values[1]}
        if against and all(name in side for side in samples):
            higher = directions.get(name, "higher") == "higher"
            proof = paired(samples[0][name], samples[1][name], higher=higher, level=policy.level)
            if proof:
                row |= {"gain": proof.gain, "low": proof.low, "high": proof.high, "p": proof.p, "n": proof.n}
        figures[name] = row
    return figures


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """name → [old, new] of what is not the same; None where a side has no such name."""
    names = sorted(old.keys() | new.keys())
    return {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}


def told(found: Mapping[str, Any]) -> list[str]:
    """Lines for people."""
    pair = " → ".join(" ".join(f"{n} {v}" for n, v in found[side].items()) for side in ("old", "new"))
    lines = [pair]
    for name, (old, new) in found["facts"].items():
        lines.append(f"{name}: {str(old)[:16] or '-'} → {str(new)[:16] or '-'}")
    lines += [f"gate {name}: {old} → {new}" for name, (old, new) in found["gates"].items()]
    for name, row in found["figures"].items():
        if row["old"] == row["new"]:
            continue
        proof = ""
        if "gain" in row:
            span = f"[{row['low']:.4g}, {row['high']:.4g}]"
            proof = f"  gain {row['gain']:+.4g} {span} p={row['p']:.3g} n={row['n']}"
        lines.append(f"{name}: {_number(row['old'])} → {_number(row['new'])}{proof}")
    for name, model in found["models"].items():
        lines += [f"{name} {key}: {old} → {new}" for key, (old, new) in model["params"].items()]
        lines += [
            f"{name} {key}: {str(old)[:12]} → {str(new)[:12]}" for key, (old, new) in model["parents"].items()
        ]
        for word in ("added", "removed"):
            clips = model[f"clips_{word}"]
            if clips:
                more = " …" if len(clips) > SHOWN_CLIPS else ""
                lines.append(f"{name} {len(clips)} clips {word}: {', '.join(clips[:SHOWN_CLIPS])}{more}")
    if len(lines) == 1:
        lines.append("no difference")
    return lines


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"
