"""What was withdrawn never reaches the decision; everything else keeps its number."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from components.core.errors import InputError
from components.core.paths import Workspace
from components.curation.forgotten import tombstones, without_clips, without_files
from components.curation.params import CurateParams
from components.tracking.tombstones import Tombstone, add


def stone(kind: str, value: str, clips: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> Tombstone:
    return Tombstone(kind, value, clips, files, "2026-01-01T00:00:00+00:00", "me")  # type: ignore[arg-type]


INVENTORY = pd.DataFrame(
    {
        "sha256": ["a" * 64, "b" * 64, "c" * 64, "d" * 64],
        "source": ["demo", "demo", "web", "web"],
        "source_video": ["demo/a", "demo/b", "web/c", "web/d"],
        "file": ["demo/a.mp4", "demo/b.mp4", "web/c.mp4", "web/d.mp4"],
    }
)


def test_whole_files_and_sources_are_not_even_decoded() -> None:
    assert without_files(INVENTORY, []) is INVENTORY
    left = without_files(INVENTORY, [stone("clip", "x", files=("b" * 16,)), stone("source", "web/c")])
    assert left["file"].tolist() == ["demo/a.mp4", "web/d.mp4"]
    assert left.index.tolist() == [0, 1]
    with pytest.raises(InputError, match="every file of the inventory was withdrawn"):
        without_files(INVENTORY, [stone("source", "web"), stone("source", "demo")])


def test_one_clip_of_a_file_goes_and_the_others_keep_their_ids() -> None:
    table = pd.DataFrame({"clip_id": ["a-0", "a-1", "a-2", "b-0"]})
    left = without_clips(table, [stone("clip", "a-1", clips=("a-1",)), stone("clip", "z", clips=("z-0",))])
    assert left["clip_id"].tolist() == ["a-0", "a-2", "b-0"]
    assert without_clips(table, []) is table


def test_only_the_declared_list_is_read(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert tombstones(CurateParams(), workspace) == []
    (tmp_path / "params.yaml").write_text("curate:\n  workers: 0\n")
    digest = add(workspace, [stone("clip", "a", clips=("a-0",))])
    assert [s.value for s in tombstones(CurateParams(tombstones=digest), workspace)] == ["a"]
    with pytest.raises(InputError, match="params.yaml curate.tombstones names None"):
        tombstones(CurateParams(), workspace)


def test_the_key_is_absent_from_a_written_params_file_until_it_is_set() -> None:
    from flows.params import default_text

    assert "tombstones" not in default_text()
    assert f"tombstones: {'a' * 64}" in default_text({"curate": {"tombstones": "a" * 64}})
