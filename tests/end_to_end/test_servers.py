"""Flow, tracking, registry and promotion on real servers: Prefect and MLflow on PostgreSQL, files on S3.

The stages are DVC's, run by the real flow, but write made-up models: what is tested is what the servers keep.

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
import yaml

from components.storage.s3 import S3Client, S3Url
from components.tracking.evidence import GATES
from tests.s3_server import S3Server
from tests.services import Postgres, Web, clean_environment, mlflow_server, postgres_programs, prefect_server

ROOT = Path(__file__).parents[2]
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


MAKE = """
import shutil, sys, tempfile
from pathlib import Path
from components.core.files import read_json, write_json
from components.core.paths import Workspace
from tests.integration.tracking.conftest import METRICS, manifest, outputs
folder, quality = sys.argv[1], Path("quality.txt").read_text()
with tempfile.TemporaryDirectory() as place:
    whole = Workspace(Path(place))
    outputs(whole, f"a{quality}", f"e{quality}", {}, METRICS | {"aperture_correlation_own": float(quality)})
    table = whole.artifacts("evaluation", "metrics.json")
    content = read_json(table)
    for row in content["metrics"]:  # what the report shows beside the figures
        row.update(title=row["name"], unit="", better="none", control=None)
    for index, item in enumerate(content["items"]):
        item.update(index=index, own=True, split="test", instruction="nod", prompt="a person nods")
    write_json(table, content)
    manifest(whole, [{"clip_id": f"{number:016x}-0", "outcome": "kept"} for number in range(16)])
    shutil.copytree(whole.artifacts(folder), Path("artifacts") / folder)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain that trains, judges and evaluates in no time; `quality.txt` is its only input."""
    root = tmp_path_factory.mktemp("flow_on_servers")
    for name in ("params.yaml", "mlflow"):
        place = ROOT / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, root / name)
    (root / "make.py").write_text(MAKE)
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "raw" / "clip.mp4").write_bytes(b"clip")
    folders = {name: name for name in ("curate", "train_stage2", "enhancer_grpo")}
    folders |= {f"gate_{name}": f"gates/{name}" for name in GATES} | {"evaluate": "evaluation"}
    stages = {
        name: {
            "cmd": f"{sys.executable} make.py {folder}",
            "deps": ["quality.txt"],
            "outs": [f"artifacts/{folder}"],
        }
        for name, folder in folders.items()
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
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


def aliases(workspace: Path, servers: Servers) -> dict[str, list[str]]:
    """Alias → versions of the avatar and the enhancer, as the CLI tells."""
    told = syncdreamer(workspace, servers, "models", "--json")
    assert told.returncode == 0, told.stderr
    found: dict[str, list[str]] = {}
    for row in sorted(json.loads(told.stdout), key=lambda row: row["name"]):
        for alias in row["aliases"]:
            found.setdefault(alias, []).append(row["version"])
    return found


def test_flow_registry_and_promotion_on_servers(
    workspace: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "quality.txt").write_text("0.5")
    done = syncdreamer(workspace, servers, "run")
    assert done.returncode == 0, done.stderr[-4000:]
    assert not (workspace / "state" / "mlflow").exists(), "nothing went to a local store"
    assert aliases(workspace, servers) == {"champion": ["1", "1"]}

    # Prefect, on PostgreSQL, saw the flow and one task a stage, then register, promote and report.
    (run,) = ask(f"{servers.prefect.url}/api/flow_runs/filter", {})
    assert run["state"]["type"] == "COMPLETED"
    tasks = ask(f"{servers.prefect.url}/api/task_runs/filter", {"limit": 200})
    assert len(tasks) == 10 + 3 and {task["state"]["type"] for task in tasks} == {"COMPLETED"}
    assert servers.postgres.count("prefect", "SELECT count(*) FROM task_run") == len(tasks)

    # MLflow, on PostgreSQL, has the runs and the registered pair; its files and the report lie on S3.
    assert servers.postgres.count("mlflow", "SELECT count(*) FROM runs WHERE status = 'FINISHED'") == 11
    for name, value in servers.s3.environment().items():
        monkeypatch.setenv(name, value)
    client = S3Client()
    stored = [row.url.key for row in client.list(S3Url("mlflow", ""))]
    assert any(key.endswith("MLmodel") for key in stored)
    assert sum(key.endswith("/verdict.json") for key in stored) == len(GATES)
    assert client.head(S3Url("reports", "latest/index.html")) is not None


def test_restart_promotion_and_rollback_on_servers(workspace: Path, servers: Servers) -> None:
    """Goes on from the test before."""
    # Killed and started again, both servers know what they knew. A better pair is promoted, then taken back.
    for server in (servers.mlflow, servers.prefect):
        server.kill()
        server.start()
    (workspace / "quality.txt").write_text("0.8")
    better = syncdreamer(workspace, servers, "run")
    assert better.returncode == 0, better.stderr[-4000:]
    assert aliases(workspace, servers) == {"champion": ["2", "2"], "previous": ["1", "1"]}
    assert servers.postgres.count("mlflow", "SELECT count(*) FROM registered_model_aliases") == 4
    back = syncdreamer(workspace, servers, "rollback", "--why", "test")
    assert back.returncode == 0, back.stderr
    assert aliases(workspace, servers)["champion"] == ["1", "1"]
    told = syncdreamer(workspace, servers, "history")
    assert told.returncode == 0 and "3 entries, ledger verified" in told.stdout
