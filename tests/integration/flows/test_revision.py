"""data/raw and data.dvc: who changed decides which follows which; nothing is lost when both did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from components.core.paths import Workspace
from flows import chain, revision


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)


def settle(root: Path) -> str:
    repo = chain.open_repo(Workspace(root))
    try:
        return revision.settle(repo, Workspace(root))
    finally:
        repo.close()


def test_the_side_that_changed_leads(tmp_path: Path) -> None:
    raw, pointer = tmp_path / "data" / "raw", tmp_path / "data.dvc"
    raw.mkdir(parents=True)
    (raw / "a.mp4").write_bytes(b"a")
    dvc(tmp_path, "init", "--no-scm", "-q")
    assert settle(tmp_path) == ""  # not tracked
    pointer.write_text("outs:\n- path: data/raw\n")
    dvc(tmp_path, "commit", "-q", "-f", "data.dvc")
    first_pointer = pointer.read_text()
    first = settle(tmp_path)
    assert first == yaml.safe_load(first_pointer)["outs"][0]["md5"] and settle(tmp_path) == first

    # New files: data.dvc records them, and DVC has nothing left to say.
    (raw / "b.mp4").write_bytes(b"b")
    second = settle(tmp_path)
    assert second != first and yaml.safe_load(pointer.read_text())["outs"][0]["md5"] == second
    repo = chain.open_repo(Workspace(tmp_path))
    assert chain.up_to_date(repo, Workspace(tmp_path))
    repo.close()
    second_pointer = pointer.read_text()

    # Another revision (as `git pull` brings it): its files are fetched.
    pointer.write_text(first_pointer)
    assert settle(tmp_path) == first and not (raw / "b.mp4").exists()
    pointer.write_text(second_pointer)
    assert settle(tmp_path) == second and (raw / "b.mp4").read_bytes() == b"b"

    # Both: a person decides.
    (raw / "c.mp4").write_bytes(b"c")
    pointer.write_text(first_pointer)
    with pytest.raises(InputError, match="have both changed"):
        settle(tmp_path)
    assert (raw / "c.mp4").exists() and pointer.read_text() == first_pointer

    # A revision that is nowhere.
    (raw / "c.mp4").unlink()
    pointer.write_text(second_pointer.replace(second, "0" * 32 + ".dir"))
    with pytest.raises(InputError, match="neither in the cache|cannot be fetched"):
        settle(tmp_path)
    assert (raw / "a.mp4").exists() and (raw / "b.mp4").exists()
