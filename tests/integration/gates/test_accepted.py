"""Drift against the accepted version: worked numbers, and the gate that refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from components.core.errors import GateRefused, InputError
from components.core.files import read_json, write_parquet
from components.core.paths import Workspace
from components.gates.accepted import distances, summary
from components.gates.commands import app
from components.gates.gate import run_gate
from components.gates.params import Drift, GateClipsParams
from tests.unit.gates import tables


def varied(seed: int = 0, blur: float = 100.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.concat([tables.manifest(10)] * 10, ignore_index=True)
    table["clip_id"] = [f"{n:016x}-0" for n in range(len(table))]
    table["source_video"] = table["split"] + "/" + table["identity"]
    table["blur"] = rng.normal(blur, 20.0, len(table))
    table["sync_confidence"] = rng.normal(5.0, 1.0, len(table))
    return table


def test_the_index_of_shifted_normals_is_the_textbook_value() -> None:
    """For equal-variance normals PSI tends to the symmetric KL divergence, the squared shift in σ (less what
    ten bins lose)."""
    rng = np.random.default_rng(1)
    columns = {"decision": "keep", "outcome": "keep", "reasons": ""}
    then = pd.DataFrame({"blur": rng.normal(0, 1, 100_000)} | columns)
    for shift in (0.0, 0.3, 0.6):
        now = pd.DataFrame({"blur": rng.normal(shift, 1, 100_000)} | columns)
        found = distances(summary(then), now)["psi_blur"]
        assert found == pytest.approx(shift**2, rel=0.1, abs=0.002)


def test_classes_differ_by_half_the_sum_of_differences() -> None:
    table = tables.manifest(0)
    moved = table.copy()
    moved.loc[moved.index[:14], "framing"] = "full body"  # 14 of 56, a quarter
    found = distances(summary(table), moved)
    assert found["balance_framing"] == pytest.approx(0.25, abs=1e-6)
    assert found["balance_delivery"] == 0.0 and found["balance_outcome"] == 0.0
    gone = distances(summary(table), moved.drop(columns=["blur", "delivery"]))
    assert np.isnan(gone["psi_blur"]) and np.isnan(gone["balance_delivery"])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path)
    write_parquet(found.artifacts("curate", "manifest.parquet"), varied())
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("gate_clips:\n  reasons: []  # none\n")
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(tmp_path))
    assert CliRunner().invoke(app, ["accept"]).exit_code == 0
    return found


def drift(workspace: Workspace) -> Drift:
    return Drift.model_validate(
        yaml.safe_load((workspace.root / "params.yaml").read_text())["gate_clips"]["drift"]
    )


def test_accepting_is_a_line_of_params_and_the_gate_compares(workspace: Workspace) -> None:
    params = GateClipsParams(drift=drift(workspace))
    verdict = run_gate("clips", params, workspace)
    asked = [each for each in verdict.expectations if each.name.startswith("drift_")]
    assert len(asked) >= 12 and all(each.observed == pytest.approx(0.0, abs=1e-9) for each in asked)
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), varied(seed=5))
    assert run_gate("clips", params, workspace).passed  # another sample of the same
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), varied(seed=5, blur=70.0))
    with pytest.raises(GateRefused, match="drift_psi_blur"):
        run_gate("clips", params, workspace)
    assert CliRunner().invoke(app, ["accept"]).exit_code == 0
    assert run_gate("clips", GateClipsParams(drift=drift(workspace)), workspace).passed


def test_another_file_than_the_accepted_one_is_refused(workspace: Workspace) -> None:
    params = drift(workspace)
    path = workspace.root / params.baseline
    assert read_json(path)["clips"] == 660
    path.write_text(path.read_text() + "\n")
    with pytest.raises(InputError, match="is not the accepted version"):
        run_gate("clips", GateClipsParams(drift=params), workspace)
    path.unlink()
    with pytest.raises(InputError, match="gates accept"):
        run_gate("clips", GateClipsParams(drift=params), workspace)


def test_clips_without_sound_are_not_asked_for_sync(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    table = tables.manifest(10).assign(has_sound=1)
    silent = table["split"] == "train"
    for name in ("sync_confidence", "sync_offset", "voice_rate"):
        table[name] = table[name].astype("float64")
    table.loc[silent, ["sync_confidence", "sync_offset", "voice_rate"]] = np.nan
    table.loc[silent, "has_sound"] = 0
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), table)
    assert run_gate("clips", GateClipsParams(), workspace).passed
    table.loc[silent, "has_sound"] = 1
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), table)
    with pytest.raises(GateRefused, match="sync_measured"):
        run_gate("clips", GateClipsParams(), workspace)
