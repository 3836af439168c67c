"""The report: one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.core.paths import Workspace


def build_report(workspace: Workspace, run_info: dict[str, Any] | None = None) -> Path:
    """Writes artifacts/report/index.html from what lies in `workspace`; see `build.build`."""
    from components.evaluation.report.build import build

    return build(workspace, run_info or {})
