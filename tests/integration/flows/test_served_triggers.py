"""`syncdreamer serve` on a Prefect server that is there already: triggers start runs, happenings are told.

Real Prefect server, S3 server, HTTP receiver. The chain is one stage that lists data/raw, or fails on demand.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from components.core.paths import Workspace
from components.storage.s3 import S3Client, S3Url
from components.tracking.promotion import promote
from components.tracking.registry import find_pair, register_pair
from components.tracking.runs import Tracker
from flows.drift import log_training_clips
from flows.params import default_text
from tests.integration.flows.test_observation import clips, curated
from tests.integration.flows.test_serve import STAGE, Served, environment, workspace
from tests.integration.tracking.conftest import METRICS, outputs
from tests.prefect_place import save_block, standing_server
from tests.receiver import Receiver
from tests.s3_server import S3Server
from tests.services import Web

__all__ = ["workspace"]
PREFIX = "s3://incoming/new/"
FAILS = """
wanted = pathlib.Path("exit.json")
if wanted.exists():
    result = pathlib.Path("state/stages/ingest/result.json")
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(wanted.read_text())
    wanted.unlink()
    raise SystemExit(__import__("json").loads(result.read_text())["exit"])
"""


def operations(block: str) -> dict[str, Any]:
    return {
        "poll_seconds": 1,
        "deployments": [
            {"name": "s3", "until": "ingest", "triggers": [{"kind": "s3", "url": PREFIX, "into": "arrived"}]},
            {"name": "revision", "until": "ingest", "triggers": [{"kind": "revision"}]},
            {"name": "drifted", "until": "ingest", "force": True, "triggers": [{"kind": "drift"}]},
            {"name": "nightly-drift", "job": "drift", "cron": "0 1 * * *"},
        ],
        "notifications": [{"kind": "block", "block": block}],
        "drift": {"refresh": False, "scores": ["blur", "yaw"], "classes": ["framing"]},
    }


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, S3Server, Receiver]]:
    folder = tmp_path_factory.mktemp("places")
    server, s3, receiver = standing_server(folder), S3Server(folder / "s3"), Receiver().start()
    try:
        s3.start()
        yield server.start(), s3, receiver
    finally:
        server.kill()
        s3.kill()
        receiver.stop()


def champion_and_candidate(place: Workspace) -> None:
    """A champion with known training clips, a better pair that nobody has promoted, and drifted new clips."""
    tracker = Tracker(place)
    trained = clips(1, 80)
    curated(place, trained)
    outputs(place, "a", "e", {}, METRICS)
    first = register_pair(place, tracker=tracker)
    assert promote(place, first, tracker=tracker).status == "promoted"
    log_training_clips(tracker, place, find_pair(tracker, first).run_id)
    outputs(place, "b", "e", {}, {**METRICS, "sync_wins": 1.0})
    register_pair(place, tracker=tracker)
    assert isinstance(trained, pd.DataFrame)
    curated(place, trained, clips(4, 60, blur=200.0))


def another_revision(place: Path, elsewhere: Path, services: dict[str, str]) -> None:
    """Somebody adds a clip in another checkout and pushes; here only data.dvc changes, as by `git pull`."""

    def dvc(folder: Path, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=folder, env=environment() | services, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    shutil.copytree(place / "data", elsewhere / "data")
    dvc(elsewhere, "init", "--no-scm", "-q")
    shutil.copy(place / ".dvc" / "config", elsewhere / ".dvc" / "config")
    (elsewhere / "data.dvc").write_text("outs:\n- path: data/raw\n")
    (elsewhere / "data/raw/demo/theirs.mp4").write_bytes(b"theirs")
    dvc(elsewhere, "commit", "-q", "-f", "data.dvc")
    dvc(elsewhere, "push", "-q", "data.dvc")
    shutil.copy(elsewhere / "data.dvc", place / "data.dvc")


class Place:
    """A workspace that is served on the standing server, and ways to act on it."""

    def __init__(self, root: Path, server: Web, s3: S3Server, receiver: Receiver, scratch: Path) -> None:
        self.root, self.receiver, self.scratch = root, receiver, scratch
        self.api = f"{server.url}/api"
        self.services = s3.environment() | {"PREFECT_API_URL": self.api}
        self.client = S3Client()
        self.block = save_block(server, "team", receiver.url)
        (root / "stage.py").write_text(STAGE + FAILS)
        remote = [sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "team", "s3://dvc/team"]
        subprocess.run(remote, cwd=root, check=True)

    def deploy(self, *names: str) -> None:
        told = operations(self.block)
        told["deployments"] = [row for row in told["deployments"] if row["name"] in names]
        (self.root / "params.yaml").write_text(default_text({"operations": told}))

    def put(self, name: str) -> None:
        source = self.scratch / name
        source.write_bytes(name.encode())
        self.client.upload(source, S3Url.parse(PREFIX + name))

    def files(self) -> str:
        made = self.root / "artifacts/ingest/files.txt"
        return made.read_text() if made.exists() else ""

    def told(self) -> list[str]:
        return [json.loads(body)["text"].splitlines()[0] for _, body in self.receiver.got]

    def command(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root, env=environment() | self.services, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def kinds(self) -> list[str]:
        events = self.root / "state/operations/events.jsonl"
        lines = events.read_text().splitlines() if events.exists() else []
        return sorted(json.loads(line)["kind"] for line in lines)


@pytest.fixture
def place(
    workspace: Path,
    places: tuple[Web, S3Server, Receiver],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    server, s3, receiver = places
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("incoming", "dvc"):
        S3Client().make_bucket(name)
    return Place(workspace, server, s3, receiver, tmp_path_factory.mktemp("scratch"))


@contextlib.contextmanager
def serving(place: Place) -> Iterator[Served]:
    served = Served(place.root, place.services)
    try:
        log = place.root / "serve.log"  # its page is there before its deployments are
        served.until(lambda: "serving; Ctrl-C stops" in log.read_text(), "deployments")
        yield served
        served.process.terminate()
        assert served.process.wait(300) == 0
    finally:
        if served.process.poll() is None:
            served.process.terminate()
            served.process.wait(300)
        served.log.close()


def completed(served: Served, name: str) -> list[dict[str, Any]]:
    return [row for row in served.runs("Completed") if row["name"] == name]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_new_objects_and_a_new_revision_start_runs_on_a_server_that_is_there(
    place: Place, places: tuple[Web, S3Server, Receiver], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place.deploy("s3", "revision")
    with serving(place) as served:
        # The standing server is used, none is started.
        assert served.url == place.api
        tree = psutil.Process(served.process.pid).children(recursive=True)
        assert not any("flows.server" in each.cmdline() for each in tree)
        revision = "revision: revision trigger"
        served.until(lambda: completed(served, revision), "run for the first revision")

        place.put("1.mp4")
        served.until(lambda: completed(served, "s3: s3 trigger"), "run for a new object")
        assert "data/raw/arrived/1.mp4" in place.files()

        # That run recorded the new file in data.dvc, which is a revision too, with nothing left to do.
        served.until(lambda: len(completed(served, revision)) == 2, "run for the recorded revision")
        another_revision(place.root, tmp_path_factory.mktemp("elsewhere"), place.services)
        served.until(
            lambda: "data/raw/demo/theirs.mp4" in place.files(), "run for a revision that was pulled"
        )
        assert "data/raw/arrived/1.mp4" in place.files()
        served.until(lambda: len(completed(served, revision)) == 3, "that run's end")
    places[0].running()  # it outlives `serve`
    # Prefect's runner calls a run cancelled whose process is still ending when `serve` stops.
    assert set(place.kinds()) <= {"cancelled"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_drift_starts_a_run_and_every_happening_is_told(place: Place) -> None:
    place.deploy("s3", "drifted", "nightly-drift")
    champion_and_candidate(Workspace(place.root))
    with serving(place) as served:
        # The nightly check, now: it finds drift, tells it, and the trigger starts a run.
        nightly = served.ask("/deployments/name/syncdreamer-drift/nightly-drift")
        served.ask(f"/deployments/{nightly['id']}/create_flow_run", {})
        served.until(lambda: completed(served, "drifted: drift trigger"), "run for drift")
        (check,) = [row for row in served.runs("Failed") if row["deployment_id"] == nightly["id"]]
        assert "gate drift refused: 60 new clips" in check["state"]["message"]
        assert any(subject.startswith("gate drift refused") for subject in place.told())

        # A failure and a blocked gate, each by a run for a new object.
        for number, (status, message) in enumerate(((1, "disk is full"), (3, "gate clips refused: 40%"))):
            (place.root / "exit.json").write_text(json.dumps({"exit": status, "message": message}))
            place.put(f"{number + 2}.mp4")
            served.until(lambda m=message: any(m in subject for subject in place.told()), message)
            served.until(
                lambda n=number: len([r for r in served.runs("Failed") if r["name"] == "s3: s3 trigger"]) > n,
                "failed run",
            )

        # By hand, told by `serve`.
        place.command("promote", "--why", "test")
        place.command("rollback", "--why", "test")
        for word in ("promoted", "rolled back"):
            subject = f"{word}: syncdreamer-avatar 2, syncdreamer-enhancer 1"
            served.until(lambda s=subject: place.told().count(s) == 1, subject)
    assert place.kinds() == ["drift", "failure", "gate", "promotion", "rollback"]
