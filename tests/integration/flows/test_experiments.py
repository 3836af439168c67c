"""Two experiments with changed parameters: comparable in DVC, with plots, and each an MLflow run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.core.files import to_json
from components.core.paths import Workspace
from components.evaluation.curves import TRAININGS
from flows.experiments import record_experiments

ROOT = Path(__file__).parents[3]
TRAIN = """
import json, sys, yaml
from pathlib import Path
stage = sys.argv[1]
params = yaml.safe_load(Path("params.yaml").read_text())[stage]
folder = Path("artifacts") / stage
folder.mkdir(parents=True, exist_ok=True)
names = ["loss", "reward", "kl", "localization", "token_accuracy", "term_img", "term_inst", "term_time",
         "term_pose", "term_len"]
rows = [{"step": 1 + step} | {name: params["learning_rate"] * step for name in names}
        for step in range(params["steps"])]
(folder / "history.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
(folder / "metrics.json").write_text(json.dumps({"loss": rows[-1]["loss"], "steps": params["steps"]}))
"""


def call(root: Path, *command: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}{done.stdout[-1000:]}"
    return done.stdout


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A git repository whose trainings take no time; curves, metrics and plots are the project's own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("PREFECT_API_URL", "SYNCDREAMER_ROOT"):
        monkeypatch.delenv(name, raising=False)
    own = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stages = {
        stage: {
            "cmd": f"{sys.executable} train.py {stage}",
            "params": [stage],
            "outs": [f"artifacts/{stage}"],
        }
        for stage in TRAININGS
    }
    stages["curves"] = own["stages"]["curves"]
    (tmp_path / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": stages, "metrics": own["metrics"], "plots": own["plots"]})
    )
    (tmp_path / "train.py").write_text(TRAIN)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / ".gitignore").write_text("/state/\n/artifacts/\n")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    call(tmp_path, "git", "init", "-q")
    call(tmp_path, "git", "config", "user.name", "test")
    call(tmp_path, "git", "config", "user.email", "test@example.org")
    call(tmp_path, "dvc", "init", "-q")
    call(tmp_path, "dvc", "repro", "-q")
    call(tmp_path, *git, "add", "-A")
    call(tmp_path, *git, "commit", "-qm", "baseline")
    return Workspace(tmp_path)


@pytest.mark.slow
def test_two_experiments(workspace: Workspace) -> None:
    root = workspace.root
    for name, steps, rate in (("few", 3, 0.5), ("many", 6, 0.25)):
        changed = ("-S", f"enhancer_grpo.steps={steps}", "-S", f"enhancer_grpo.learning_rate={rate}")
        call(root, "dvc", "exp", "run", "-q", "-n", name, *changed)

    shown = yaml.safe_load(call(root, "dvc", "metrics", "diff", "few", "many", "--json"))
    assert shown["artifacts/enhancer_grpo/metrics.json"]["steps"] == {"old": 3, "new": 6, "diff": 3}
    params = call(root, "dvc", "params", "diff", "few", "many", "--md")
    assert "enhancer_grpo.learning_rate" in params and "vae." not in params
    call(root, "dvc", "plots", "diff", "few", "many", "--out", "plots", "-q")
    page = (root / "plots" / "index.html").read_text()
    assert "Enhancer reward" in page and '"few"' in page and '"many"' in page and "term_inst" in page

    first = {one.name: one for one in record_experiments(workspace)}
    assert set(first) == {"few", "many"} and all(one.new for one in first.values())
    from components.tracking import Tracker

    tracker = Tracker(workspace)
    run = tracker.client.get_run(first["many"].run_id)
    assert run.info.run_name == "many" and run.data.tags["dvc.rev"] == first["many"].rev
    assert run.data.params["enhancer_grpo.learning_rate"] == "0.25"
    assert run.data.metrics["enhancer_grpo.loss"] == pytest.approx(1.25)
    curve = tracker.client.get_metric_history(first["many"].run_id, "enhancer_grpo.reward")
    assert [(point.step, point.value) for point in curve] == [(1 + s, s * 0.25) for s in range(6)]
    again = record_experiments(workspace, tracker)
    assert {one.run_id for one in again} == {one.run_id for one in first.values()}
    assert not any(one.new for one in again), to_json([one.name for one in again])
