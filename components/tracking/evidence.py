"""What a pair is judged by: the gates' verdicts, the evaluation's figures, and the single clips behind them.

Two evaluations are comparable clip by clip when they are of one frozen set: the same clips, sentences,
instructions and seeds, the same sampling and the same measuring networks; and case by case, for the enhancer,
when its pictures, what is known of them, instructions, seeds and reward are the same too. `frozen` names it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import read_json, to_json
from components.core.paths import Workspace

GATES = ("clips", "annotations", "latents", "checkpoint", "enhancer", "evaluation")
FIELDS = ("value", "low", "high", "n", "network")
ROLE = ("identity", "split", "reference", "sound", "other", "instruction", "seed")
"""What makes two roles of two evaluations the same test (the prompt and the figures are the model's)."""
CASE_ROLE = ("index", "picture", "seen", "instruction", "action", "seed")
"""What makes two of the enhancer's cases the same test; its place counts, for answers are drawn in turn."""
PROTOCOL = ("frames", "fps", "crop", "pixels", "control", "sampling", "identity", "networks", "reward")
"""The part of the protocol that two comparable evaluations share."""
_DIGITS = 6

Samples = dict[str, dict[str, float | None]]
"""metric → test (digest of a clip's or a case's role) → the model's figure; None: not measured."""


def read_gates(workspace: Workspace) -> dict[str, bool]:
    """gate → passed, from artifacts/gates; a missing verdict is not passed."""
    gates = {}
    for name in GATES:
        path = workspace.artifacts("gates", name, "verdict.json")
        gates[name] = path.exists() and bool(read_json(path).get("passed"))
    return gates


def read_figures(path: Path) -> dict[str, Any]:
    """{"metrics", "frozen", "samples"} of an evaluation's metrics.json.

    Raises:
        InputError: it is missing or lists no metrics.
    """
    content = read_json(path)
    rows = content.get("metrics") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path} lists no metrics")
    metrics = {row["name"]: {field: row.get(field) for field in FIELDS} for row in rows}
    return {"metrics": metrics, "frozen": frozen(content), "samples": samples(content)}


def frozen(content: Mapping[str, Any]) -> str:
    """Names the frozen set of an evaluation (16 hex digits); "" if it lists no single clips."""
    items = content.get("items") or []
    if not items:
        return ""
    protocol = content.get("protocol") or {}
    shared = {name: protocol.get(name) for name in PROTOCOL}
    cases = sorted(_test(case, CASE_ROLE) for case in content.get("cases") or [])
    text = to_json([shared, sorted(_test(item) for item in items), cases], None)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def samples(content: Mapping[str, Any]) -> Samples:
    """The figures of the single clips and of the enhancer's single cases, by metric. `sync_wins` is made from
    the two confidences, as there."""
    found: Samples = {}
    for case in content.get("cases") or []:
        test = _test(case, CASE_ROLE)
        for name, value in case.items():
            number = _number(value)
            if name not in CASE_ROLE and (number is not None or value is None):
                found.setdefault(name, {})[test] = number
    for item in content.get("items") or []:
        test = _test(item)
        for name, value in item.items():
            if name not in ROLE and name not in ("index", "own", "prompt"):
                number = _number(value)
                if number is not None or value is None:
                    found.setdefault(name, {})[test] = number
        if "sync_confidence" in item:
            own, other = _number(item["sync_confidence"]), _number(item.get("sync_confidence_other"))
            won = own is not None and other is not None and own > other
            found.setdefault("sync_wins", {})[test] = float(won)
    return found


def _test(item: Mapping[str, Any], names: tuple[str, ...] = ROLE) -> str:
    role = to_json({name: item.get(name) for name in names}, None)
    return hashlib.sha256(role.encode()).hexdigest()[:12]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
