"""Processes that may hang or crash on one file without taking the run with them.

Each worker builds its tool once and works item by item. A worker that passes the time limit is killed, one
that dies is replaced, and in both cases only that item fails. The limit counts the worker's own computing
time, so that a busy machine fails no file, and ten times as much by the clock.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from components.core.errors import SyncDreamerError

Tool = Callable[[Any], Any]
MakeTool = Callable[[Any], Tool]


READY = "ready"
START_METHOD: Final = "spawn"
"""mediapipe and torch do not survive a fork."""
START_LIMIT_S = 600.0
CLOCK_FACTOR = 10


@dataclass(frozen=True)
class Lost:
    """An item without a result: the worker was killed or died, or the file could not be worked on."""

    why: str
    final: bool
    """Whether the same item would fail again (a time-out need not)."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    item: int | None = None
    ready: bool = False
    begin: float = 0.0
    used: float = 0.0
    deadline: float = float("inf")


def cores(wanted: int) -> int:
    """`wanted`, or the number of cores this process may use if it is 0."""
    return wanted or len(os.sched_getaffinity(0))


def _work(make: MakeTool, settings: Any, pipe: Connection) -> None:
    """Body of a worker: ends when its parent closes the pipe (or dies)."""
    from components.core.seeds import single_thread

    single_thread()
    try:
        tool = make(settings)
    except SyncDreamerError as error:
        pipe.send(error)
        return
    pipe.send(READY)
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = tool(item)
        except SyncDreamerError as error:
            answer = error
        pipe.send(answer)


def spread(
    make: MakeTool, settings: Any, items: Sequence[Any], *, workers: int, time_limit: float
) -> Iterator[tuple[int, Any]]:
    """Yields (index, result or `Lost`) of every item as it comes ready, in no fixed order.

    `make(settings)` builds a worker's tool; both and all items are pickled. Results must not depend on
    which worker made them.

    Raises:
        SyncDreamerError: what a tool raised; the other workers are ended.
    """
    context = multiprocessing.get_context(START_METHOD)
    pool: list[_Worker] = []
    todo = list(range(len(items)))[::-1]

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(make, settings, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, deadline=time.monotonic() + START_LIMIT_S)

    def feed(worker: _Worker) -> None:
        worker.item = todo.pop() if todo else None
        worker.begin, worker.used = time.monotonic(), _computed(worker)
        worker.deadline = worker.begin + time_limit
        if worker.item is not None:
            worker.pipe.send(items[worker.item])

    def answer(worker: _Worker, ready: bool) -> Any:
        if not ready:
            return Lost(f"corrupt: no result within {time_limit:g} s", False)
        try:
            return worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            code = worker.process.exitcode
            if code < 0:
                return Lost(f"corrupt: its decoding crashed (signal {-code})", True)
            return Lost("corrupt: its measurement failed", False)

    try:
        pool += [start() for _ in range(min(workers, len(items)))]
        while active := [worker for worker in pool if worker.item is not None or (todo and not worker.ready)]:
            rest = min(worker.deadline for worker in active) - time.monotonic()
            ready = set(wait([worker.pipe for worker in active], max(0.0, rest)))
            for worker in active:
                if worker.pipe not in ready and (
                    time.monotonic() < worker.deadline or _prolonged(worker, time_limit)
                ):
                    continue
                result = answer(worker, worker.pipe in ready)
                if isinstance(result, SyncDreamerError):
                    raise result
                index, lost = worker.item, isinstance(result, Lost)
                if not worker.ready and lost:
                    raise SyncDreamerError("a worker process could not start; its message is above")
                if lost:
                    _end(worker)
                    pool[pool.index(worker)] = start()
                else:
                    worker.ready = True
                    feed(worker)
                if index is not None:
                    yield index, result
    finally:
        for worker in pool:
            _end(worker)


def _computed(worker: _Worker) -> float:
    """Seconds that a worker has computed so far; 0 once it is gone."""
    import psutil

    try:
        spent = psutil.Process(worker.process.pid).cpu_times()
    except psutil.Error:
        return 0.0
    return spent.user + spent.system


def _prolonged(worker: _Worker, limit: float) -> bool:
    """Whether a worker whose time is up by the clock has more to compute; sets its next deadline."""
    rest = limit - (_computed(worker) - worker.used)
    now = time.monotonic()
    if not worker.ready or rest <= 0 or now - worker.begin > CLOCK_FACTOR * limit:
        return False
    worker.deadline = now + max(rest, 0.1)
    return True


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()
