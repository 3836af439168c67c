"""After a first champion: experiments side by side, one of them reproduced by somebody else's clone, and a
second model that is compared with the champion on the same clips and seeds. Real stages, nothing judged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.files import read_json
from components.core.paths import Workspace
from components.tracking.registry import CHAMPION, alias_pair, evaluated_on, newest_pair, samples_of
from components.tracking.runs import Tracker
from flows.experiments import record_experiments
from tests.end_to_end.test_chain import ROOT, SMALL, syncdreamer

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.timeout(7200)]
TRAINED = "enhancer_grpo"
PATIENCE_S = 3600


def call(folder: Path, *command: str) -> str:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "GIT_"))}
    environment = kept | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}{done.stdout[-1000:]}"
    return done.stdout


def stage_of(lock: str, name: str) -> Any:
    return yaml.safe_load(lock)["stages"][name]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with a champion and a DVC remote; committed and pushed."""
    from components.corpus.build import build_corpus
    from flows.params import default_text

    root = tmp_path_factory.mktemp("first") / "chain"
    root.mkdir()
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    (root / "params.yaml").write_text(default_text(SMALL))
    (root / ".gitignore").write_text("/state/\n/artifacts/\n/data/\n/plots/\n")
    call(root, "git", "init", "-q", "-b", "main")
    call(root, "git", "config", "user.name", "test")
    call(root, "git", "config", "user.email", "test@example.org")
    call(root, "dvc", "init", "-q")
    call(root, "dvc", "remote", "add", "-q", "-d", "team", str(root.parent / "remote"))
    build_corpus(5, 4, 12, {"no_audio": 1, "too_short": 1}, root / "data" / "raw", 2)
    (root / "data.dvc").write_text("outs:\n- path: data/raw\n")
    call(root, "dvc", "commit", "-q", "-f", "data.dvc")
    done = syncdreamer(root, "run")
    assert done.returncode == 0, done.stderr[-4000:]
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "first")
    return root


def test_queued_experiments_and_a_third_partys_clone(root: Path, tmp_path: Path) -> None:
    for name, steps, rate in (("two", 2, 0.001), ("three", 3, 0.0005)):
        changed = ("-S", f"{TRAINED}.steps={steps}", "-S", f"{TRAINED}.learning_rate={rate}")
        call(root, "dvc", "exp", "run", "-q", "--queue", "-n", name, *changed, "curves")
    call(root, "dvc", "queue", "start", "--jobs", "2")
    deadline = time.monotonic() + PATIENCE_S
    while (told := call(root, "dvc", "queue", "status")).count("Success") < 2:
        assert "Failed" not in told and time.monotonic() < deadline, told
        time.sleep(2)

    figures = json.loads(call(root, "dvc", "metrics", "diff", "two", "three", "--json"))
    assert "sampled_reward" in figures[f"artifacts/{TRAINED}/metrics.json"]
    shown = json.loads(call(root, "dvc", "exp", "diff", "two", "three", "--json"))
    assert shown["params"]["params.yaml"][f"{TRAINED}.steps"] == {"old": 2, "new": 3, "diff": 1}
    call(root, "dvc", "plots", "diff", "two", "three", "--out", "plots", "-q")
    page = (root / "plots" / "index.html").read_text()
    assert '"two"' in page and '"three"' in page and "Enhancer reward" in page

    runs = {one.name: one for one in record_experiments(Workspace(root))}
    client = Tracker(Workspace(root)).client
    for name in ("two", "three"):
        run = client.get_run(runs[name].run_id)
        assert run.info.run_name == name and run.data.tags["dvc.rev"] == runs[name].rev
        assert f"{TRAINED}.sampled_reward" in run.data.metrics

    # Somebody else: a clone of the experiment's commit, its inputs from the remote, its own training.
    call(root, "dvc", "exp", "branch", "three", "theirs")
    call(root, "dvc", "push", "-q", "--all-branches")
    clone = tmp_path / "somewhere else" / "clone"
    call(tmp_path, "git", "clone", "-q", "-b", "theirs", str(root), str(clone))
    recorded = (clone / "dvc.lock").read_text()
    inputs = [row["path"] for row in stage_of(recorded, TRAINED)["deps"]]
    call(clone, "dvc", "pull", "-q", *inputs)
    assert not (clone / "artifacts" / TRAINED).exists() and not (clone / "state").exists()
    call(clone, "dvc", "repro", "-q", "-f", "-s", "--no-run-cache", TRAINED)
    made = stage_of((clone / "dvc.lock").read_text(), TRAINED)
    assert made["outs"] == stage_of(recorded, TRAINED)["outs"]
    assert made["outs"] != stage_of((root / "dvc.lock").read_text(), TRAINED)["outs"]
    assert read_json(clone / "state" / "stages" / TRAINED / "result.json")["exit"] == 0  # it did run


def test_the_champion_is_evaluated_on_the_second_pairs_clips(root: Path) -> None:
    workspace = Workspace(root)
    champion = alias_pair(Tracker(workspace), CHAMPION)
    assert champion is not None
    before = {path: path.stat().st_mtime_ns for path in (root / "artifacts" / "vae").rglob("*")}
    # Another training and another frozen set: one more person, two more cases.
    params = yaml.safe_load((root / "params.yaml").read_text())
    params[TRAINED]["steps"] = 4
    params["evaluate"] |= {"training_people": 2, "enhancer_cases": 6}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    done = syncdreamer(root, "run")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "rematch: " in done.stderr

    tracker = Tracker(workspace)
    candidate = newest_pair(tracker)
    assert candidate is not None and candidate.id != champion.id and candidate.frozen != champion.frozen
    judged = evaluated_on(tracker, champion, candidate.frozen)
    assert judged is not None and judged.versions == champion.versions
    clips, cases = samples_of(tracker, judged), samples_of(tracker, candidate)
    assert {name: set(tests) for name, tests in clips.items()} == {
        name: set(tests) for name, tests in cases.items()
    }
    assert len(clips["face_rate"]) == 3 and len(clips["enhancer_action_kept"]) == 6
    entry = json.loads((root / "state" / "promotions" / "ledger.jsonl").read_text().splitlines()[-1])
    assert "never evaluated" not in entry["reason"]
    methods = {figure["name"]: figure["method"] for figure in entry["figures"] or ()}
    assert methods["enhancer_action_kept"] == "paired"
    assert not (root / "artifacts" / "evaluation" / "rematch").exists()
    assert {path: path.stat().st_mtime_ns for path in (root / "artifacts" / "vae").rglob("*")} == before
    assert not list((root / "state" / "rematch").iterdir())

    again = syncdreamer(root, "rematch")
    assert again.returncode == 0, again.stderr
