"""The deployment files are valid, and the validator finds what is wrong."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def validate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_infra", ROOT / "infra" / "validate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A checkout's deployment files, to be broken."""
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("demo-remote"))
    for name in ("requirements.lock", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("components", "flows", "mlflow"):
        (tmp_path / name).mkdir()
    for path in (ROOT / "flows").glob("*.py"):
        shutil.copy(path, tmp_path / "flows")
    return tmp_path / "infra"


def test_every_file_is_valid(validate: ModuleType, infra: Path) -> None:
    checked, found = validate.problems(infra)
    assert found == []
    names = [name.split(" ")[0] for name in checked]
    assert {"compose.yaml", "k8s", "Dockerfile", "slurm/train.sbatch", "deepspeed/zero2_bf16.json"} <= set(
        names
    )


BROKEN = [
    ("compose.yaml", "healthcheck:", "healtcheck:", "healtcheck"),
    ("compose.yaml", "condition: service_healthy", "condition: healthy", "'healthy' is not one of"),
    ("compose.yaml", "- s3:/data", "- s4:/data", "volume 's4' is not declared"),
    ("compose.yaml", "./postgres/databases.sql", "./postgres/none.sql", "none.sql does not exist"),
    ("compose.yaml", "127.0.0.1:4200:4200", "4200:4200", "open to the network"),
    ("compose.yaml", "buckets: {condition", "bucket: {condition", "no service 'bucket'"),
    (
        "compose.yaml",
        "${POSTGRES_PASSWORD}@postgres:5432/mlflow",
        "${PG}@postgres/mlflow",
        "PG has no default",
    ),
    ("compose.yaml", "  init: true", "  init: true\n  init: true", "comes twice"),
    ("k8s/base/mlflow.yaml", "containerPort: 5000", "containerport: 5000", "containerport"),
    ("k8s/base/mlflow.yaml", "replicas: 1", "replicas: one", "'one' is not of type 'integer'"),
    ("k8s/base/mlflow.yaml", "$(POSTGRES_PASSWORD)", "$(PASSWORD)", "$(PASSWORD) is set by nothing"),
    ("k8s/base/prefect.yaml", "key: POSTGRES_PASSWORD", "key: PASSWORD", "has no key PASSWORD"),
    ("k8s/base/prefect.yaml", "containerPort: 4200", "containerPort: 4201", "readinessProbe asks port 4200"),
    ("k8s/base/worker.yaml", "claimName: workspace", "claimName: work", "no claim 'work'"),
    ("k8s/base/kustomization.yaml", "  - s3.yaml\n", "", "s3.yaml is not listed"),
    ("k8s/base/kustomization.yaml", "images:", "image:", "unknown key 'image'"),
    ("k8s/training/job.yaml", "job-name: training", "job-name: train", "matches no pod"),
    ("k8s/training/job.yaml", "completionMode: Indexed", "completion: Indexed", "completion"),
    (
        "k8s/ray/workers.yaml",
        "kind: PodDisruptionBudget",
        "kind: RayCluster",
        "no schema of policy/v1/RayCluster",
    ),
    (
        "k8s/ray/head.yaml",
        "name: shm\n              mountPath",
        "name: mem\n              mountPath",
        "'mem'",
    ),
    ("Dockerfile", "USER 10001", "USER root", "ends as root"),
    ("Dockerfile", "COPY flows flows", "COPY flow flows", "COPY flow: there is no such file"),
    ("Dockerfile", "WORKDIR /workspace", "WORKDRI /workspace", "WORKDRI"),
    ("slurm/train.sbatch", "#SBATCH --nodes=2", "#SBATCH --node=2", "unknown option --node"),
    ("slurm/train.sbatch", "fi' ", "fi ", "unexpected EOF"),
    ("deepspeed/zero2_bf16.json", "{", "[", "Expecting"),
]


@pytest.mark.parametrize(("file", "old", "new", "told"), BROKEN, ids=[f"{b[0]}:{b[2][:20]}" for b in BROKEN])
def test_a_mistake_is_found(
    validate: ModuleType, infra: Path, file: str, old: str, new: str, told: str
) -> None:
    path = infra / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    _, found = validate.problems(infra)
    assert any(told in problem for problem in found), found


def test_prefects_file(validate: ModuleType, infra: Path) -> None:
    path = infra / "prefect.yaml"
    good = "deployments:\n- {name: a, entrypoint: 'flows/pipeline.py:pipeline', work_pool: {name: pool}}\n"
    path.write_text(good)
    assert validate.problems(infra)[1] == []
    path.write_text(
        good.replace(":pipeline'", ":pipe'").replace("work_pool", "pool") + good[len("deployments:\n") :]
    )
    told = "\n".join(validate.problems(infra)[1])
    assert "has no function pipe" in told and "unknown key 'pool'" in told and "'a' comes twice" in told


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: nothing is built")
def test_what_kubectl_builds_is_checked_too(validate: ModuleType, infra: Path) -> None:
    path = infra / "k8s" / "ray" / "kustomization.yaml"
    good = path.read_text()
    path.write_text(good.replace("namespace: syncdreamer\n", ""))
    assert "k8s: ray as built by kubectl: Service ray-head: it is in no namespace" in "\n".join(
        validate.problems(infra)[1]
    )
    change = '[{"op": "add", "path": "/spec/replica", "value": 2}]'
    patch = f"patches:\n  - patch: '{change}'\n    target: {{kind: Deployment}}\n"
    path.write_text(good + patch)
    told = "\n".join(validate.problems(infra)[1])
    assert "ray as built by kubectl: Deployment ray-worker" in told and "replica" in told
