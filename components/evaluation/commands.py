"""`syncdreamer report`: rebuild the page from what lies in artifacts/."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds the room's commands."""
    app.command(name="report")(report)


def report() -> None:
    """Rebuild artifacts/report/index.html, with the durations and models of the last run."""
    from components.core.files import read_json
    from components.core.paths import find_workspace
    from components.evaluation.report import build_report

    workspace = find_workspace()
    last = workspace.root / "state" / "run_info.json"
    typer.echo(f"wrote {build_report(workspace, read_json(last) if last.exists() else {})}")
