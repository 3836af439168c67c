"""A flow that is killed: nothing that it started is left, and what it was doing is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
STAGE = """
import sys
from pathlib import Path
from components.core.paths import Workspace
from flows.supervisor import supervise
sys.exit(supervise("ingest", Workspace(Path("sandbox").resolve())))
"""
WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
open("started", "w").close()
time.sleep(120)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose only stage starts a grandchild and sleeps."""
    tmp_path = tmp_path_factory.mktemp("interrupted")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "mlflow", tmp_path / "mlflow")
    for folder in ("data/raw/demo", "sandbox/flows", "state"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/raw/demo/clip.mp4").write_bytes(b"clip")
    (tmp_path / "sandbox/flows/__init__.py").write_text("")
    (tmp_path / "sandbox/flows/worker.py").write_text(WORKER)
    (tmp_path / "sandbox/state").symlink_to(tmp_path / "state")
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  ingest:\n    cmd: {sys.executable} stage.py\n"
        "    deps: [data/raw]\n    params: [seed]\n    outs: [artifacts/ingest]\n"
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def started(workspace: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The flow in the middle of its stage, and every process of it."""
    (workspace / "sandbox/started").unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    flow = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"],
        cwd=workspace / "data",  # any folder of the workspace will do
        env=kept | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 240
    while not (workspace / "sandbox/started").exists():
        assert flow.poll() is None and time.monotonic() < deadline, flow.communicate()[1]
        time.sleep(0.1)
    top = psutil.Process(flow.pid)
    tree = [top, *top.children(recursive=True)]
    # the flow, its server, the supervisor, the worker and its child
    assert len(tree) >= 5 and any("flows.server" in process.cmdline() for process in tree)
    return flow, tree


def left(tree: list[psutil.Process]) -> list[psutil.Process]:
    """What is still running after a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        running = [each for each in tree if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        if not running:
            return []
        time.sleep(0.1)
    return running


def test_a_killed_flow_leaves_nothing_running(workspace: Path) -> None:
    flow, tree = started(workspace)
    flow.kill()
    flow.communicate()
    assert not left(tree)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_in_order_also_after_a_kill(workspace: Path, number: signal.Signals) -> None:
    flow, tree = started(workspace)
    flow.send_signal(number)
    told = flow.communicate(timeout=60)[1]
    assert flow.returncode == 130, told
    assert told.splitlines()[-1] == f"error: ingest: interrupted ({number.name}); run again to go on"
    assert "Traceback" not in told
    assert not left(tree)
