"""Who is generated with whose sound."""

from __future__ import annotations

import pandas as pd
import pytest

from components.core.errors import InputError
from components.core.files import write_parquet
from components.core.paths import Workspace
from components.evaluation.cast import cast
from components.evaluation.params import EvaluateParams


def manifest(workspace, test=8, train=10, **changes):
    rows = []
    for split, people in (("test", test), ("train", train)):
        for person in range(people):
            for take in range(2):
                row = {
                    "clip_id": f"{split}{person:02d}-{take}", "identity": f"{split[:2]}{person:02d}",
                    "split": split, "decision": "keep", "framing": "close-up", "duration": 6.0,
                }  # fmt: skip
                rows.append(row | changes)
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), pd.DataFrame(rows))


def test_sixteen_people_each_with_an_unseen_sentence(tmp_path):
    workspace = Workspace(tmp_path)
    manifest(workspace)
    roles = cast(EvaluateParams(), workspace, seed=1)
    assert [role.split for role in roles] == ["test"] * 8 + ["train"] * 8
    assert len({role.identity for role in roles}) == 16
    assert all(role.sound.startswith("test") for role in roles)
    assert all(role.own == (role.split == "test") for role in roles)
    assert all(role.other != role.sound and role.other.startswith("test") for role in roles)
    assert len({role.sound for role in roles[8:]}) == 8
    assert len({role.seed for role in roles}) == 16
    assert roles == cast(EvaluateParams(), workspace, seed=1)


def test_a_smaller_corpus_gives_fewer_roles(tmp_path):
    workspace = Workspace(tmp_path)
    manifest(workspace, test=2, train=1)
    roles = cast(EvaluateParams(), workspace, seed=1)
    assert len(roles) == 3
    assert all(role.other != role.sound for role in roles)


def test_one_test_person_with_two_clips_is_enough(tmp_path):
    workspace = Workspace(tmp_path)
    manifest(workspace, test=1, train=1)
    roles = cast(EvaluateParams(test_people=1, training_people=1), workspace, seed=1)
    assert [(role.sound, role.other) for role in roles] == [("test00-0", "test00-1")] * 2


@pytest.mark.parametrize("changes", [{"duration": 3.0}, {"framing": "upper body"}, {"decision": "reject"}])
def test_too_little_to_evaluate_is_told(tmp_path, changes):
    workspace = Workspace(tmp_path)
    manifest(workspace, **changes)
    with pytest.raises(InputError, match="two kept close-ups"):
        cast(EvaluateParams(), workspace, seed=1)
