"""The list in git and its digest in params.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from components.core.paths import Workspace
from components.tracking.tombstones import Tombstone, add, covers_source, declared, digest, path_of, read

PARAMS = """seed: 1

curate:
  limits:  # thresholds
    min_seconds: 2.0
  workers: 0

annotate:
  look_at: 5
"""


def stone(value: str, kind: str = "clip") -> Tombstone:
    return Tombstone(kind, value, (value,), (), "2026-01-01T00:00:00+00:00", "me", "asked")  # type: ignore[arg-type]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return Workspace(tmp_path)


def test_adding_names_the_list_in_params_and_keeps_the_rest(workspace: Workspace) -> None:
    assert read(workspace) == declared(workspace, None) == []
    first = add(workspace, [stone("a")])
    second = add(workspace, [stone("b"), stone("c")])
    assert first != second == digest(workspace)
    text = (workspace.root / "params.yaml").read_text()
    values = yaml.safe_load(text)
    assert values["curate"].pop("tombstones") == second
    assert values == yaml.safe_load(PARAMS)
    assert text.count("tombstones:") == 1 and "# thresholds" in text
    assert [s.value for s in declared(workspace, second)] == ["a", "b", "c"]
    assert read(workspace)[0] == stone("a")


def test_an_edited_missing_or_unnamed_list_is_an_error(workspace: Workspace) -> None:
    whole = add(workspace, [stone("a"), stone("b")])
    path = path_of(workspace)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0])
    with pytest.raises(InputError, match=r"params.yaml curate.tombstones names"):
        declared(workspace, whole)
    path.unlink()
    with pytest.raises(InputError, match="has the digest None"):
        declared(workspace, whole)
    path.write_text("".join(lines))
    with pytest.raises(InputError):
        declared(workspace, None)
    path.write_text('{"kind": "clip"}\n')
    with pytest.raises(InputError, match="line 1: not a tombstone"):
        read(workspace)


def test_nothing_is_written_when_params_cannot_name_it(workspace: Workspace) -> None:
    (workspace.root / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(InputError, match="no `curate:` section"):
        add(workspace, [stone("a")])
    assert not path_of(workspace).exists()


def test_a_source_covers_what_is_below_it() -> None:
    stones = [stone("hdtf/one", "source"), stone("s3://b/x/", "source"), stone("demo", "clip")]
    assert covers_source(stones, "hdtf", "hdtf/one", "f")
    assert covers_source(stones, "s3://b/x/y.mp4")
    assert not covers_source(stones, "hdtf", "hdtf/oneself", "demo", "s3://b/xy")
