"""The whole chain against real servers: Prefect and MLflow on PostgreSQL, artifacts and checkpoints on S3.

Run by CI (`make test-services`). Where PostgreSQL is not installed it is skipped, with one line that says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.storage.s3 import S3Client, S3Url
from tests.end_to_end.test_chain import ROOT, SMALL
from tests.s3_server import S3Server
from tests.services import Postgres, Web, clean_environment, mlflow_server, postgres_programs, prefect_server

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.timeout(3600)]


@dataclass
class Servers:
    postgres: Postgres
    s3: S3Server
    prefect: Web
    mlflow: Web

    def environment(self) -> dict[str, str]:
        return self.s3.environment() | {
            "PREFECT_API_URL": f"{self.prefect.url}/api",
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "SYNCDREAMER_CHECKPOINT_MIRROR": "s3://checkpoints",
            "SYNCDREAMER_REPORTS": "s3://reports",
        }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: the chain was not run against servers on it")
    folder = tmp_path_factory.mktemp("servers")
    postgres, s3 = Postgres(programs), S3Server(folder / "s3")
    prefect = prefect_server(folder, postgres)
    mlflow = mlflow_server(folder, postgres, "s3://mlflow", s3.environment())
    try:
        postgres.start()
        s3.start()
        client = S3Client(s3.endpoint)
        with pytest.MonkeyPatch.context() as patched:
            for name, value in s3.environment().items():
                patched.setenv(name, value)
            for name in ("mlflow", "checkpoints", "reports"):
                client.make_bucket(name)
        prefect.start()
        mlflow.start()
        yield Servers(postgres, s3, prefect, mlflow)
    finally:
        for each in (mlflow, prefect, s3):
            each.kill()
        postgres.remove()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from components.corpus.build import build_corpus
    from flows.params import default_text

    root = tmp_path_factory.mktemp("chain_on_servers")
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    (root / "params.yaml").write_text(default_text(SMALL))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    build_corpus(5, 4, 12, {"no_audio": 1, "too_short": 1}, root / "data" / "raw", 2)
    return root


def syncdreamer(workspace: Path, servers: Servers, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=workspace,
        env=clean_environment() | servers.environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=3000,
    )


def ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_the_chain_on_servers(
    workspace: Path, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = syncdreamer(workspace, servers, "run")
    assert done.returncode == 0, done.stderr[-4000:]
    assert not (workspace / "state" / "mlflow").exists(), "nothing went to a local store"

    # Prefect, on PostgreSQL, saw the flow and one task a stage, then register, promote and report.
    (run,) = ask(f"{servers.prefect.url}/api/flow_runs/filter", {})
    assert run["state"]["type"] == "COMPLETED"
    tasks = ask(f"{servers.prefect.url}/api/task_runs/filter", {"limit": 200})
    assert len(tasks) == 17 + 3 and {task["state"]["type"] for task in tasks} == {"COMPLETED"}
    assert servers.postgres.count("prefect", "SELECT count(*) FROM task_run") == len(tasks)

    # MLflow, on PostgreSQL, has the runs, the registered pair and its aliases; files lie on S3.
    assert servers.postgres.count("mlflow", "SELECT count(*) FROM runs WHERE status = 'FINISHED'") >= 18
    assert servers.postgres.count("mlflow", "SELECT count(*) FROM registered_model_aliases") == 2
    for name, value in servers.s3.environment().items():
        monkeypatch.setenv(name, value)
    client = S3Client()
    stored = [row.url.key for row in client.list(S3Url("mlflow", ""))]
    assert any(key.endswith("MLmodel") for key in stored) and any(
        key.endswith("verdict.json") for key in stored
    )
    assert client.head(S3Url("reports", "latest/index.html")) is not None
    mirrored = {row.url.key.split("/")[0] for row in client.list(S3Url("checkpoints", ""))}
    assert {"vae", "train_stage1", "train_stage2"} <= mirrored

    # Killed and started again, both servers still know everything; the next run finds nothing to do.
    for server in (servers.mlflow, servers.prefect):
        server.kill()
        server.start()
    models = json.loads(syncdreamer(workspace, servers, "models", "--json").stdout)
    assert all(row["aliases"] == ["champion"] and all(row["gates"].values()) for row in models)
    again = syncdreamer(workspace, servers, "run")
    assert again.returncode == 0 and "nothing was run" in again.stderr

    # Promotion and its ledger on the server: the champion again is unchanged; the ledger verifies.
    promoted = syncdreamer(workspace, servers, "promote")
    assert promoted.returncode == 0 and promoted.stdout.startswith("unchanged")
    told = syncdreamer(workspace, servers, "history")
    assert told.returncode == 0 and "ledger verified" in told.stdout
    rollback = syncdreamer(workspace, servers, "rollback")
    assert rollback.returncode == 2 and "no former pair" in rollback.stderr
