"""Starts a stage's process group and ends all of it on time-out, interruption or its parent's death.

`dvc repro`, the flow and a person all start stages through here, so none leaves orphans behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from components.core.errors import EXIT_TIMEOUT
from components.core.files import write_json
from components.core.paths import Workspace
from components.core.progress import say
from flows.usage import Meter

TIMEOUT_VARIABLE = "SYNCDREAMER_STAGE_TIMEOUT"
"""Seconds; the flow sets it (the flow owns time-outs), unset means no limit."""
WATCH_VARIABLE = "SYNCDREAMER_FLOW_PID"
"""Process id of the flow; when that process is gone the stage ends too."""
STOP_VARIABLE = "SYNCDREAMER_STOP_FILE"
"""A file that the flow creates when it is interrupted, with the reason; the stage ends then too."""
POLL_S = 0.5
GRACE_S = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stopped(Exception):
    pass


def supervise(name: str, workspace: Workspace) -> int:
    """Runs stage `name` in its own process group and returns its exit status (124: out of time)."""
    timeout = float(os.environ.get(TIMEOUT_VARIABLE, "inf"))
    flow = int(os.environ.get(WATCH_VARIABLE, "0"))
    stop_file = os.environ.get(STOP_VARIABLE, "")
    parent = os.getppid()

    def stop(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:  # once is enough: what follows must not be interrupted
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped(signal.Signals(number).name)

    for number in SIGNALS:
        signal.signal(number, stop)
    meter = Meter()
    environment = os.environ | {"SYNCDREAMER_ROOT": str(workspace.root)}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.worker", name],
        cwd=workspace.root,
        env=environment,
        start_new_session=True,
    )
    begin = time.monotonic()
    try:
        while True:
            try:
                status = process.wait(timeout=POLL_S)
            except subprocess.TimeoutExpired:
                meter.sample(process.pid)
            else:
                write_json(workspace.state("stages", name) / "usage.json", meter.read())
                if status < 0:
                    _record(workspace, name, 128 - status, f"ended by signal {-status}", begin)
                    return 128 - status
                return status
            if time.monotonic() - begin > timeout:
                message = (
                    f"ran longer than {timeout:.0f} s and was ended (flow.timeout_minutes in params.yaml)"
                )
                say(f"error: {name}: {message}")
                _end_group(process)
                _record(workspace, name, EXIT_TIMEOUT, message, begin)
                return EXIT_TIMEOUT
            if os.getppid() != parent or (flow and not _alive(flow)):
                raise _Stopped("the process that started it is gone")
            if stop_file and Path(stop_file).exists():
                raise _Stopped(Path(stop_file).read_text(encoding="utf-8"))
    except _Stopped as reason:
        _end_group(process)
        _record(workspace, name, 130, f"interrupted ({reason}); run again to go on", begin)
        return 130


def _record(workspace: Workspace, name: str, status: int, message: str, begin: float) -> None:
    seconds = round(time.monotonic() - begin, 2)
    result = {"exit": status, "message": message, "seconds": seconds}
    write_json(workspace.state("stages", name) / "result.json", result)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            # The leader is gone; what it started must go as well.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return
