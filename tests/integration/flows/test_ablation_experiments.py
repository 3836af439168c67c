"""Finished trainings of an ablation become DVC experiments; the checkout stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from components.core.files import write_json
from components.core.paths import Workspace
from components.evaluation.ablations import variants, worker
from flows.ablation_experiments import save_ablations
from flows.params import default_text

DVC = str(Path(sys.executable).parent / "dvc")


def call(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A checkout whose two training stages are done, with one finished training of an ablation."""
    workspace = Workspace(tmp_path)
    stages = {}
    for stage, reads in (("train_stage1", ["encode"]), ("train_stage2", ["encode", "train_stage1"])):
        stages[stage] = {
            "cmd": f"mkdir -p artifacts/{stage} && echo full > artifacts/{stage}/weights",
            "deps": [f"artifacts/{name}" for name in reads],
            "params": ["seed", stage],
            "outs": [f"artifacts/{stage}"],
        }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "params.yaml").write_text(default_text())
    (tmp_path / ".gitignore").write_text("/state/\n/artifacts/\n")
    for name in (*variants.UPSTREAM, "gates"):
        write_json(workspace.artifacts(name, "x.json"), name)
    for command in (
        ("git", "init", "-q"), ("git", "config", "user.name", "test"),
        ("git", "config", "user.email", "test@example.org"), (DVC, "init", "-q"), (DVC, "repro", "-q"),
        ("git", "add", "-A"), ("git", "commit", "-qm", "baseline"),
    ):  # fmt: skip
        call(tmp_path, *command)
    job = variants.training(workspace, "localization", 5, {"train_stage2": {"steps": 3}})
    folder = variants.place(job, workspace)
    write_json(folder / "task.json", worker.task(job, {}))
    for stage in stages:
        write_json(folder / "artifacts" / stage / "metrics.json", {"loss": 1.5})
        (folder / "artifacts" / stage / "weights").write_text("without\n")
    write_json(folder / variants.DONE, {})
    return workspace


def test_a_finished_training_is_an_experiment_once(workspace: Workspace) -> None:
    root = workspace.root
    head = call(root, "git", "rev-parse", "HEAD")
    before = (root / "params.yaml").read_text(), (root / "dvc.lock").read_text()
    (name,) = save_ablations(workspace)
    assert name.startswith("ablate-localization-5-")
    shown = call(root, DVC, "exp", "ls", "--name-only")
    assert name in shown
    (ref,) = [
        line for line in call(root, "git", "for-each-ref", "--format=%(refname)").split() if name in line
    ]
    params = yaml.safe_load(call(root, "git", "show", f"{ref}:params.yaml"))
    assert params["seed"] == 5 and params["train_stage1"]["localization_weight"] == 0
    assert params["train_stage2"]["steps"] == 3 and params["train_stage2"]["ranks"] == 1
    lock = yaml.safe_load(call(root, "git", "show", f"{ref}:dvc.lock"))["stages"]
    digest = lock["train_stage2"]["outs"][0]["md5"]
    assert (root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]).exists()
    # nothing of the checkout moved
    assert call(root, "git", "rev-parse", "HEAD") == head and call(root, "git", "status", "--short") == ""
    assert ((root / "params.yaml").read_text(), (root / "dvc.lock").read_text()) == before
    assert (workspace.artifacts("train_stage2", "weights")).read_text() == "full\n"
    assert call(root, "git", "worktree", "list").count("\n") == 1
    assert save_ablations(workspace) == []


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.state("ablations", "full-1-abc")
    write_json(folder / "task.json", {})
    write_json(folder / variants.DONE, {})
    with pytest.raises(InputError, match="git checkout with a commit"):
        save_ablations(workspace)


def test_nothing_finished_is_nothing_to_do(tmp_path: Path) -> None:
    assert save_ablations(Workspace(tmp_path)) == []
