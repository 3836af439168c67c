"""Gates: whether a stage's output may go on (Great Expectations), with verdicts and quarantine tables."""

from __future__ import annotations

from typing import Any

_HOMES = {
    "run_gate": "components.gates.gate",
    "STAGES": "components.gates.gate",
    "Verdict": "components.gates.verdicts",
    "Finding": "components.gates.verdicts",
}
__all__ = ["STAGES", "Finding", "Verdict", "run_gate"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
