"""Two machines on one shared workspace, as two process trees that meet on loopback; one of them is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.avatar.launch import NODES, RENDEZVOUS
from components.avatar.params import TrainStage1Params
from components.avatar.train_stage1 import run
from components.core.files import digest_file, read_jsonl
from components.core.paths import Workspace
from tests.integration.avatar.test_training import RESULTS, SHORT, beside
from tests.s3_server import free_ports

ROOT = Path(__file__).resolve().parents[3]
VALUES = SHORT | {"ranks": 2, "zero_stage": 2, "steps": 60, "log_every": 4}
PATIENCE_S = 60
FIRST = """
import json, sys
from pathlib import Path
from components.avatar.params import TrainStage1Params
from components.avatar.train_stage1 import run
from components.core.paths import Workspace
run(TrainStage1Params.model_validate(json.loads(sys.argv[2])), Workspace(Path(sys.argv[1])), 7)
"""
OTHER = """
import sys
from pathlib import Path
from components.avatar.launch import join
from components.core.paths import Workspace
workspace = Workspace(Path(sys.argv[1]))
sys.exit(join(workspace.state("train_stage1"), workspace.root, 60))
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def machine(code: str, workspace: Workspace, port: int) -> subprocess.Popen[bytes]:
    """One machine's process tree."""
    environment = os.environ | {NODES: "2", RENDEZVOUS: f"127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(workspace.root), json.dumps(VALUES)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def lose(one: subprocess.Popen[bytes]) -> None:
    """All of a machine's processes at once, none of which can say a word."""
    try:
        tree = [psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    one.wait(10)


@pytest.fixture
def machines(workspace: Workspace) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Those that a test starts; none is left."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        lose(one)


def together(
    workspace: Workspace, machines: list[subprocess.Popen[bytes]], port: int
) -> list[subprocess.Popen[bytes]]:
    pair = [machine(FIRST, workspace, port), machine(OTHER, workspace, port)]
    machines += pair
    return pair


def newest_checkpoint(workspace: Workspace) -> int:
    """Step of the newest whole checkpoint; 0 without one."""
    found = list(workspace.state("train_stage1").glob("*/checkpoints/whole"))
    return int(found[0].read_text().removeprefix("step-")) if found else 0


def wait_for_checkpoint(workspace: Workspace, after: int, patience: float) -> float:
    """Seconds until a checkpoint later than step `after` is whole."""
    begun = time.monotonic()
    while newest_checkpoint(workspace) <= after:
        assert time.monotonic() - begun < patience, f"no checkpoint after step {after} in {patience} s"
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.mark.parametrize("lost", [0, 1], ids=["the first", "the other"])
def test_when_one_of_two_machines_is_lost_the_job_ends_and_goes_on(
    workspace: Workspace, machines: list[subprocess.Popen[bytes]], lost: int, tmp_path_factory
) -> None:
    (port,) = free_ports(1)
    pair = together(workspace, machines, port)
    wait_for_checkpoint(workspace, 0, 200)
    lose(pair[lost])
    begun = time.monotonic()
    assert pair[1 - lost].wait(PATIENCE_S) != 0
    ended = time.monotonic() - begun
    reached = newest_checkpoint(workspace)
    assert reached < VALUES["steps"] and not workspace.artifacts("train_stage1").exists()
    pair = together(workspace, machines, port)
    resumed = wait_for_checkpoint(workspace, reached, PATIENCE_S)
    print(f"\nended after {ended:.1f} s, a later checkpoint {resumed:.1f} s after starting again")
    assert [one.wait(200) for one in pair] == [0, 0]
    straight = beside(workspace, tmp_path_factory.mktemp("straight"))
    run(TrainStage1Params.model_validate(VALUES), straight, 7)
    for name in RESULTS:
        mine, other = (digest_file(each.artifacts("train_stage1", name)) for each in (workspace, straight))
        assert mine == other, name
    assert read_jsonl(workspace.artifacts("train_stage1", "history.jsonl"))[-1]["step"] == VALUES["steps"]
