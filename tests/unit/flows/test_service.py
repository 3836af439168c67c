"""What `serve` does about runs that were missed, killed, stopped or pile up, on a server that is a table."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Crashed, Pending, Running, Scheduled

from components.core.errors import InputError
from components.core.files import read_jsonl, write_json
from components.core.paths import Workspace
from flows.operations import Deployment, OperationsParams
from flows.serve import Service

NOW = datetime.now(UTC)
OFTEN = uuid.uuid4()


def run(state: State, minutes_ago: float, count: int = 0, auto: bool = True, started: bool = True) -> FlowRun:
    when = NOW - timedelta(minutes=minutes_ago)
    return FlowRun(
        id=uuid.uuid4(),
        flow_id=uuid.uuid4(),
        deployment_id=OFTEN,
        name="often",
        state=state,
        auto_scheduled=auto,
        run_count=count,
        expected_start_time=when,
        start_time=when if started and count else None,
        parameters={"deployment": "often", "reason": "schedule"},
    )


class Table:
    """As much of Prefect's client as the service uses."""

    def __init__(self, *runs: FlowRun, tags: list[str] | None = None) -> None:
        self.runs = list(runs)
        self.made: list[dict[str, Any]] = []
        self.states: dict[uuid.UUID, list[State]] = {}
        self.deployment = None if tags is None else SimpleNamespace(id=OFTEN, tags=tags, paused=True)

    async def read_flow_runs(self, flow_run_filter: Any, sort: Any, limit: int) -> list[FlowRun]:
        found = self.runs
        if flow_run_filter.state:
            types = flow_run_filter.state.type.any_
            found = [each for each in found if each.state and each.state.type in types]
        if flow_run_filter.expected_start_time:
            before = flow_run_filter.expected_start_time.before_
            found = [each for each in found if each.expected_start_time <= before]
        key = "start_time" if flow_run_filter.start_time else "expected_start_time"
        found = [each for each in found if getattr(each, key)]
        return sorted(found, key=lambda each: getattr(each, key), reverse="DESC" in sort.value)[:limit]

    async def read_flow_run(self, run_id: uuid.UUID) -> FlowRun:
        return next(each for each in self.runs if each.id == run_id)

    async def set_flow_run_state(self, run_id: uuid.UUID, state: State, force: bool) -> None:
        assert force
        (await self.read_flow_run(run_id)).state = state

    async def read_flow_run_states(self, run_id: uuid.UUID) -> list[State]:
        return self.states.get(run_id, [])

    async def read_deployment_by_name(self, name: str) -> Any:
        if self.deployment is None:
            raise ObjectNotFound(Exception(name))
        return self.deployment

    async def create_flow_run_from_deployment(self, deployment: uuid.UUID, **more: Any) -> None:
        self.made.append(more)


class Keeper:
    """A runner that is told of deployments."""

    def __init__(self) -> None:
        self.deployments: list[Any] = []

    async def aadd_deployment(self, deployment: Any) -> uuid.UUID:
        self.deployments.append(deployment)
        return OFTEN


def with_service(tmp_path: Path, table: Table, work: Any, **operations: Any) -> Service:
    deployments = (Deployment(name="often", interval_seconds=60, until="curate"),)
    params = OperationsParams(deployments=deployments, **operations)

    async def main() -> Service:
        service = Service(Workspace(tmp_path), params, table)  # type: ignore[arg-type]
        service.ids = {"often": OFTEN}
        await work(service)
        return service

    return asyncio.run(main())


def names(table: Table) -> list[str]:
    return [each.state.name for each in table.runs if each.state]


def test_runs_that_died_with_serve_are_taken_up_again_also_before_they_began(tmp_path: Path) -> None:
    done = run(Completed(), 30, 1)
    table = Table(done, run(Running(), 5, 1), run(Pending(), 1, started=False))
    with_service(tmp_path, table, Service.recover)
    assert names(table) == ["Completed", "Resuming", "Resuming"]
    rows = read_jsonl(tmp_path / "state" / "operations" / "events.jsonl")
    assert [row["kind"] for row in rows] == ["crash", "crash"]


