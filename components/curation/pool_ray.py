"""The pool of `components.curation.pool` on a Ray cluster: the same contract, the same results.

Each worker is an actor that keeps its models loaded. The workspace must lie at the same path on every node (a
shared file system): items carry paths. A worker that passes the time limit is killed and one that dies is
replaced; in both cases only that item fails. Ray does not tell an actor's computing time, so the limit counts
the clock here, ten times as long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from components.core.errors import InputError, SyncDreamerError
from components.curation.pool import CLOCK_FACTOR, START_LIMIT_S, Lost, MakeTool

POLL_S = 0.5


class Worker:
    """Body of an actor."""

    def __init__(self, make: MakeTool, settings: Any) -> None:
        from components.core.seeds import single_thread

        single_thread()
        self._make, self._settings = make, settings
        self._tool: Any = None

    def ready(self) -> SyncDreamerError | None:
        """Builds the tool; returns what is meant for people, if that went wrong."""
        try:
            self._tool = self._make(self._settings)
        except SyncDreamerError as error:
            return error
        return None

    def work(self, item: Any) -> Any:
        """The tool's result for an item, or the error meant for people."""
        try:
            return self._tool(item)
        except SyncDreamerError as error:
            return error


def spread_ray(
    make: MakeTool,
    settings: Any,
    items: Sequence[Any],
    *,
    workers: int,
    time_limit: float,
    address: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """As `pool.spread`, on the cluster at `address` (None: one of this machine, or the one that is joined).

    workers: actors, one core each; 0: one for every core of the cluster.

    Raises:
        InputError: Ray is not installed, or the cluster does not answer.
        SyncDreamerError: what a tool raised; the other workers are ended.
    """
    if not items:
        return
    ray = connected(address)
    from ray.exceptions import RayActorError, RayTaskError

    count = min(len(items), workers or int(ray.cluster_resources().get("CPU", 1)))
    actor = ray.remote(num_cpus=1, max_restarts=0)(Worker)
    todo = list(range(len(items)))[::-1]
    running: dict[Any, tuple[Any, int | None, float]] = {}

    def start() -> None:
        worker = actor.remote(make, settings)
        running[worker.ready.remote()] = (worker, None, time.monotonic() + START_LIMIT_S)

    def feed(worker: Any) -> None:
        if todo:
            index = todo.pop()
            deadline = time.monotonic() + CLOCK_FACTOR * time_limit
            running[worker.work.remote(items[index])] = (worker, index, deadline)
        else:
            ray.kill(worker)

    try:
        for _ in range(count):
            start()
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
            late = [task for task, (_, _, end) in running.items() if time.monotonic() > end]
            for task in [*done, *(task for task in late if task not in done)]:
                worker, index, _ = running.pop(task)
                result: Any
                try:
                    result = ray.get(task) if task in done else _late(time_limit)
                except RayActorError:
                    result = Lost("corrupt: its decoding crashed (the worker died)", True)
                except RayTaskError:
                    result = Lost("corrupt: its measurement failed", False)
                if isinstance(result, SyncDreamerError):
                    ray.kill(worker)
                    raise result
                if isinstance(result, Lost):
                    ray.kill(worker)
                    if index is None:
                        raise SyncDreamerError("a Ray worker could not start; see the cluster's logs")
                    if todo:
                        start()
                else:
                    feed(worker)
                if index is not None:
                    yield index, result
    finally:
        for worker, _, _ in running.values():
            ray.kill(worker)


def _late(limit: float) -> Lost:
    return Lost(f"corrupt: no result within {limit:g} s", False)


def connected(address: str | None) -> Any:
    """The module `ray`, connected.

    Raises:
        InputError: it is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("curate.engine is ray, which is not installed: pip install -e '.[ray]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]  # a traceback may follow
            raise InputError(f"curate.ray_address {address!r} does not answer: {first}") from error
    return ray
