"""The supervisor ends whole process groups: on time-out, on SIGTERM, and when its parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from components.core.files import read_json

SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
open("pids", "w").write(f"{__import__('os').getpid()} {child.pid}")
time.sleep(120)
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """A workspace whose worker is a program that starts a grandchild and sleeps."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("")
    (tmp_path / "flows" / "worker.py").write_text(SLEEPER)
    (tmp_path / "start.py").write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from components.core.paths import Workspace
            from flows.supervisor import supervise
            sys.exit(supervise("curate", Workspace(Path(sys.argv[1]))))
            """
        )
    )
    return tmp_path


def start(sandbox: Path, **extra: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); sys.argv=['x', {str(sandbox)!r}];"
    code += f"exec(open({str(sandbox / 'start.py')!r}).read())"
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | extra)


def pids(sandbox: Path) -> list[int]:
    path = sandbox / "pids"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().split()) == 2:
            return [int(pid) for pid in path.read_text().split()]
        time.sleep(0.05)
    raise AssertionError("the worker did not start")


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def result(sandbox: Path) -> dict:
    return read_json(sandbox / "state" / "stages" / "curate" / "result.json")


def test_time_out_ends_the_group(sandbox: Path) -> None:
    process = start(sandbox, SYNCDREAMER_STAGE_TIMEOUT="3")
    workers = pids(sandbox)
    assert process.wait(timeout=30) == 124
    assert all(gone(pid) for pid in workers)
    assert "ran longer than 3 s" in result(sandbox)["message"]


def test_terminate_ends_the_group(sandbox: Path) -> None:
    process = start(sandbox)
    workers = pids(sandbox)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert all(gone(pid) for pid in workers)
    assert "run again to go on" in result(sandbox)["message"]


def test_dead_flow_ends_the_group(sandbox: Path) -> None:
    flow = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    process = start(sandbox, SYNCDREAMER_FLOW_PID=str(flow.pid))
    workers = pids(sandbox)
    flow.kill()
    flow.wait()
    assert process.wait(timeout=30) == 130
    assert all(gone(pid) for pid in workers)


def test_a_stop_file_ends_the_group(sandbox: Path) -> None:
    file = sandbox / "stop"
    process = start(sandbox, SYNCDREAMER_STOP_FILE=str(file))
    workers = pids(sandbox)
    file.write_text("SIGTERM")
    assert process.wait(timeout=30) == 130
    assert all(gone(pid) for pid in workers)
    assert result(sandbox)["message"] == "interrupted (SIGTERM); run again to go on"
