"""Runs, lineage and models in a real SQLite store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.files import append_jsonl, write_json, write_text
from components.core.paths import Workspace
from components.tracking.models import SPECS, find_model, log_model
from components.tracking.runs import Input, Tracker


@pytest.fixture
def tracker(workspace: Workspace) -> Tracker:
    return Tracker(workspace)


def test_a_stage_is_a_child_with_figures_lineage_and_pictures(tracker: Tracker, workspace: Workspace) -> None:
    folder = workspace.artifacts("vae")
    for step in range(1200):
        append_jsonl(folder / "history.jsonl", {"step": step, "loss": 1 / (step + 1)})
    write_json(folder / "metrics.json", {"loss": 0.25})
    write_text(folder / "samples" / "a.txt", "picture")
    parent = tracker.start_parent("pipeline", {"seed": 1}, {"git": "0123abc", "data": "d1"})
    run_id = tracker.log_stage(
        parent,
        "vae",
        params={"steps": 3, "api_key": "sk-1"},
        metrics=folder / "metrics.json",
        history=folder / "history.jsonl",
        inputs=[Input("curate", "abc.dir", "artifacts/curate")],
        artifacts=[folder / "samples", folder / "absent"],
        digest="out1",
        started=1_000.0,
        ended=1_012.5,
    )
    tracker.end_parent(parent)
    run = tracker.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_012_500)
    assert run.data.params == {"steps": "3", "api_key": "***"}
    assert run.data.metrics["loss"] == 0.25
    assert len(tracker.client.get_metric_history(run_id, "loss")) == 1201
    assert run.data.tags["mlflow.parentRunId"] == parent
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest, used.dataset.source_type) == ("curate", "abc.dir", "dvc")
    assert [item.path for item in tracker.client.list_artifacts(run_id)] == ["samples"]
    above = tracker.client.get_run(parent)
    assert above.data.tags["git"] == "0123abc"
    assert above.info.status == "FINISHED"


def test_an_unchanged_stage_points_to_the_run_that_made_it(tracker: Tracker) -> None:
    made = tracker.log_stage(None, "curate", digest="d1")
    tracker.log_stage(None, "curate", digest="d2")
    tracker.log_stage(None, "curate", digest="d3", status="FAILED")
    parent = tracker.start_parent("pipeline", {})
    assert tracker.log_unchanged(parent, "curate", "d1") == made
    assert tracker.client.get_run(parent).data.tags["unchanged.curate"] == made
    assert tracker.log_unchanged(parent, "curate", "d3") is None
    assert tracker.log_unchanged(parent, "ingest", "d1") is None


def test_a_refusal_is_seen_in_child_and_parent(tracker: Tracker) -> None:
    parent = tracker.start_parent("pipeline", {})
    verdict = {"gate": "clips", "passed": False, "expectations": [{"status": "fail"}, {"status": "pass"}]}
    run_id = tracker.log_failure(parent, "gate_clips", "refused, see s3://me:secret@host/x", verdict=verdict)
    child, above = tracker.client.get_run(run_id), tracker.client.get_run(parent)
    assert child.info.status == above.info.status == "FAILED"
    assert child.data.tags["gate.passed"] == "false"
    assert child.data.tags["gate.expectations"] == "1 pass, 0 warn, 1 fail"
    assert above.data.tags["failed_stage"] == "gate_clips"
    assert "secret" not in child.data.tags["message"] + above.data.tags["message"]
    names = {item.path for item in tracker.client.list_artifacts(run_id)}
    assert names == {"verdict.json", "message.txt"}


@pytest.mark.parametrize("stage", sorted(SPECS))
def test_every_model_is_logged_once_with_signature_and_requirements(
    stage: str, tracker: Tracker, workspace: Workspace
) -> None:
    spec = SPECS[stage]
    for part in spec.parts.values():
        write_json(workspace.artifacts(stage, part, "config.json"), {"stage": stage, "part": part})
    run_id = tracker.log_stage(None, stage, started=1_000.0, ended=1_001.0)
    model = log_model(tracker, stage, run_id)
    assert log_model(tracker, stage, tracker.log_stage(None, stage)) == model
    assert find_model(tracker, spec.name, model.digest) == model
    assert find_model(tracker, spec.name, "0" * 64) is None
    assert tracker.client.get_run(run_id).info.end_time == 1_001_000
    import mlflow

    info = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert info.signature.inputs.input_names() == [name for name, _, _ in spec.inputs]
    assert info.signature.outputs.input_names() == [name for name, _, _ in spec.outputs]
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))
    assert "torch==" in (folder / "requirements.txt").read_text()
    assert (folder / "code" / "components" / "core" / "files.py").exists()
    assert len(list(folder.rglob("config.json"))) >= len(spec.parts)


def test_a_logged_model_loads_by_its_id_and_predicts(tracker: Tracker, workspace: Workspace) -> None:
    import io

    import mlflow
    import numpy as np
    import pandas as pd
    from PIL import Image

    from components.avatar.vae import PatchVAE

    PatchVAE(channels=8, width=8).save_pretrained(workspace.artifacts("vae", "model"))
    model = log_model(tracker, "vae", tracker.log_stage(None, "vae"))
    picture = io.BytesIO()
    Image.fromarray(np.full((32, 48, 3), 128, np.uint8)).save(picture, "PNG")
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    answer = loaded.predict(pd.DataFrame({"image": [picture.getvalue()]}))
    assert Image.open(io.BytesIO(answer["image"][0])).size == (48, 32)


def test_a_stage_without_a_model_is_told(tracker: Tracker) -> None:
    with pytest.raises(InputError, match="stage 'curate' makes no model"):
        log_model(tracker, "curate", "run")
    with pytest.raises(InputError, match="`syncdreamer stage vae` makes it"):
        log_model(tracker, "vae", "run")


def test_nothing_is_left_active(tracker: Tracker, train: Callable[..., dict[str, str]]) -> None:
    import mlflow

    train()
    assert mlflow.active_run() is None
    assert "MLFLOW_RUN_ID" not in os.environ
