"""What is kept with a registered version: the clips it was trained on, and what each stage cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from components.core.errors import GateRefused, InputError
from components.core.files import read_json, write_json, write_parquet
from components.core.paths import Workspace
from components.gates.drift_params import DriftParams
from components.tracking.registry import AVATAR, ENHANCER, find_pair, register_pair
from components.tracking.runs import Tracker
from flows import chain, costs, drift
from flows.operations import Prices
from tests.integration.tracking.conftest import METRICS, outputs

ROOT = Path(__file__).parents[3]
PARAMS = DriftParams(scores=("blur", "yaw"), classes=("framing",))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("observed")
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace = Workspace(root)
        outputs(workspace, "a", "e", {}, METRICS)
        yield workspace


@pytest.fixture(scope="module")
def tracker(workspace: Workspace) -> Tracker:
    return Tracker(workspace)


@pytest.fixture(scope="module")
def versions(workspace: Workspace, tracker: Tracker) -> dict[str, str]:
    return register_pair(workspace, lock_digest="lock", git="0123abc", tracker=tracker)


def clips(seed: int, count: int, blur: float = 500.0, split: str = "train") -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "clip_id": [f"{seed}-{number}" for number in range(count)],
            "split": split,
            "decision": "keep",
            "blur": random.normal(blur, 50, count),
            "yaw": random.exponential(4, count),
            "framing": random.choice(["close-up", "full body"], count),
        }
    )


def curated(workspace: Workspace, *tables: pd.DataFrame) -> None:
    write_parquet(workspace.root / drift.MANIFEST, pd.concat(tables, ignore_index=True))


def test_new_clips_are_judged_against_the_champions_own(
    workspace: Workspace, tracker: Tracker, versions: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from components.tracking.promotion import promote

    trained, held_out = clips(1, 80), clips(2, 30, blur=0.0, split="test")
    curated(workspace, trained, held_out)
    assert not drift.check_drift(workspace, PARAMS, 0)["decided"]
    assert "nothing was promoted yet" in capsys.readouterr().err

    assert promote(workspace, versions, tracker=tracker).status == "promoted"
    with pytest.raises(InputError, match="promoted before drift was watched"):
        drift.check_drift(workspace, PARAMS, 0)
    run_id = find_pair(tracker, versions).run_id
    drift.log_training_clips(tracker, workspace, run_id)
    drift.log_training_clips(tracker, workspace, run_id)  # the second time is nothing
    found = drift.check_drift(workspace, PARAMS, 0)
    assert not found["decided"] and found["new"] == 0 and "0 new clips" in found["message"]

    curated(workspace, trained, held_out, clips(3, 40))
    found = drift.check_drift(workspace, PARAMS, 0)
    assert found["decided"] and found["new"] == 40 and found["warnings"] == []
    assert read_json(workspace.root / "state/drift/verdict.json")["passed"]

    curated(workspace, trained, held_out, clips(3, 20), clips(4, 40, blur=200.0))
    with pytest.raises(
        GateRefused, match="60 new clips differ from the 80 that syncdreamer-avatar 1"
    ) as told:
        drift.check_drift(workspace, PARAMS, 0)
    assert "drift_blur" in str(told.value) and "drift_yaw" not in str(told.value)
    verdict = read_json(workspace.root / "state/drift/verdict.json")
    assert {row["name"]: row["status"] for row in verdict["expectations"]} == {
        "drift_blur": "fail",
        "drift_yaw": "pass",
        "drift_framing": "pass",
    }
    assert "| blur | drift |" in (workspace.root / drift.REPORT).read_text()
    runs = tracker.client.search_runs([tracker.experiment_id], "tags.`syncdreamer.stage` = 'drift'")
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]
    assert all("psi_blur" in run.data.metrics for run in runs)


def closure(stage: str) -> set[str]:
    """What leads to a stage, from dvc.yaml's text alone."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    makers = {out: name for name, told in stages.items() for out in told["outs"]}
    found, todo = set(), [stage]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            deps = stages[name].get("deps", [])
            todo += [
                maker for out, maker in makers.items() if any((d + "/").startswith(out + "/") for d in deps)
            ]
    return found


def test_a_version_carries_the_cost_of_every_stage_that_led_to_it(
    workspace: Workspace, tracker: Tracker, versions: dict[str, str]
) -> None:
    repo = chain.open_repo(workspace)
    stages = closure("train_stage2") | closure("enhancer_grpo")
    rows = []
    for number, stage in enumerate(sorted(stages), 1):
        usage = {"seconds": 10.0 * number, "cpu_seconds": 3600.0, "peak_memory_mb": 100.0 * number}
        write_json(workspace.state("stages", stage) / "usage.json", usage)
        run_id = tracker.log_stage(None, stage)
        if stage != "vae":  # restored from a cache: nothing was measured
            costs.log_usage(tracker, workspace, stage, run_id)
        rows.append({"name": stage, "run_id": run_id})
    costs.attach(tracker, repo, rows, versions, Prices(cpu_hour=2.0))
    repo.close()
    table = {row["model"]: row for row in costs.costs_table(workspace)}
    assert set(table[AVATAR]["stages"]) == closure("train_stage2") - {"vae"}
    assert set(table[ENHANCER]["stages"]) == closure("enhancer_grpo")
    assert "enhancer_sft" not in table[AVATAR]["stages"] and table[AVATAR]["not_measured"] == ["vae"]
    for model, end in ((AVATAR, "train_stage2"), (ENHANCER, "enhancer_grpo")):
        measured = closure(end) - {"vae"}
        assert table[model]["total"]["cost"] == pytest.approx(2.0 * len(measured))
        assert table[model]["total"]["seconds"] == sum(10 * (sorted(stages).index(s) + 1) for s in measured)
    version = tracker.client.get_model_version(AVATAR, versions[AVATAR])
    assert version.tags["cost"] == f"{2.0 * len(closure('train_stage2') - {'vae'}):.4f} EUR"
