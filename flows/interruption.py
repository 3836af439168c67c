"""SIGINT, SIGTERM and SIGHUP as an orderly end of a flow: the stage ends, the runs are closed, status 130."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from components.core.files import write_text
from components.core.paths import Workspace
from flows.chain import Interrupted
from flows.supervisor import SIGNALS, STOP_VARIABLE


class Interruption:
    """What to do about a signal: while a stage runs, its supervisor is told; else `Interrupted` is raised."""

    def __init__(self, workspace: Workspace) -> None:
        self._file = workspace.state() / f"stop.{os.getpid()}"
        self._in_stage = False
        self._signal = ""

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Handles the signals inside; within a Prefect flow it must be entered anew: Prefect sets its own."""
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        os.environ[STOP_VARIABLE] = str(self._file)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stage(self) -> Iterator[None]:
        """Inside, a stage runs.

        Raises:
            Interrupted: a signal came before.
        """
        self.check()
        self._in_stage = True
        try:
            yield
        finally:
            self._in_stage = False

    def check(self) -> None:
        """Raises `Interrupted` if a signal came."""
        if self._signal:
            raise Interrupted(f"interrupted ({self._signal}); run again to go on")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        write_text(self._file, self._signal)
        if not self._in_stage:
            self.check()
