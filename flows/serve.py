"""`syncdreamer serve`: a Prefect server on loopback (or the one that is named), deployments, triggers.

Prefect's runner starts the runs, one at a time. Beside it a loop keeps order: of several due runs of a
deployment only the newest stays, a run whose process was killed is taken up again, triggers are looked at,
notifications that could not be delivered are tried again. All that must survive a kill is on disk or in
Prefect's database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.runner import Runner
from prefect.states import Cancelled, Crashed, Scheduled

from components.core.errors import InputError, SyncDreamerError
from components.core.files import read_json, write_json
from components.core.paths import Workspace
from components.core.progress import say
from flows.changes import put_back
from flows.lock import Busy, run_lock
from flows.notifications import Notifier
from flows.operations import Deployment, OperationsParams
from flows.schedule import full_name, prefect_deployment
from flows.triggers import Watch

UNDER_WAY = (StateType.RUNNING, StateType.PENDING)
RESUME_WINDOW = timedelta(days=7)
RUNS_A_LOOK = 200
STOP_LIMIT_S = 90.0
"""More than a stage's process group is given to end."""


class Service:
    """The deployments of one repository on one Prefect server."""

    def __init__(self, workspace: Workspace, operations: OperationsParams, client: PrefectClient) -> None:
        self.workspace = workspace
        self.operations = operations
        self.client = client
        self.notifier = Notifier(workspace, operations.notifications, "syncdreamer serve")
        self.ids: dict[str, UUID] = {}
        self.loop = asyncio.get_running_loop()
        self._resume = workspace.state("operations") / "resume.json"
        self._tag = f"repository:{workspace.root}"

    # Start

    async def apply(self, runner: Runner) -> None:
        """Creates or renews every deployment, and makes one run for those whose runs were missed.

        Raises:
            InputError: a deployment of the same name belongs to another repository.
        """
        for deployment in self.operations.deployments:
            standing = await self._standing(deployment)
            missed = await self._due(standing.id) if standing else []
            paused = standing.paused if standing else deployment.paused
            made = await prefect_deployment(deployment, paused, [self._tag])
            # Told here, for renewing removes the runs that were planned.
            if missed and deployment.catch_up and not paused:
                await self._catch_up(deployment, missed)
            self.ids[deployment.name] = await runner.aadd_deployment(made)
            for run in missed:
                with contextlib.suppress(ObjectNotFound):
                    await self._cancel(run, "missed: made up for by one run")
            when = deployment.cron or (
                f"every {deployment.interval_seconds:g} s" if deployment.interval_seconds else ""
            )
            events = [f"on {trigger.kind}" for trigger in deployment.triggers]
            note = " (paused)" if paused else ""
            say(f"  {full_name(deployment)}: {', '.join([*([when] if when else []), *events])}{note}")

    async def _standing(self, deployment: Deployment) -> Any:
        try:
            standing = await self.client.read_deployment_by_name(full_name(deployment))
        except ObjectNotFound:
            return None
        others = [tag for tag in standing.tags if tag.startswith("repository:") and tag != self._tag]
        if others:
            raise InputError(
                f"deployment {full_name(deployment)} on this Prefect server belongs to another repository "
                f"({others[0].removeprefix('repository:')}): name it otherwise in operations.deployments"
            )
        return standing

    async def _catch_up(self, deployment: Deployment, missed: list[FlowRun]) -> None:
        newest = missed[-1]
        assert newest.deployment_id is not None and newest.expected_start_time is not None
        await self.client.create_flow_run_from_deployment(
            newest.deployment_id,
            parameters=newest.parameters | {"reason": "missed"},
            idempotency_key=f"missed/{newest.id}",
        )
        subject = f"{deployment.name}: {len(missed)} missed runs are made up for by one"
        say(subject)
        self.notifier.tell("missed", subject, f"the last was due at {newest.expected_start_time}")

    async def recover(self) -> None:
        """Takes up what an earlier `serve` left: runs that it stopped itself, or that died with it."""
        stopped = read_json(self._resume)["runs"] if self._resume.exists() else []
        for run_id in stopped:
            with contextlib.suppress(ObjectNotFound):
                run = await self.client.read_flow_run(UUID(run_id))
                if run.deployment_id in self.ids.values() and not _completed(run):
                    await self._again(run, "syncdreamer serve was stopped")
        for run in await self._runs(*UNDER_WAY, StateType.CANCELLING):
            if run.state and run.state.type == StateType.CANCELLING:
                await self._cancel(run, "cancelled; its process is gone")
                continue
            message = "its process ended with syncdreamer serve, which was killed"
            await self.client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            self.notifier.tell("crash", f"run {run.name} was killed", message, run=str(run.id))
        self._resume.unlink(missing_ok=True)
        await self.resume_crashed()

    # One look

    async def look(self) -> None:
        """What is done every `poll_seconds`."""
        for name in self.ids:
            due = await self._due(self.ids[name])
            for run in due[:-1]:
                await self._cancel(run, "a newer run of this deployment is due as well")
        await self.resume_crashed()
        await asyncio.to_thread(self._look)

    def _look(self) -> None:
        self.watch().look()
        self.notifier.announce_ledger()
        self.notifier.deliver()

    def watch(self) -> Watch:
        """The triggers, with this server's way of starting runs; kept from look to look."""
        if not hasattr(self, "_watch"):
            self._watch = Watch(
                self.workspace, self.operations.deployments, self._start, self._ended, self._idle
            )
        return self._watch

    async def resume_crashed(self) -> None:
        """Schedules runs whose process died again, unless they died too often or a newer run has begun."""
        for run in await self._runs(StateType.CRASHED):
            if await self._resumable(run):
                await self._again(run, "its process was killed")

    async def _resumable(self, run: FlowRun) -> bool:
        begun = run.start_time or run.expected_start_time
        if run.run_count > self.operations.resume_limit or begun is None:
            return False
        if datetime.now(UTC) - (run.end_time or begun) > RESUME_WINDOW:
            return False
        newest = await self._newest(run.deployment_id)
        later = newest.start_time if newest and newest.id != run.id else None
        return (later is None or later <= begun) and not await self._asked_to_end(run)

    async def _asked_to_end(self, run: FlowRun) -> bool:
        """Whether it was cancelled: an engine ended by a signal reports a crash before the runner speaks."""
        states = sorted(await self.client.read_flow_run_states(run.id), key=lambda state: state.timestamp)
        ends = [state.type for state in states if state.type in (StateType.RUNNING, StateType.CANCELLING)]
        return bool(ends) and ends[-1] == StateType.CANCELLING

    # Stop

    async def remember(self) -> None:
        """Notes the runs under way, which `stop` interrupts: the next `serve` takes them up again."""
        runs = [str(run.id) for run in await self._runs(*UNDER_WAY)]
        write_json(self._resume, {"runs": runs})

    # Prefect

    async def _runs(self, *types: StateType) -> list[FlowRun]:
        if not self.ids:
            return []
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {
                    "deployment_id": {"any_": list(self.ids.values())},
                    "state": {"type": {"any_": list(types)}},
                }
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=RUNS_A_LOOK,
        )
        return list(found)

    async def _due(self, deployment: UUID) -> list[FlowRun]:
        """Runs of the schedule that should have begun, oldest first."""
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {
                    "deployment_id": {"any_": [deployment]},
                    "state": {"type": {"any_": [StateType.SCHEDULED]}},
                    "expected_start_time": {"before_": datetime.now(UTC)},
                }
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=RUNS_A_LOOK,
        )
        return [run for run in found if run.auto_scheduled and run.run_count == 0]

    async def _newest(self, deployment: UUID | None) -> FlowRun | None:
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"deployment_id": {"any_": [deployment]}, "start_time": {"is_null_": False}}
            ),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )
        return found[0] if found else None

    async def _again(self, run: FlowRun, why: str) -> None:
        say(f"run {run.name} is taken up again: {why}")
        state = Scheduled(name="Resuming", message=why, scheduled_time=datetime.now(UTC))
        await self.client.set_flow_run_state(run.id, state, force=True)

    async def _cancel(self, run: FlowRun, why: str) -> None:
        await self.client.set_flow_run_state(run.id, Cancelled(message=why), force=True)

    # For the triggers, which look from a thread

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def _start(self, deployment: str, reason: str, key: str) -> str:
        async def start() -> str:
            standing = await self.client.read_deployment(self.ids[deployment])
            run = await self.client.create_flow_run_from_deployment(
                standing.id, parameters=standing.parameters | {"reason": reason}, idempotency_key=key
            )
            say(f"{reason}: run {run.name} of {deployment}")
            return str(run.id)

        return self._call(start())

    def _ended(self, run_id: str) -> bool:
        """A killed run that will be taken up again has not ended."""

        async def ended() -> bool:
            try:
                run = await self.client.read_flow_run(UUID(run_id))
            except ObjectNotFound:
                return True
            if run.state is None or not run.state.is_final():
                return False
            return not (run.state.is_crashed() and await self._resumable(run))

        return self._call(ended())

    def _idle(self, deployment: str) -> bool:
        async def idle() -> bool:
            standing = await self.client.read_deployment(self.ids[deployment])
            busy = await self._runs(*UNDER_WAY, StateType.CANCELLING)
            waiting = await self._due(standing.id)
            return (
                not standing.paused and not waiting and all(run.deployment_id != standing.id for run in busy)
            )

        return self._call(idle())


