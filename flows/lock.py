"""One run at a time in a repository: a lock of the operating system, let go of when its holder dies.

Prefect's own limits hold what one server starts. This one also holds a hand-started `syncdreamer run`,
another server's run and a second `syncdreamer serve`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from components.core.errors import TemporaryFailure
from components.core.paths import Workspace
from components.core.progress import say

WAIT_STEP_S = 0.5


class Busy(TemporaryFailure):
    """Another run is at work in this repository."""


@contextmanager
def run_lock(
    workspace: Workspace,
    who: str,
    *,
    name: str = "run",
    wait_seconds: float = 0.0,
    check: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Holds state/NAME.lock; `who` is told to others who ask for it meanwhile.

    wait_seconds: how long to wait for it; `check` is called meanwhile and may raise.

    Raises:
        Busy: someone else holds it and went on holding it; the message names who, since when, which process.
    """
    path = workspace.state() / f"{name}.lock"
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + wait_seconds
        told = False
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise Busy(f"another {name} is at work in this repository: {_holder(file)}; wait for it")
            if not told:
                say(f"waiting for another {name} in this repository: {_holder(file)}")
                told = True
            check()
            time.sleep(WAIT_STEP_S)
        _sign(
            file, {"who": who, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        )
        try:
            yield
        finally:
            _sign(file, None)
            fcntl.flock(file, fcntl.LOCK_UN)


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(file: TextIO, holder: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    if holder:
        json.dump(holder, file)
    file.flush()


def _holder(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"{holder['who']} (process {holder['pid']}, since {holder['since']})"
    except (json.JSONDecodeError, KeyError, TypeError):
        return "it does not say who"
