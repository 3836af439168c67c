"""The demo remote: a fresh workspace is filled from it, and no push ever writes to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.files import digest_tree
from components.core.paths import Workspace
from flows import chain

ROOT = Path(__file__).parents[3]


def dvc(workspace: Path, *arguments: str, fails: str = "") -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=workspace, capture_output=True, text=True
    )
    assert (shown.returncode != 0) == bool(fails) and fails in shown.stderr, shown.stderr


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """What a clone holds of the input: data.dvc, DVC's configuration and the demo remote."""
    (tmp_path / ".dvc").mkdir()
    config = (ROOT / ".dvc" / "config").read_text()
    (tmp_path / ".dvc" / "config").write_text(config.replace("[core]", "[core]\n    no_scm = true"))
    shutil.copy(ROOT / "data.dvc", tmp_path)
    shutil.copytree(ROOT / "infra" / "demo-remote", tmp_path / "infra" / "demo-remote")
    return tmp_path


def test_input_comes_from_the_demo_remote_and_goes_to_the_teams(workspace: Path) -> None:
    demo, team = workspace / "infra" / "demo-remote", workspace / "team"
    before = digest_tree(demo)
    repo = chain.open_repo(Workspace(workspace))
    chain.fetch_input(repo, Workspace(workspace))
    repo.close()
    assert len(list((workspace / "data" / "raw" / "demo").glob("*.mp4"))) > 100

    (workspace / "data" / "raw" / "demo" / "mine.mp4").write_bytes(b"mine")
    dvc(workspace, "add", "-q", "data/raw")
    dvc(workspace, "push", fails="no remote specified")
    dvc(workspace, "remote", "add", "-q", "-d", "team", str(team))
    dvc(workspace, "push")
    assert not team.exists() and digest_tree(demo) == before

    # As docs/operations.md says.
    lines = (workspace / "data.dvc").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.strip() not in ("remote: demo", "push: false")]
    assert len(kept) == len(lines) - 2
    (workspace / "data.dvc").write_text("".join(kept))
    dvc(workspace, "push")
    assert len(list(team.rglob("*"))) > 100 and digest_tree(demo) == before
