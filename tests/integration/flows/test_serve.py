"""`syncdreamer serve` for real: its server, its runner, its triggers, killed and started again.

The chain is one stage that counts how often it ran and, while a file `slow` lies there, does not end.
"""

from __future__ import annotations

import http
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.params import default_text

ROOT = Path(__file__).parents[3]
PATIENCE_S = 900  # a busy machine starts a server in minutes
STAGE = """
import pathlib, time
out = pathlib.Path("artifacts/ingest")
out.mkdir(parents=True, exist_ok=True)
with open("count.txt", "a") as file:
    file.write("x")
while pathlib.Path("slow").exists():
    pathlib.Path("started").touch()
    time.sleep(0.1)
(out / "files.txt").write_text(str(sorted(str(p) for p in pathlib.Path("data/raw").rglob("*"))))
"""
DEPLOYMENTS = [
    {"name": "often", "interval_seconds": 40, "until": "ingest"},
    {"name": "files", "until": "ingest", "triggers": [{"kind": "files"}]},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mlflow", tmp_path / "mlflow")
    for folder in ("data/raw/demo", "state"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/raw/demo/0.mp4").write_bytes(b"clip")
    (tmp_path / "params.yaml").write_text(
        default_text({"operations": {"poll_seconds": 1, "deployments": DEPLOYMENTS}})
    )
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "supervised.py").write_text(
        "import sys\n"
        "from flows import supervisor\n"
        "from components.core.paths import find_workspace\n"
        "import subprocess\n"
        "popen = subprocess.Popen\n"
        "supervisor.subprocess.Popen = lambda command, **more: popen([sys.executable, 'stage.py'], **more)\n"
        "sys.exit(supervisor.supervise('ingest', find_workspace()))\n"
    )
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  ingest:\n    cmd: {sys.executable} supervised.py\n"
        "    deps: [data/raw]\n    params: [seed]\n    outs: [artifacts/ingest]\n"
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "data.dvc").write_text("outs:\n- path: data/raw\n")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-q", "-f", "data.dvc"], cwd=tmp_path, check=True)
    return tmp_path


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }


