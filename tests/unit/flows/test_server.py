"""The run's own Prefect server: it ends with its owner, also while it is still starting and after SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.core.errors import SyncDreamerError
from flows import server

ROOT = Path(__file__).parents[3]
OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from flows.server import start_server
print(start_server().process.pid, flush=True)
time.sleep(60)
"""


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_owner_takes_its_server_along(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != server.URL_VARIABLE}
    environment |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(ROOT)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert running(pid)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pid)


def test_another_server_is_used_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.URL_VARIABLE, "http://prefect.example/api")
    assert server.start_server() is None


def test_a_server_that_dies_while_starting_is_told() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"], stdin=subprocess.PIPE)
    with pytest.raises(SyncDreamerError, match="ended with status 7 while starting.*PREFECT_API_URL"):
        server.ApiServer(process, 9).wait()
