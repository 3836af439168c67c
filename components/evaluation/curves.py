"""The curves stage: training histories as tables that `dvc plots` draws and compares between experiments.

DVC draws no JSON lines, and a column that only some rows have draws as zero; so what is noted at every step
and what is noted at validations become tables of their own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.files import read_jsonl, write_text
from components.core.paths import Workspace, require
from components.evaluation.params import CurvesParams

STAGE = "curves"
TRAININGS = ("vae", "train_stage1", "train_stage2", "enhancer_sft", "enhancer_grpo")
VALIDATION = "validation_"


def run(params: CurvesParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/curves/STAGE.csv and STAGE_validation.csv of every training.

    Raises:
        InputError: a history is missing.
    """
    for stage in TRAININGS:
        path = require(workspace.artifacts(stage, "history.jsonl"), f"syncdreamer stage {stage}")
        for name, rows in tables(stage, read_jsonl(path)).items():
            write_text(workspace.artifacts(STAGE, f"{name}.csv"), to_csv(rows))


def tables(stage: str, rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of training, and rows with a validation, each with the columns that all of them have.

    Rows of training are those with a loss. A training shorter than its `log_every` notes none: no table.
    """
    trained = [row for row in rows if "loss" in row]
    validated = [row for row in rows if any(key.startswith(VALIDATION) for key in row)]
    found = {stage: _common(trained)} if trained else {}
    if validated:
        found[f"{stage}_validation"] = _common(
            [
                {key: row[key] for key in row if key == "step" or key.startswith(VALIDATION)}
                for row in validated
            ]
        )
    return found


def _common(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    shared = set.intersection(*(set(row) for row in rows)) - {"step"}
    return [{"step": row["step"], **{key: row[key] for key in sorted(shared)}} for row in rows]


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Comma-separated text with a header; the same rows give the same bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, float]]:
    """What `to_csv` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
