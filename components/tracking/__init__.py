"""Tracking: runs, models, lineage, registry, promotion and its ledger (MLflow behind a narrow interface)."""

from __future__ import annotations

from typing import Any

_HOMES = {
    "Input": "runs",
    "Tracker": "runs",
    "log_model": "models",
    "Pair": "registry",
    "register_pair": "registry",
    "models_table": "registry",
    "champion_paths": "registry",
    "Policy": "policy",
    "read_policy": "policy",
    "Decision": "book",
    "promote": "promotion",
    "rollback": "promotion",
    "history": "promotion",
    "Ledger": "ledger",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"components.tracking.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
