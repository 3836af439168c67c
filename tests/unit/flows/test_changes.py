"""A deployment's own parameters: there while its run lasts, then params.yaml is byte for byte what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.paths import Workspace
from flows.changes import changed_params, put_back
from flows.params import default_text, load_params


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "params.yaml").write_text("# a comment of my own\n" + default_text())
    return Workspace(tmp_path)


def steps(workspace: Workspace) -> int:
    return load_params(workspace.root / "params.yaml").sections["train_stage2"].steps  # type: ignore[attr-defined]


def test_changed_inside_and_put_back_after_an_error(workspace: Workspace) -> None:
    path = workspace.root / "params.yaml"
    before, usual = path.read_bytes(), steps(workspace)
    with (
        pytest.raises(RuntimeError),
        changed_params(workspace, {"train_stage2.steps": 7, "train_stage1.model.layers": 2, "seed": 9}),
    ):
        assert steps(workspace) == 7
        assert load_params(path).seed == 9
        raise RuntimeError
    assert path.read_bytes() == before and steps(workspace) == usual
    assert not list((workspace.root / "state" / "operations").glob("params.*"))


def test_a_killed_run_is_put_back_by_the_next(workspace: Workspace) -> None:
    path = workspace.root / "params.yaml"
    before = path.read_bytes()
    killed = changed_params(workspace, {"train_stage2.steps": 7})
    killed.__enter__()
    assert path.read_bytes() != before
    with changed_params(workspace, {}):  # the next run, in another process
        assert path.read_bytes() == before


def test_an_edit_meanwhile_is_kept(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = workspace.root / "params.yaml"
    before = path.read_bytes()
    with changed_params(workspace, {"train_stage2.steps": 7}):
        path.write_text("edited")
    assert path.read_text() == "edited"
    assert "params.yaml was edited during a run" in capsys.readouterr().err
    assert (workspace.root / "state" / "operations" / "params.edited").read_bytes() == before
    put_back(workspace)
    assert path.read_text() == "edited"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"train_stage2.stepz": 7}, "no parameter 'train_stage2.stepz'"),
        ({"train_stage2": {}}, "cannot change 'train_stage2'"),
        ({"operations.poll_seconds": 1}, "cannot change 'operations.poll_seconds'"),
        ({"train_stage2.steps": -1}, "train_stage2.steps"),
    ],
)
def test_a_wrong_change_is_told_and_changes_nothing(
    workspace: Workspace, change: dict[str, object], told: str
) -> None:
    before = (workspace.root / "params.yaml").read_bytes()
    with pytest.raises(InputError, match=told), changed_params(workspace, change):
        pass
    assert (workspace.root / "params.yaml").read_bytes() == before
