"""A foreign program in a process group of its own: a time limit, a log, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import EXIT_TIMEOUT, InputError

GRACE_S = 5.0
OURS = ("PYTHON", "VIRTUAL_ENV", "SYNCDREAMER_", "HF_HUB_OFFLINE", "PREFECT_", "MLFLOW_", "CONDA_")
"""Variables (by their begin) of this environment that a peer must not inherit."""


@dataclass(frozen=True)
class Ended:
    """status: the program's own, 124 when time ran out, negative for a signal. seconds: by the clock."""

    status: int
    seconds: float


def peer_environment(python: str, *more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables less its own Python's; the interpreter's folder first on PATH; then `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    folder = str(Path(python).parent)
    kept["PATH"] = os.pathsep.join(filter(None, [folder, kept.get("PATH", "")]))
    for each in more:
        kept |= each
    return kept


def run_logged(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, limit_s: float
) -> Ended:
    """Runs an argument list (no shell) in `folder`; both outputs go to `log`. On time-out, interruption or
    any other end, the whole group is gone when this returns.

    Raises:
        InputError: the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                list(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"{command[0]} cannot be started in {folder}: {error.strerror}") from error
        try:
            status = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            status = EXIT_TIMEOUT
        finally:
            end_group(process)
    return Ended(status, time.monotonic() - begin)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Asks the group to end, then makes it; what outlived its leader goes too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_S)
