"""How the Ray pool deals out work, on a stand-in of Ray's few calls that runs actors in threads.

The real thing is exercised by tests/integration/curation/test_ray.py where Ray is installed.
"""

from __future__ import annotations

import sys
import threading
import time
import types
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import pytest

from components.core.errors import InputError, SyncDreamerError
from components.curation import pool_ray
from components.curation.pool import Lost
from components.curation.pool_ray import connected, spread_ray


class RayActorError(Exception):
    """The actor is gone."""


class RayTaskError(Exception):
    """The method raised."""


class FakeRay(types.ModuleType):
    """Actors are objects, each call a thread; `killed` counts, `alive` is who is left."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.alive: set[int] = set()
        self.made = 0

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **how: Any) -> Any:
        ray = self

        class Method:
            def __init__(self, bound: Any) -> None:
                self._bound = bound

            def remote(self, *args: Any) -> Future:
                future: Future = Future()

                def call() -> None:
                    try:
                        future.set_result(self._bound(*args))
                    except KeyboardInterrupt:  # stands for the death of the process
                        future.set_exception(RayActorError())
                    except ZeroDivisionError:
                        future.set_exception(RayTaskError())

                threading.Thread(target=call, daemon=True).start()
                return future

        class Actor:
            def __init__(self, inner: Any) -> None:
                self.ready, self.work = Method(inner.ready), Method(inner.work)
                ray.made += 1
                ray.alive.add(id(self))

        def wrap(kind: type) -> Any:
            return types.SimpleNamespace(remote=lambda *args: Actor(kind(*args)))

        return wrap

    def wait(
        self, tasks: list[Future], num_returns: int, timeout: float
    ) -> tuple[list[Future], list[Future]]:
        done, rest = wait(tasks, timeout, FIRST_COMPLETED)
        return list(done)[:num_returns], [*list(done)[num_returns:], *rest]

    def get(self, task: Future) -> Any:
        return task.result()

    def kill(self, actor: Any) -> None:
        self.alive.discard(id(actor))


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    exceptions = types.ModuleType("ray.exceptions")
    exceptions.RayActorError, exceptions.RayTaskError = RayActorError, RayTaskError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    monkeypatch.setattr("components.core.seeds.single_thread", lambda: None)
    monkeypatch.setattr(pool_ray, "CLOCK_FACTOR", 1)
    return fake


def make_tool(settings: int):
    def tool(item: str):
        if item == "sleep":
            time.sleep(30)
        if item == "crash":
            raise KeyboardInterrupt
        if item == "bug":
            raise ZeroDivisionError
        if item == "input":
            raise InputError("a clear line")
        return f"{item}{settings}"

    return tool


def refusing_tool(settings: int):
    raise InputError("the model is missing")


def broken_tool(settings: int):
    raise ZeroDivisionError


def test_results_come_with_their_index_and_nobody_is_left(ray: FakeRay) -> None:
    items = [f"i{number}" for number in range(7)]
    results = dict(spread_ray(make_tool, 3, items, workers=0, time_limit=20))
    assert results == {index: f"{item}3" for index, item in enumerate(items)}
    assert ray.made == 2 and not ray.alive


def test_hangs_crashes_and_bugs_cost_one_item_each(ray: FakeRay) -> None:
    items = ["a", "sleep", "crash", "b", "bug", "c"]
    results = dict(spread_ray(make_tool, 0, items, workers=2, time_limit=2))
    assert [results[index] for index in (0, 3, 5)] == ["a0", "b0", "c0"]
    assert results[1] == Lost("corrupt: no result within 2 s", False)
    assert results[2] == Lost("corrupt: its decoding crashed (the worker died)", True)
    assert results[4] == Lost("corrupt: its measurement failed", False)
    assert not ray.alive


def test_errors_meant_for_people_stop_the_run(ray: FakeRay) -> None:
    for make, items, message in (
        (make_tool, ["a", "input", "b"], "a clear line"),
        (refusing_tool, ["a"], "the model is missing"),
        (broken_tool, ["a"], "could not start"),
    ):
        with pytest.raises(SyncDreamerError, match=message):
            dict(spread_ray(make, 0, items, workers=1, time_limit=20))
        assert not ray.alive
    assert list(spread_ray(make_tool, 0, [], workers=2, time_limit=1)) == []


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"\.\[ray\]"):
        connected(None)
