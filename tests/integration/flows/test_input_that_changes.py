"""A file that comes while the first stage reads data/raw is read too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.core.paths import Workspace
from flows import chain

STAGE = """
import pathlib
raw = pathlib.Path("data/raw")
names = sorted(path.name for path in raw.iterdir())
late = raw / "late.txt"
if not late.exists():
    late.write_text("came while the stage ran")
out = pathlib.Path("artifacts/ingest")
out.mkdir(parents=True)
(out / "names").write_text(" ".join(names))
"""


def test_a_file_that_comes_meanwhile_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  ingest:\n    cmd: {sys.executable} stage.py\n    deps: [data/raw]\n"
        "    outs: [artifacts/ingest]\n"
    )
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "first.txt").write_text("there before")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    workspace = Workspace(tmp_path)
    repo = chain.open_repo(workspace)
    assert chain.reproduce(repo, workspace, "ingest")
    assert (tmp_path / "artifacts/ingest/names").read_text() == "first.txt late.txt"
    assert not chain.reproduce(repo, workspace, "ingest"), "and nothing is left to do"
    assert chain.up_to_date(repo, workspace)
    # As an interruption of the second pass leaves it: dvc.lock and its cache hold the first pass's outputs.
    (workspace.state("stages", "ingest") / chain.AGAIN).touch()
    assert not chain.up_to_date(repo, workspace)
    assert chain.reproduce(repo, workspace, "ingest")
    assert chain.up_to_date(repo, workspace) and not chain.reproduce(repo, workspace, "ingest")
    repo.close()
