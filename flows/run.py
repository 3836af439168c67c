"""`syncdreamer run`: asks DVC what is out of date before anything heavy starts, then runs the flow."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from components.core.files import read_json, write_json
from components.core.paths import Workspace, find_workspace
from components.core.progress import say
from flows import chain
from flows.environment import prepare
from flows.interruption import Interruption
from flows.params import Parameters, load_params
from flows.server import start_server
from flows.stages import stage_named

if TYPE_CHECKING:
    from flows.record import Recorder


def run_chain(until: str | None = None, force: bool = False) -> int:
    """Runs what is out of date; returns the exit status.

    Raises:
        SyncDreamerError: parameters or input are wrong, a stage failed or a gate refused.
    """
    workspace = find_workspace()
    if until:
        stage_named(until)
    parameters = load_params(workspace.root / "params.yaml")
    prepare(workspace)
    repo = chain.open_repo(workspace)
    chain.fetch_input(repo, workspace)
    done = workspace.root / "state" / "last_run.json"
    if not force and done.exists() and chain.up_to_date(repo):
        last: dict[str, Any] = read_json(done)
        if last["lock"] == chain.lock_digest(workspace) and (workspace.root / last["report"]).exists():
            say("everything is up to date: nothing was run")
            print_summary(workspace, last)
            return 0
    repo.close()
    tracker = run_flow(workspace, parameters, until)
    if until:
        return 0
    summary = tracker.summary()
    write_json(done, summary)
    print_summary(workspace, summary)
    return 0


def run_flow(workspace: Workspace, parameters: Parameters, until: str | None) -> Recorder:
    """Runs the Prefect flow and returns what it noted; server and stage end with it, however it ends."""
    interruption = Interruption(workspace)
    with interruption.armed():
        server = start_server()
        from flows.pipeline import pipeline  # slow to import: the server starts meanwhile

        if server is not None:
            server.wait()
        return pipeline(workspace, parameters, interruption, until)


def print_summary(workspace: Workspace, summary: dict[str, Any]) -> None:
    """The table of stages, the key figures and the paths, on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False)
    table = Table(title="SyncDreamer run", title_justify="left")
    table.add_column("stage")
    table.add_column("status")
    table.add_column("seconds", justify="right")
    for row in summary["stages"]:
        table.add_row(
            row["name"], row["status"], f"{row['seconds']:.1f}" if row["seconds"] is not None else ""
        )
    console.print(table)
    figures = Table(title="Evaluation", title_justify="left")
    for column in ("metric", "value", "control", "N", "network"):
        figures.add_column(column)
    path = workspace.artifacts("evaluation", "metrics.json")
    if path.exists():
        for metric in read_json(path)["metrics"]:
            figures.add_row(
                metric["name"],
                _figure(metric.get("value")),
                _figure(metric.get("control")),
                _figure(metric.get("n")),
                str(metric.get("network") or ""),
            )
        console.print(figures)
    for label, value in summary["paths"].items():
        console.print(f"{label:10} {value}", soft_wrap=True)


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return _figure(value.get("value"))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
