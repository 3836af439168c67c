"""`syncdreamer run`: asks DVC what is out of date before anything heavy starts, then runs the flow."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components.core.files import read_json, write_json
from components.core.paths import Workspace, find_workspace
from components.core.progress import say
from flows import chain, revision
from flows.changes import changed_params
from flows.environment import prepare
from flows.interruption import Interruption
from flows.lock import run_lock
from flows.notifications import notifier_for
from flows.params import Parameters, load_params
from flows.server import join_server, start_server
from flows.stages import stage_named

if TYPE_CHECKING:
    from flows.record import Recorder


def run_chain(
    until: str | None = None,
    force: bool = False,
    *,
    changes: Mapping[str, Any] | None = None,
    source: str = "by hand",
    wait_minutes: float = 0.0,
    prepare_input: Callable[[Workspace], None] | None = None,
) -> bool:
    """Runs what is out of date; returns whether anything was.

    changes: parameters of this run only (dotted key → value). source: who runs it, for the lock and for
    notifications. wait_minutes: how long to wait for another run. prepare_input: called under the lock first.

    Raises:
        SyncDreamerError: parameters or input are wrong, another run is at work, a stage failed …
    """
    workspace = find_workspace()
    if until:
        stage_named(until)
    if not wait_minutes:
        load_params(workspace.root / "params.yaml")  # a mistake is told before anything is touched
    prepare(workspace)
    interruption = Interruption(workspace)
    with contextlib.ExitStack() as stack:
        telling = notifier_for(workspace, source).watching()
        if wait_minutes:  # nobody looks on: that the turn never came is told as well
            stack.enter_context(interruption.armed())
            stack.enter_context(telling)
        lock = run_lock(workspace, source, wait_seconds=wait_minutes * 60, check=interruption.check)
        stack.enter_context(lock)
        if not wait_minutes:
            stack.enter_context(telling)
        if prepare_input is not None:
            prepare_input(workspace)
        stack.enter_context(changed_params(workspace, changes or {}))
        return _run_locked(workspace, until, force)


def _run_locked(workspace: Workspace, until: str | None, force: bool) -> bool:
    parameters = load_params(workspace.root / "params.yaml")
    repo = chain.open_repo(workspace)
    chain.fetch_input(repo, workspace)
    revision.settle(repo, workspace)
    done = workspace.root / "state" / "last_run.json"
    if until and not force and chain.up_to_date(repo, workspace, until):
        say(f"everything up to {until} is up to date: nothing was run")
        return False
    if not until and not force and done.exists() and chain.up_to_date(repo, workspace):
        last: dict[str, Any] = read_json(done)
        if last["lock"] == chain.lock_digest(workspace) and (workspace.root / last["report"]).exists():
            say("everything is up to date: nothing was run")
            print_summary(workspace, last)
            return False
    repo.close()
    tracker = run_flow(workspace, parameters, until)
    if until:
        return True
    summary = tracker.summary()
    write_json(done, summary)
    print_summary(workspace, summary)
    return True


def run_flow(workspace: Workspace, parameters: Parameters, until: str | None) -> Recorder:
    """Runs the Prefect flow and returns what it noted; server and stage end with it, however it ends."""
    interruption = Interruption(workspace)
    with interruption.armed():
        server = None if join_server(workspace) else start_server()
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
