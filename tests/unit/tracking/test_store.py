"""What is written to MLflow, without MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.files import append_jsonl, write_json, write_text
from components.core.params import Params
from components.core.paths import Workspace
from components.tracking.models import SPECS, content_digest, copy_code, requirements
from components.tracking.runs import _read_history, _read_metrics, metric_values
from components.tracking.store import artifact_location, flatten, hide, tracking_uri


class _Section(Params):
    steps: int = 3
    api_key: str = "sk-123"


def test_parameters_are_flat_and_secrets_hidden() -> None:
    flat = flatten(
        {"seed": 1, "train": _Section(), "db": {"url": "postgresql://me:pw@host/x", "password": "p"}}
    )
    assert flat == {
        "seed": "1",
        "train.steps": "3",
        "train.api_key": "***",
        "db.url": "postgresql://***@host/x",
        "db.password": "***",
    }


def test_a_limit_on_tokens_is_no_secret() -> None:
    assert flatten({"caption_tokens": 76, "text_tokens": 48}) == {"caption_tokens": "76", "text_tokens": "48"}
    assert flatten({"session_token": "x"}) == {"session_token": "***"}
    assert hide("see https://host/path") == "see https://host/path"


def test_metrics_of_both_kinds() -> None:
    assert metric_values({"loss": 0.5, "n": 3, "note": "x", "ok": True}) == {"loss": 0.5, "n": 3.0}
    rows = [
        {"name": "sync", "value": 0.9, "low": 0.8, "high": None, "control": 0.1},
        {"name": "x", "value": None},
    ]
    assert metric_values({"metrics": rows}) == {"sync": 0.9, "sync_low": 0.8, "sync_control": 0.1}
    assert metric_values([1]) == {}


def test_history_has_a_step_a_line_and_leaves_out_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append_jsonl(path, {"step": 0, "loss": 1.0, "phase": "a"})
    append_jsonl(path, {"step": 10, "loss": float("nan"), "rate": 0.1})
    assert _read_history(path) == [("loss", 1.0, 0), ("rate", 0.1, 10)]
    assert _read_history(tmp_path / "none.jsonl") == []
    assert _read_metrics(None) == {}


def test_where_things_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SYNCDREAMER_ARTIFACT_LOCATION", raising=False)
    assert tracking_uri(workspace) == f"sqlite:///{tmp_path.resolve()}/state/mlflow/mlflow.db"
    assert artifact_location(workspace) == (tmp_path.resolve() / "state/mlflow/artifacts").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(workspace) == "http://127.0.0.1:5000"
    assert artifact_location(workspace) is None
    monkeypatch.setenv("SYNCDREAMER_ARTIFACT_LOCATION", "s3://bucket/prefix")
    assert artifact_location(workspace) == "s3://bucket/prefix"


def test_a_model_is_named_by_its_content(tmp_path: Path) -> None:
    spec = SPECS["train_stage2"]
    write_json(tmp_path / "pipeline" / "config.json", {"a": 1})
    first = content_digest(spec, tmp_path)
    write_text(tmp_path / "metrics.json", "beside the model, not part of it")
    assert content_digest(spec, tmp_path) == first
    write_json(tmp_path / "pipeline" / "config.json", {"a": 2})
    assert content_digest(spec, tmp_path) != first


def test_requirements_are_pinned_without_build_tags() -> None:
    for spec in SPECS.values():
        pins = requirements(spec)
        assert all("==" in pin and "+" not in pin for pin in pins), pins
        assert any(pin.startswith("torch==") for pin in pins)


def test_the_code_that_travels_is_small_and_without_assets(tmp_path: Path) -> None:
    target = copy_code(tmp_path)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert (target / "core" / "files.py").exists()
    assert {path.suffix for path in files} <= {".py", ".json", ".yaml", ".txt"}
    assert sum(path.stat().st_size for path in files) < 5e6
