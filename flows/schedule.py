"""The flows that deployments run, and how a deployment of params.yaml becomes one of Prefect."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import TerminationSignal
from prefect.schedules import Cron, Interval
from prefect.states import Completed

from components.core.errors import GateRefused
from components.core.paths import Workspace, find_workspace
from flows.chain import Interrupted
from flows.environment import prepare
from flows.lock import run_lock
from flows.notifications import notifier_for
from flows.operations import Deployment, OperationsParams, S3Trigger
from flows.params import load_operations, load_params

PARENT_POLL_S = 1.0
PARENT_GRACE_S = 45.0


def _crashed(flow: Any, flow_run: Any, state: Any) -> None:
    """Prefect's hook: in the process of `serve`, after a run's own process died without a word."""
    name = str(flow_run.parameters.get("deployment", flow_run.name))
    notifier = notifier_for(find_workspace(), f"deployment {name}")
    notifier.tell(
        "crash", f"{name}: run {flow_run.name} was killed", state.message or "", run=str(flow_run.id)
    )


def _cancelled(flow: Any, flow_run: Any, state: Any) -> None:
    name = str(flow_run.parameters.get("deployment", flow_run.name))
    notifier = notifier_for(find_workspace(), f"deployment {name}")
    notifier.tell("cancelled", f"{name}: run {flow_run.name} was cancelled", "", run=str(flow_run.id))


@contextlib.contextmanager
def _bound() -> Iterator[None]:
    """The run ends in order when what started it is gone; an interrupted run is told to Prefect as one."""
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(PARENT_POLL_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(PARENT_GRACE_S)
                os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except Interrupted as error:
        raise TerminationSignal(signal.SIGTERM) from error
    finally:
        over.set()


def _prepare_input(operations: OperationsParams, deployment: str, workspace: Workspace) -> None:
    from flows.triggers import fetch

    for each in operations.deployments:
        for trigger in each.triggers:
            if each.name == deployment and isinstance(trigger, S3Trigger):
                fetch(trigger, workspace)


@flow(
    name="syncdreamer-chain",
    flow_run_name="{deployment}: {reason}",
    persist_result=False,
    on_crashed=[_crashed],
    on_cancellation=[_cancelled],
)
def scheduled_chain(
    deployment: str,
    until: str = "",
    force: bool = False,
    changes: dict[str, Any] | None = None,
    reason: str = "schedule",
) -> Any:
    """The chain as a deployment runs it: waits its turn, fetches what its triggers saw, runs what is due."""
    from flows.run import run_chain

    workspace = find_workspace()
    prepare(workspace)
    operations = load_operations(workspace.root / "params.yaml")
    with _bound():
        ran = run_chain(
            until or None,
            force,
            changes=changes,
            source=f"deployment {deployment}",
            wait_minutes=operations.wait_minutes,
            prepare_input=lambda workspace: _prepare_input(operations, deployment, workspace),
        )
    return Completed(message="ran" if ran else "nothing to do: everything is up to date")


@flow(
    name="syncdreamer-drift",
    flow_run_name="{deployment}: {reason}",
    persist_result=False,
    on_crashed=[_crashed],
    on_cancellation=[_cancelled],
)
def scheduled_drift(deployment: str, changes: dict[str, Any] | None = None, reason: str = "schedule") -> Any:
    """The drift check: curates what is new (unless told not to), compares, tells."""
    from flows.drift import REPORT, check_drift
    from flows.run import run_chain

    workspace = find_workspace()
    prepare(workspace)
    operations = load_operations(workspace.root / "params.yaml")
    source = f"deployment {deployment}"
    with _bound():
        if operations.drift.refresh:
            run_chain("curate", changes=changes, source=source, wait_minutes=operations.wait_minutes)
        notifier = notifier_for(workspace, source)
        with run_lock(workspace, source, wait_seconds=operations.wait_minutes * 60):
            seed = load_params(workspace.root / "params.yaml", only="curate").seed
            try:
                found = check_drift(workspace, operations.drift, seed)
            except GateRefused as error:
                first, *rest = str(error).splitlines()
                notifier.tell("drift", first, "\n".join(rest))
                raise
            finally:
                path = workspace.root / REPORT
                if path.exists():
                    create_markdown_artifact(key="drift", markdown=path.read_text(encoding="utf-8"))
        if found["warnings"]:
            notifier.tell("drift", f"gate drift warns: {found['message']}", "\n".join(found["warnings"]))
    return Completed(message=found["message"])


FLOWS = {"chain": scheduled_chain, "drift": scheduled_drift}


def full_name(deployment: Deployment) -> str:
    """flow/deployment, as Prefect's commands take it."""
    return f"{FLOWS[deployment.job].name}/{deployment.name}"


async def prefect_deployment(deployment: Deployment, paused: bool, tags: list[str]) -> RunnerDeployment:
    """What Prefect is told: schedule, parameters, one run at a time."""
    schedule = None
    if deployment.cron:
        schedule = Cron(deployment.cron, timezone=deployment.timezone)
    elif deployment.interval_seconds:
        schedule = Interval(timedelta(seconds=deployment.interval_seconds), timezone=deployment.timezone)
    parameters: dict[str, Any] = {"deployment": deployment.name, "changes": deployment.changes}
    if deployment.job == "chain":
        parameters |= {"until": deployment.until, "force": deployment.force}
    return await FLOWS[deployment.job].ato_deployment(
        deployment.name,
        schedule=schedule,
        paused=paused,
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
        ),
        parameters=parameters,
        tags=["syncdreamer", *tags],
        description="; ".join([f"on {trigger.kind}" for trigger in deployment.triggers]) or None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