def _completed(run: FlowRun) -> bool:
    return run.state is not None and (run.state.is_completed() or run.state.is_failed())


async def serve(workspace: Workspace, operations: OperationsParams, url: str) -> None:
    """Serves until SIGINT or SIGTERM; the run under way is then interrupted in order.

    Raises:
        InputError: a deployment belongs to another repository.
        SyncDreamerError: the server went away and stayed away.
    """
    stop = asyncio.Event()
    async with get_client() as client:
        runner = Runner(
            name=f"syncdreamer {workspace.root.name}", limit=1, pause_on_shutdown=False, prefetch_seconds=1
        )
        service = Service(workspace, operations, client)
        say(f"deployments on {url}:")
        await service.apply(runner)
        await service.recover()
        running = asyncio.create_task(runner.start())
        while not runner.started and not running.done():
            await asyncio.sleep(0.05)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            service.loop.add_signal_handler(number, stop.set)
        say("serving; Ctrl-C stops")
        looking = asyncio.create_task(_keep_looking(service))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((running, looking, stopped), return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()  # whatever it waits for: a signal is obeyed at once
        if looking.done():
            looking.result()
        if running.done() and not stop.is_set():
            await running
            raise SyncDreamerError("Prefect's runner has ended by itself; its message is above")
        say("stopping: the run under way is interrupted and taken up by the next `syncdreamer serve`")
        with contextlib.suppress(httpx.HTTPError, PrefectException):
            async with asyncio.timeout(STOP_LIMIT_S):
                await service.remember()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(STOP_LIMIT_S):
                await runner.astop()
                await running


async def _keep_looking(service: Service) -> None:
    while True:
        try:
            await service.look()
        except (httpx.HTTPError, PrefectException, SyncDreamerError, OSError) as error:
            say(f"look at runs and triggers: {type(error).__name__}: {error}; tried again")
        await asyncio.sleep(service.operations.poll_seconds)


def run_service(workspace: Workspace, operations: OperationsParams, url: str) -> None:
    """In the process of `syncdreamer serve`, after the server answers."""
    page = workspace.state("operations") / "server.json"
    with contextlib.suppress(Busy), run_lock(workspace, "syncdreamer serve"):
        put_back(workspace)
    write_json(page, {"url": url, "pid": os.getpid()})
    try:
        asyncio.run(serve(workspace, operations, url))
    finally:
        page.unlink(missing_ok=True)
