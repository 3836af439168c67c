"""One run at a time: who holds the lock is named, and a killed holder lets go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.core.errors import EXIT_TEMPORARY
from components.core.paths import Workspace
from flows.lock import Busy, run_lock

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from components.core.paths import Workspace
from flows.lock import run_lock
with run_lock(Workspace(Path(sys.argv[1])), "deployment nightly"):
    print("held", flush=True)
    time.sleep(60)
"""


def held(workspace: Workspace, name: str = "run") -> bool:
    try:
        with run_lock(workspace, "a look", name=name):
            return False
    except Busy:
        return True


def holder(workspace: Workspace) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workspace.root)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_who_is_at_work_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    other = holder(workspace)
    try:
        assert held(workspace)
        with (
            pytest.raises(Busy, match=rf"deployment nightly \(process {other.pid}, since 20") as told,
            run_lock(workspace, "by hand"),
        ):
            pass
        assert told.value.exit_code == EXIT_TEMPORARY
        assert held(workspace)
    finally:
        other.kill()
        other.wait()
    with run_lock(workspace, "by hand"):
        assert held(workspace)
    assert not held(workspace)


def test_waiting_ends_with_the_lock_or_with_an_interruption(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    other = holder(workspace)
    looks = []

    def check() -> None:
        looks.append(time.monotonic())
        if len(looks) == 2:
            other.kill()

    with run_lock(workspace, "me", wait_seconds=30, check=check):
        assert len(looks) >= 2
    other.wait()

    other = holder(workspace)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), run_lock(workspace, "me", wait_seconds=30, check=interrupt):
        pass
    other.kill()
    other.wait()


def test_locks_of_different_names_do_not_meet(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with run_lock(workspace, "serve", name="serve"), run_lock(workspace, "run"):
        assert held(workspace, "serve") and held(workspace)
