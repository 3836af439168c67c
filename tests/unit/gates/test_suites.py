"""Derived columns: schema of attributes, actions, leakage."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from components.core.errors import InputError
from components.core.files import write_json
from components.core.paths import Workspace
from components.gates import suites
from components.gates.params import GateClipsParams, GateEvaluationParams
from tests.unit.gates import tables


def test_attributes_follow_the_schema() -> None:
    assert suites.attributes_valid(tables.attributes())
    assert suites.attributes_valid(tables.attributes(hair="unknown", objects=[]))
    assert not suites.attributes_valid(tables.attributes(hair="green"))
    assert not suites.attributes_valid(tables.attributes(objects="book"))
    assert not suites.attributes_valid(tables.attributes(shoes="red"))
    assert not suites.attributes_valid('["hair"]')
    assert not suites.attributes_valid("{")
    assert not suites.attributes_valid("")


def test_attributes_are_told_if_half_are_known() -> None:
    names = ["attire", "hair", "background", "posture"]
    assert suites.attributes_told(tables.attributes(**dict.fromkeys(names, "unknown")))
    assert not suites.attributes_told(tables.attributes(**dict.fromkeys([*names, "gaze"], "unknown")))


def test_actions_are_a_list_of_known_names() -> None:
    assert suites.actions_valid("[]")
    assert suites.actions_valid(json.dumps(["nod", "wave"]))
    assert suites.actions_valid(json.dumps([{"action": "nod", "start": 0.5}]))
    assert not suites.actions_valid(json.dumps(["moonwalk"]))
    assert not suites.actions_valid(json.dumps({"nod": 1}))


def test_leakage_marks_every_clip_of_the_person(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    tables.fill(workspace)
    clips = tables.manifest()
    clips.loc[clips["split"] == "test", "identity"] = "p001"
    tables.write_parquet(workspace.artifacts("curate", "manifest.parquet"), clips)
    kept = suites.clips_suite(GateClipsParams(), workspace).tables["kept"]
    assert set(kept.loc[~kept["_one_side"], "identity"]) == {"p001"}
    assert kept.loc[kept["identity"] == "p001", "_one_side"].eq(False).all()
    assert kept["_one_split"].all()


def test_a_person_may_be_in_train_and_val(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    tables.fill(workspace)
    kept = suites.clips_suite(GateClipsParams(), workspace).tables["kept"]
    both = kept[kept["split"] == "val"]["identity"]
    assert both.isin(kept[kept["split"] == "train"]["identity"]).any()
    assert kept["_one_side"].all()


def test_figures_that_are_no_numbers_are_null(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    content = tables.evaluation()
    content["metrics"][0]["value"] = "high"
    content["metrics"][1]["value"] = True
    content["metrics"][2]["n"] = 3
    write_json(workspace.artifacts("evaluation", "metrics.json"), content)
    row = suites.evaluation_suite(GateEvaluationParams(), workspace).tables["metrics"].iloc[0]
    assert pd.isna(row["face_rate"])
    assert pd.isna(row["aperture_correlation_own"])
    assert row["n"] == 3


def test_evaluation_of_another_shape_is_told(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_json(workspace.artifacts("evaluation", "metrics.json"), {"sync_auc": 0.99})
    with pytest.raises(InputError, match="expected"):
        suites.evaluation_suite(GateEvaluationParams(), workspace)
