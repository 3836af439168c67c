"""The pool: a hang or a crash costs one item, and nothing else."""

from __future__ import annotations

import os
import signal
import time

import pytest

from components.core.errors import InputError, SyncDreamerError
from components.curation.pool import Lost, spread


def make_tool(settings: int):
    def tool(item: str):
        if item == "hang":
            while True:
                pass
        if item == "sleep":
            time.sleep(60)
        if item == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "bug":
            raise ZeroDivisionError
        if item == "input":
            raise InputError("a clear line")
        return f"{item}{settings}"

    return tool


def broken_tool(settings: int):
    raise ZeroDivisionError


def refusing_tool(settings: int):
    raise InputError("the model is missing")


@pytest.fixture(autouse=True)
def light_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tools need neither torch nor a fresh interpreter."""
    monkeypatch.setattr("components.core.seeds.single_thread", lambda: None)
    monkeypatch.setattr("components.curation.pool.START_METHOD", "fork")


def test_results_come_with_their_index() -> None:
    items = [f"i{number}" for number in range(7)]
    results = dict(spread(make_tool, 3, items, workers=2, time_limit=20))
    assert results == {index: f"{item}3" for index, item in enumerate(items)}


def test_hangs_crashes_and_bugs_cost_one_item_each() -> None:
    items = ["a", "hang", "crash", "b", "bug", "c"]
    results = dict(spread(make_tool, 0, items, workers=2, time_limit=1))
    assert [results[index] for index in (0, 3, 5)] == ["a0", "b0", "c0"]
    assert results[1] == Lost("corrupt: no result within 1 s", False)
    assert results[2] == Lost(f"corrupt: its decoding crashed (signal {int(signal.SIGKILL)})", True)
    assert results[4] == Lost("corrupt: its measurement failed", False)


def test_waiting_costs_less_than_computing_but_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.curation.pool.CLOCK_FACTOR", 3)
    begin = time.monotonic()
    assert dict(spread(make_tool, 0, ["sleep"], workers=1, time_limit=0.2))[0].final is False
    assert 0.55 < time.monotonic() - begin < 30


def test_errors_meant_for_people_stop_the_run() -> None:
    with pytest.raises(InputError, match="a clear line"):
        dict(spread(make_tool, 0, ["a", "input"], workers=1, time_limit=20))
    with pytest.raises(InputError, match="the model is missing"):
        dict(spread(refusing_tool, 0, ["a"], workers=2, time_limit=20))
    with pytest.raises(SyncDreamerError, match="could not start"):
        dict(spread(broken_tool, 0, ["a"], workers=1, time_limit=20))


def test_no_items_start_no_process() -> None:
    assert list(spread(make_tool, 0, [], workers=4, time_limit=1)) == []
