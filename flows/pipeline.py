"""The whole chain as a Prefect flow: one task a stage, then register, promote and report.

Prefect owns when, retries, time-outs and visibility; DVC owns skipping. `flows.run` starts it, with a
server of its own unless PREFECT_API_URL names one.
"""

from __future__ import annotations

import os
import time
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.core.errors import GateRefused, SyncDreamerError, TemporaryFailure
from components.core.files import read_json
from components.core.paths import Workspace
from components.core.progress import say
from flows import chain, promotion, record
from flows.interruption import Interruption
from flows.params import FlowParams, Parameters
from flows.stages import STAGES
from flows.supervisor import TIMEOUT_VARIABLE, WATCH_VARIABLE


def _is_temporary(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Only a failure that the stage itself marked as temporary is tried again; never a gate's refusal."""
    try:
        state.result()
    except TemporaryFailure:
        return True
    except SyncDreamerError:
        return False
    return False


@task(name="stage", task_run_name="{name}", retry_condition_fn=_is_temporary, persist_result=False)
def run_stage(
    name: str, workspace: Workspace, repo: Any, tracker: record.Recorder, interruption: Interruption
) -> None:
    """Runs one stage through DVC, records it, shows a gate's verdict."""
    begin = time.monotonic()
    say(f"▶ {name}")
    try:
        with interruption.stage():
            ran = chain.reproduce(repo, workspace, name)
    except SyncDreamerError as error:
        tracker.failed(name, str(error), time.monotonic() - begin)
        if isinstance(error, GateRefused):
            _show_verdict(workspace, name)
        raise
    seconds = time.monotonic() - begin
    tracker.finished(name, ran, seconds)
    if name.startswith("gate_"):
        _show_verdict(workspace, name)
    say(f"✓ {name}: {f'{seconds:.1f} s' if ran else 'unchanged'}")


def _show_verdict(workspace: Workspace, name: str) -> None:
    path = workspace.artifacts(STAGES[name].folder, "verdict.json")
    if not path.exists():
        return
    verdict = read_json(path)
    rows = [{key: str(value) for key, value in row.items()} for row in verdict.get("expectations", [])]
    create_table_artifact(
        table=rows, key=name.replace("_", "-"), description="passed" if verdict.get("passed") else "refused"
    )


@task(name="register", persist_result=False)
def register(workspace: Workspace) -> dict[str, Any]:
    """Registers the trained pair in MLflow."""
    return promotion.register_pair(workspace)


@task(name="promote", persist_result=False)
def promote(workspace: Workspace, versions: dict[str, Any]) -> Any:
    """Moves the champion aliases if the policy allows it."""
    return promotion.promote_pair(workspace, versions)


@task(name="report", persist_result=False)
def report(workspace: Workspace, tracker: record.Recorder) -> str:
    """Builds artifacts/report/index.html and links it."""
    path = tracker.report()
    create_markdown_artifact(
        markdown=f"[The report]({path.resolve().as_uri()}) of this run.",
        key="report",
        description="run report",
    )
    return str(path)


@flow(name="syncdreamer", flow_run_name="chain", validate_parameters=False, persist_result=False)
def pipeline(
    workspace: Workspace, parameters: Parameters, interruption: Interruption, until: str | None = None
) -> record.Recorder:
    """Runs every stage in the order of dvc.yaml up to `until`, then registers, promotes and reports.

    Raises:
        SyncDreamerError: a stage failed, a gate refused or a signal came; nothing downstream has run.
    """
    # Once more: Prefect has put its own handler of SIGTERM in place of ours.
    with interruption.armed():
        return _run_all(workspace, parameters, interruption, until)


def _run_all(
    workspace: Workspace, parameters: Parameters, interruption: Interruption, until: str | None
) -> record.Recorder:
    settings: FlowParams = parameters.flow
    os.environ[TIMEOUT_VARIABLE] = str(settings.timeout_minutes * 60)
    os.environ[WATCH_VARIABLE] = str(os.getpid())
    repo = chain.open_repo(workspace)
    tracker = record.Recorder(workspace, parameters)
    attempt = run_stage.with_options(
        retries=settings.retries, retry_delay_seconds=settings.retry_delay_seconds
    )
    try:
        for name in chain.stage_order(repo):
            attempt(name, workspace, repo, tracker, interruption)
            interruption.check()
            if name == until:
                say(f"stopped after {until}, as asked")
                tracker.close("FINISHED")
                return tracker
        versions = register(workspace)
        tracker.registered(versions, repo)
        tracker.promoted(promote(workspace, versions))
        report(workspace, tracker)
    except SyncDreamerError:
        tracker.close("FAILED")
        raise
    tracker.close("FINISHED")
    return tracker
