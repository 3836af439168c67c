"""The champion on the candidate's frozen set: a workspace of links, with only the two models exchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import flows.rematch as module
from components.core.errors import SyncDreamerError
from components.core.files import read_json, write_text
from components.core.paths import Workspace
from components.tracking.promotion import promote
from components.tracking.registry import AVATAR, ENHANCER
from tests.integration.tracking.conftest import METRICS, outputs

Train = Callable[..., dict[str, str]]


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_links_to_everything_but_the_two_models(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "checkout")
    outputs(workspace, "new", "new", {}, METRICS)
    for name in ("dvc.yaml", "params.yaml"):
        write_text(workspace.root / name, name)
    write_text(workspace.artifacts("curate", "manifest.parquet"), "m")
    write_text(workspace.artifacts("train_stage2", "metrics.json"), "{}")
    for role in ("avatar", "enhancer"):
        write_text(tmp_path / role / "config.json", f"old {role}")
    models = {role: tmp_path / role for role in ("avatar", "enhancer")}
    before = files(workspace.root)
    farm = module.link_farm(workspace, workspace.state("rematch") / "x", models)
    assert farm.artifacts("train_stage2", "pipeline", "config.json").read_text() == "old avatar"
    assert farm.artifacts("enhancer_grpo", "model", "config.json").read_text() == "old enhancer"
    assert farm.artifacts("train_stage2", "metrics.json").read_text() == "{}"
    assert farm.artifacts("curate", "manifest.parquet").read_text() == "m"
    assert not farm.artifacts("evaluation").exists()
    write_text(farm.artifacts("evaluation", "metrics.json"), "new")
    after = {name: text for name, text in files(workspace.root).items() if not name.startswith("state/")}
    assert after == before


def test_the_champion_is_measured_where_the_candidate_was(
    workspace: Workspace, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluate stage itself is replaced: it has tests of its own and takes a minute."""
    for name in ("dvc.yaml", "params.yaml"):
        write_text(workspace.root / name, name)
    seen = []

    def evaluate(farm: Workspace) -> None:
        models = farm.artifacts("train_stage2", "pipeline"), farm.artifacts("enhancer_grpo", "model")
        seen.append([read_json(folder / "config.json")["name"] for folder in models])
        own = Workspace(farm.root / "own")
        outputs(own, "x", "y", {}, {**METRICS, "sync_wins": 1.0, "validation_loss_ratio": 0.5}, seed=100)
        farm.artifacts("evaluation").mkdir()
        own.artifacts("evaluation", "metrics.json").rename(farm.artifacts("evaluation", "metrics.json"))

    monkeypatch.setattr(module, "evaluate", evaluate)
    assert module.rematch(workspace) is None
    promote(workspace, train())
    assert module.rematch(workspace) is None
    candidate = train(avatar="b", enhancer="f", sync_wins=1.0, seed=100)
    assert "never evaluated" in promote(workspace, candidate).reason
    judged = module.rematch(workspace)
    assert judged is not None
    assert judged.versions == {AVATAR: "1", ENHANCER: "1"}
    assert judged.metrics["sync_wins"]["value"] == 1.0
    assert "validation_loss_ratio" not in judged.metrics
    assert promote(workspace, candidate).reason == "no metric gains the required minimum"
    assert module.rematch(workspace) == judged
    assert seen == [["a", "e"]]
    assert list(workspace.state("rematch").iterdir()) == []
    outputs(workspace, "c", "c", {}, METRICS, seed=7)
    train(avatar="d", seed=8)
    outputs(workspace, "c", "c", {}, METRICS, seed=7)
    with pytest.raises(SyncDreamerError, match="not the newest pair's"):
        module.rematch(workspace)