class Served:
    """A running `syncdreamer serve` and what its server says."""

    def __init__(self, workspace: Path, services: dict[str, str] | None = None) -> None:
        self.workspace = workspace
        self.log = (workspace / "serve.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--port", "0"],
            cwd=workspace,
            env=environment() | (services or {}),
            stderr=self.log,
            stdout=self.log,
        )
        page = workspace / "state" / "operations" / "server.json"

        def mine() -> str:  # one that was killed leaves its page behind
            told = json.loads(page.read_text()) if page.exists() else {}
            return told["url"] if told.get("pid") == self.process.pid else ""

        self.url = self.until(mine, "the server's page")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Waits for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            log = (self.workspace / "serve.log").read_text()[-6000:]
            assert self.process.poll() is None, f"serve ended while waiting for {what}\n{log}"
            assert time.monotonic() < deadline, f"no {what}\n{log}"
            time.sleep(0.2)
        return value

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:  # 503: SQLite was locked; Prefect's own client waits too
                if error.code != http.HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise
            time.sleep(2)

    def runs(self, kind: str = "") -> list[dict[str, Any]]:
        """The deployments' runs, newest first, of one state's name."""
        rows = self.ask("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 200})
        return [row for row in rows if row["deployment_id"] and (not kind or row["state"]["name"] == kind)]

    def add(self, name: str) -> None:
        (self.workspace / "data/raw/demo" / name).write_bytes(name.encode())


def count(workspace: Path) -> int:
    path = workspace / "count.txt"
    return len(path.read_text()) if path.exists() else 0


def left(tree: list[psutil.Process]) -> list[psutil.Process]:
    deadline = time.monotonic() + 120
    running = tree
    while running and time.monotonic() < deadline:
        running = [each for each in tree if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.2)
    return running


def seconds(run: dict[str, Any]) -> float:
    begin, end = (
        datetime.fromisoformat(run[key].replace("Z", "+00:00")) for key in ("start_time", "end_time")
    )
    return (end - begin).total_seconds()


def slowdown() -> float:
    """How much longer computing takes than on an idle machine, ≥ 1."""
    wall, cpu = time.monotonic(), time.process_time()
    while time.process_time() - cpu < 1.0:
        pass
    return max(1.0, (time.monotonic() - wall) / (time.process_time() - cpu))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_served_killed_and_served_again(workspace: Path) -> None:
    # Killed in the middle of the first run's stage: everything ends, nothing is lost.
    (workspace / "slow").touch()
    served = Served(workspace)
    try:
        served.until((workspace / "started").exists, "first run")
        by_hand = subprocess.run(
            [sys.executable, "-m", "flows.cli", "run"],
            cwd=workspace, env=environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert by_hand.returncode == 75 and "another run is at work" in by_hand.stderr, by_hand.stderr
        (interrupted,) = served.runs("Running")
        top = psutil.Process(served.process.pid)
        tree = [top, *top.children(recursive=True)]
        assert any("flows.server" in each.cmdline() for each in tree)
        assert any("stage.py" in each.cmdline() for each in tree)
        served.process.kill()
        served.process.wait()
        assert not left(tree)
        (workspace / "slow").unlink()
        (workspace / "started").unlink()
        before = count(workspace)

        served = Served(workspace)
        again = served.until(
            lambda: [
                row
                for row in served.runs("Completed")
                if row["id"] == interrupted["id"] and row["run_count"] > 1
            ],
            "interrupted run taken up again",
        )[0]
        # The run that made up for missed ticks may have come first; then there was nothing left for this one.
        assert again["state"]["message"] and count(workspace) == before + 1

        def files() -> str:
            made = workspace / "artifacts/ingest/files.txt"
            return made.read_text() if made.exists() else ""

        def idle_tick() -> dict[str, Any] | None:
            # One that began when all was done: an earlier one may have waited for the resumed run to end.
            rows = [
                row
                for row in served.runs("Completed")
                if "nothing to do" in (row["state"]["message"] or "")
                and row["start_time"] > again["end_time"]
            ]
            return rows[0] if rows else None

        before = count(workspace)
        tick = served.until(idle_tick, "tick without work")
        slow = slowdown()
        print(
            f"a tick without work: {seconds(tick):.1f} s; a busy machine makes that {slow:.1f} times as long"
        )
        assert seconds(tick) / slow <= 20 and count(workspace) == before

        served.add("1.mp4")
        served.until(lambda: "1.mp4" in files(), "run for a new file")

        # Cancelled: the stage ends, the run is Cancelled, the next one goes on.
        (workspace / "slow").touch()
        served.add("2.mp4")
        served.until((workspace / "started").exists, "slow stage")
        (running,) = served.runs("Running")
        stage = [p for p in psutil.process_iter(["cmdline", "cwd"]) if p.info["cwd"] == str(workspace)]
        stage = [p for p in stage if "stage.py" in (p.info["cmdline"] or [])]
        assert stage
        served.ask(
            f"/flow_runs/{running['id']}/set_state",
            {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False},
        )
        served.until(
            lambda: served.ask(f"/flow_runs/{running['id']}")["state"]["type"] == "CANCELLED", "cancelled run"
        )
        assert not left(stage)
        (workspace / "slow").unlink()
        before = count(workspace)
        served.until(lambda: count(workspace) == before + 1, "run after the cancelled one")

        top = psutil.Process(served.process.pid)
        tree = [top, *top.children(recursive=True)]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(120) == 0
        assert not left(tree)
    finally:
        if served.process.poll() is None:
            served.process.terminate()
            served.process.wait(120)
        served.log.close()
    kinds = [
        json.loads(line)["kind"]
        for line in (workspace / "state/operations/events.jsonl").read_text().splitlines()
    ]
    assert "crash" in kinds and "cancelled" in kinds
