"""People and splits: found by embedding, stable when data are added, never leaking."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.identities import assign_splits, cluster, label, position

DECLARED = ["auto", "auto", "test"]


def vectors(people: list[int], seed: int = 0, noise: float = 0.1) -> np.ndarray:
    centres = np.random.default_rng(1).standard_normal((40, 32))
    found = centres[people] + noise * np.random.default_rng(seed).standard_normal((len(people), 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_people_are_told_apart_and_numbered_by_first_appearance() -> None:
    people = [5, 5, 2, 9, 2, 5]
    assert cluster(vectors(people), 0.3).tolist() == [0, 0, 1, 2, 1, 0]
    assert cluster(vectors([3]), 0.3).tolist() == [0]
    assert cluster(np.zeros((0, 4), np.float32), 0.3).tolist() == []


def test_names_stay_when_clips_are_added_behind() -> None:
    ids = [f"{number:016x}-0" for number in range(6)]
    before = label(ids[:4], [0, 1, 0, 2])
    after = label(ids, [0, 1, 0, 2, 1, 3])
    assert after[:4] == before and after[4] == before[1] and len(set(after)) == 4


def clips(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source_video", "identity", "declared"])


def test_a_person_or_recording_of_the_test_split_takes_its_clips_along() -> None:
    table = clips([
        ("t/1", "a", "test"), ("d/1", "a", "auto"), ("d/2", "b", "auto"), ("d/1", "c", "auto"),
        ("d/9", "c", "auto"),
    ])  # fmt: skip
    assert assign_splits(table, 0.0).tolist() == ["test", "test", "train", "test", "test"]


def test_val_is_a_stable_share_of_recordings() -> None:
    table = clips([(f"d/{number}", f"p{number % 50}", "auto") for number in range(1000)])
    splits = assign_splits(table, 0.08)
    assert 50 <= (splits == "val").sum() <= 115
    assert all((splits == "val") == [position(video) < 0.08 for video in table["source_video"]])


def test_a_small_set_has_one_val_recording() -> None:
    table = clips([(f"d/{number}", "p", "auto") for number in range(4)])
    assert (assign_splits(table, 1e-9) == "val").sum() == 1
    assert (assign_splits(table, 0.0) == "val").sum() == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("uvwxyz"), st.sampled_from("abcdef"), st.sampled_from(["auto", "auto", "test"])
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_nothing_leaks_and_added_clips_move_nobody_out_of_test(rows: list, first: int) -> None:
    table = clips(rows)
    splits = assign_splits(table, 0.3)
    for name in ("source_video", "identity"):
        inside = set(table.loc[splits == "test", name])
        assert not inside & set(table.loc[splits != "test", name])
    assert (splits[table["declared"] == "test"] == "test").all()
    assert table.assign(split=splits).groupby("source_video")["split"].nunique().max() == 1
    before = assign_splits(table[: max(1, first)], 0.3)
    assert (splits[: len(before)][before == "test"] == "test").all()


def test_blocks_find_the_same_people_as_all_pairs_at_once() -> None:
    rng = np.random.default_rng(4)
    people = rng.normal(0, 1, (60, 32))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    truth = rng.integers(0, 60, 900)
    vectors = people[truth] + rng.normal(0, 0.05, (900, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    whole = cluster(vectors, 0.25)
    for block in (100, 250, 899):
        np.testing.assert_array_equal(cluster(vectors, 0.25, block), whole)
    assert len(set(zip(truth.tolist(), whole.tolist(), strict=True))) == len(set(truth.tolist()))


def test_a_person_split_by_a_block_border_is_merged_again() -> None:
    """Two views of a person, near each other only through their means."""
    rng = np.random.default_rng(5)
    base = np.eye(8)[0]
    views = [base + 0.28 * np.eye(8)[1], base - 0.28 * np.eye(8)[1]]
    vectors = np.concatenate([view + rng.normal(0, 0.12, (40, 8)) for view in views])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    assert len(set(cluster(vectors, 0.3, block=40).tolist())) == 1


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from(DECLARED)), min_size=1, max_size=40
    ),
    rate=st.sampled_from([0.0, 0.08, 0.5]),
)
@settings(max_examples=80, deadline=None)
def test_by_person_nobody_and_no_recording_is_in_two_splits(rows: list, rate: float) -> None:
    table = clips(
        [(f"d/{video:02d}", f"p{person}" if person else None, kind) for video, person, kind in rows]
    )
    table = table.sample(frac=1, random_state=1)  # an index in no order
    splits = assign_splits(table, rate, by_person=True)
    assert splits.index.equals(table.index)
    for column in ("source_video", "identity"):
        assert (splits.groupby(table[column]).nunique() <= 1).all()
    assert (splits[table["declared"] == "test"] == "test").all()


def test_by_person_what_is_added_behind_moves_nobody() -> None:
    table = clips([(f"d/{number:03d}", f"p{number % 40}", "auto") for number in range(200)])
    more = clips([(f"e/{number:03d}", f"p{number % 60}", "auto") for number in range(100)])
    before = assign_splits(table, 0.2, by_person=True)
    after = assign_splits(pd.concat([table, more], ignore_index=True), 0.2, by_person=True)
    assert 0 < (before == "val").sum() < 100
    assert after[:200].tolist() == before.tolist()


def test_people_who_share_a_recording_go_together() -> None:
    table = clips([
        ("d/1", "a", "auto"), ("d/2", "a", "auto"), ("d/2", "b", "auto"), ("d/3", "b", "auto"),
        ("d/4", "c", "auto"), ("d/5", None, "auto"), ("d/6", None, "auto"),
    ])  # fmt: skip
    rates = [position(name) for name in ("d/1", "d/4", "d/5", "d/6")]
    for rate in (0.2, 0.4, 0.6, 0.8, 0.99):
        expected = [rates[0] < rate] * 4 + [at < rate for at in rates[1:]]
        if any(expected):
            assert (assign_splits(table, rate, by_person=True) == "val").tolist() == expected
