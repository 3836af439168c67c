"""Histories as tables: which rows and columns go where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from components.core.files import append_jsonl
from components.core.paths import Workspace
from components.evaluation.curves import TRAININGS, read_csv, run, tables, to_csv
from components.evaluation.params import CurvesParams

ROOT = Path(__file__).parents[3]
ROWS = [
    {"step": 0, "validation_loss": 4.0},
    {"step": 20, "loss": 2.0, "rate": 0.1},
    {"step": 40, "loss": 1.0, "rate": 0.0, "validation_loss": 2.5, "once": 1.0},
]


def test_steps_and_validations_are_tables_of_their_own() -> None:
    found = tables("vae", ROWS)
    assert found == {
        "vae": [{"step": 20, "loss": 2.0, "rate": 0.1}, {"step": 40, "loss": 1.0, "rate": 0.0}],
        "vae_validation": [{"step": 0, "validation_loss": 4.0}, {"step": 40, "validation_loss": 2.5}],
    }
    assert to_csv(found["vae"]) == "step,loss,rate\n20,2.0,0.1\n40,1.0,0.0\n"
    assert list(tables("sft", ROWS[1:2])) == ["sft"]
    assert list(tables("vae", ROWS[:1])) == ["vae_validation"], "shorter than log_every: no loss was noted"
    assert tables("sft", []) == {}


def test_stage_writes_what_dvc_plots_draw(tmp_path: Path) -> None:
    """Every table and column that dvc.yaml draws is written by the stage from histories as they are."""
    workspace = Workspace(tmp_path)
    with pytest.raises(InputError, match="syncdreamer stage vae"):
        run(CurvesParams(), workspace, 1)
    terms = tuple(f"term_{name}" for name in ("img", "inst", "time", "pose", "len"))
    extra = {
        "train_stage1": ("localization",),
        "train_stage2": ("localization",),
        "enhancer_sft": ("token_accuracy",),
        "enhancer_grpo": (
            "reward",
            "kl",
            *terms,
        ),
    }
    for stage in TRAININGS:
        for row in ROWS:
            more = dict.fromkeys(extra.get(stage, ()), 0.5) if "loss" in row else {}
            append_jsonl(workspace.artifacts(stage, "history.jsonl"), row | more)
    run(CurvesParams(), workspace, 1)
    drawn = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    for plot in drawn:
        ((_, settings),) = plot.items()
        for path, columns in settings["y"].items():
            rows = read_csv(tmp_path / path)
            wanted = [columns] if isinstance(columns, str) else columns
            assert rows and {settings["x"], *wanted} <= set(rows[0]), path
