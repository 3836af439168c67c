"""The index against plain Python sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.tracking.lineage import CHUNK, EVALUATED, LEARNT, VALIDATED, Clip, Index


def clip(number: int) -> Clip:
    return Clip(f"{number:016x}-0", f"p{number % 7}", f"demo/{number}.mp4", "demo", f"demo/{number // 3}")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index.sqlite")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 3 * CHUNK)), min_size=1, max_size=5), st.data())
def test_both_ways_agree_with_sets(sets: list[set[int]], data: st.DataObject) -> None:
    index = Index(Path(":memory:"))
    for version, members in enumerate(sets, 1):
        index.add("m", str(version), "d", {}, {LEARNT: [clip(n) for n in members]})
    for version, members in enumerate(sets, 1):
        assert {c.clip_id for c in index.clips("m", str(version))} == {clip(n).clip_id for n in members}
    asked = data.draw(st.lists(st.integers(0, 3 * CHUNK), max_size=3))
    expected = [str(v) for v, members in enumerate(sets, 1) if members & set(asked)]
    assert [s.version for s in index.sightings(clip(n).clip_id for n in asked)] == expected


def test_roles_marks_and_facts(index: Index) -> None:
    index.add("a", "1", "d1", {"git": "x"}, {LEARNT: [clip(1), clip(2)], EVALUATED: [clip(9)]})
    index.add("a", "2", "d2", {}, {LEARNT: [clip(2)], VALIDATED: [clip(1)], EVALUATED: []})
    index.mark("a", "2", "withdrawn")
    (one, two) = index.sightings([clip(1).clip_id])
    assert (one.roles, one.learnt, one.marked) == ((LEARNT,), True, "")
    assert (two.roles, two.learnt, two.marked) == ((VALIDATED,), True, "withdrawn")
    (only,) = index.sightings([clip(9).clip_id])
    assert (only.version, only.learnt) == ("1", False)
    assert index.sightings(["unknown"]) == []
    assert index.model("a")["version"] == "2"
    facts = index.model("a", "1")
    assert facts["git"] == "x"
    assert [(row["role"], row["clips"]) for row in facts["clips"]] == [(EVALUATED, 1), (LEARNT, 2)]
    assert [c.clip_id for c in index.clips("a", "1", LEARNT)] == [clip(1).clip_id, clip(2).clip_id]
    with pytest.raises(InputError, match="knows no model a 3"):
        index.model("a", "3")


def test_noting_again_keeps_what_was_seen_and_the_mark(index: Index) -> None:
    index.add("a", "1", "d", {"v": 1}, {LEARNT: [clip(1)]}, marked="gone")
    index.add("a", "1", "d", {"v": 2}, {LEARNT: [clip(2)]})
    assert index.model("a", "1")["v"] == 2
    assert index.model("a", "1")["marked"] == "gone"
    assert len(index.sightings([clip(1).clip_id])) == len(index.sightings([clip(2).clip_id])) == 1
    assert index.count() == {"models": 1, "clips": 2, "sets": 2}


def test_clips_are_found_by_what_they_are_called(index: Index) -> None:
    far = Clip("ff-0", "p1", "s3/bucket/x/1.mp4", "s3://bucket/x", "s3://bucket/x/1")
    near = Clip("ee-0", "p1", "s3/bucket/xy.mp4", "s3://bucket/xy", "s3://bucket/xy/1")
    index.add("a", "1", "d", {}, {LEARNT: [far, near, clip(3)]})
    assert index.find(source="s3://bucket/x") == [far]
    assert index.find(source="s3://bucket/") == [near, far]
    assert index.find(source="demo/1") == [clip(3)]
    assert index.find(identity="p1") == [near, far]
    assert index.find(clip="ff") == [far]
    assert index.find(clip=clip(3).clip_id) == [clip(3)]
    assert index.find(source="demo/3.mp4") == [clip(3)]
    assert index.find(identity="p9") == []


def test_it_is_a_file_that_another_process_may_open(tmp_path: Path) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        index.add("a", "1", "d", {}, {LEARNT: [clip(1)]})
    with Index(tmp_path / "index.sqlite") as again:
        assert [s.version for s in again.sightings([clip(1).clip_id])] == ["1"]