def test_a_cancelled_run_without_a_process_stays_cancelled(tmp_path: Path) -> None:
    table = Table(run(State(type=StateType.CANCELLING), 5, 1))
    with_service(tmp_path, table, Service.recover)
    assert names(table) == ["Cancelled"]


def test_what_serve_itself_stopped_goes_on(tmp_path: Path) -> None:
    stopped, done = run(State(type=StateType.CANCELLED), 5, 1), run(Completed(), 4, 1)
    write_json(
        Workspace(tmp_path).state("operations") / "resume.json", {"runs": [str(stopped.id), str(done.id)]}
    )
    table = Table(stopped, done)
    with_service(tmp_path, table, Service.recover)
    assert names(table) == ["Resuming", "Completed"]
    assert not (tmp_path / "state" / "operations" / "resume.json").exists()


def test_a_killed_run_is_left_after_too_many_times_or_when_overtaken(tmp_path: Path) -> None:
    table = Table(run(Crashed(), 5, 3))
    with_service(tmp_path, table, Service.resume_crashed, resume_limit=2)
    assert names(table) == ["Crashed"]
    table = Table(run(Crashed(), 5, 1), run(Completed(), 2, 1))
    with_service(tmp_path, table, Service.resume_crashed)
    assert names(table) == ["Crashed", "Completed"]
    table = Table(run(Crashed(), 9 * 24 * 60, 1))
    with_service(tmp_path, table, Service.resume_crashed)
    assert names(table) == ["Crashed"]


def test_a_cancelled_run_whose_engine_reports_a_crash_is_not_taken_up(tmp_path: Path) -> None:
    cancelled, again = run(Crashed(), 5, 1), run(Crashed(), 4, 2)
    table = Table(cancelled, again)
    asked = [Running(), State(type=StateType.CANCELLING), Crashed()]
    table.states = {cancelled.id: asked, again.id: [*asked, Running(), Crashed()]}
    with_service(tmp_path, table, Service.resume_crashed)
    assert names(table) == ["Crashed", "Resuming"]


def test_of_several_due_runs_the_newest_is_left(tmp_path: Path) -> None:
    by_hand = run(Scheduled(), 9, auto=False)
    table = Table(
        by_hand, run(Scheduled(), 3), run(Scheduled(), 2), run(Scheduled(), 1), run(Scheduled(), -600)
    )
    with_service(tmp_path, table, Service.look)
    assert names(table) == ["Scheduled", "Cancelled", "Cancelled", "Scheduled", "Scheduled"]


def test_missed_runs_are_made_up_for_by_one_unless_paused_and_a_pause_lasts(tmp_path: Path) -> None:
    table = Table(
        run(Scheduled(), 30), run(Scheduled(), 20), run(Scheduled(), -600), tags=[f"repository:{tmp_path}"]
    )
    table.deployment.paused = False  # type: ignore[union-attr]
    keeper = Keeper()
    with_service(tmp_path, table, lambda service: service.apply(keeper))
    assert names(table) == ["Cancelled", "Cancelled", "Scheduled"]
    (made,) = table.made
    assert made["parameters"]["reason"] == "missed" and str(table.runs[1].id) in made["idempotency_key"]
    assert keeper.deployments[0].paused is False
    assert keeper.deployments[0].parameters == {
        "deployment": "often", "changes": {}, "until": "curate", "force": False,
    }  # fmt: skip

    table = Table(run(Scheduled(), 30), tags=[f"repository:{tmp_path}"])
    keeper = Keeper()
    with_service(tmp_path, table, lambda service: service.apply(keeper))
    assert table.made == [] and keeper.deployments[0].paused is True


def test_another_repositorys_deployment_is_not_taken_over(tmp_path: Path) -> None:
    table = Table(tags=["repository:/elsewhere"])
    with pytest.raises(InputError, match="belongs to another repository .*/elsewhere"):
        with_service(tmp_path, table, lambda service: service.apply(Keeper()))
