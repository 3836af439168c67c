"""The decision is a pure query: worked cases, one per reason and repair."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from components.curation.decide import REASONS, add_reason, decide
from components.curation.params import Limits
from components.curation.scores import tidy

LIMITS = Limits()
GOOD: dict[str, Any] = {
    "fps": 25.0, "jitter": 0.0, "decoded_rate": 1.0, "error_rate": 0.0, "shots": 1, "segments": 1,
    "width": 128, "height": 128, "start": 0.0, "end": 6.0, "duration": 6.0, "n_frames": 150,
    "n_faces_max": 1, "second_face_rate": 0.0, "face_rate": 1.0, "face_score": 0.9, "face_size": 60.0,
    "face_ratio": 0.47, "blur": 400.0, "frame_blur": 500.0, "exposure": 120.0, "yaw": 4.0, "has_sound": True,
    "voice_rate": 0.9, "voice_change": 0.15, "clipping": 0.0, "sync_offset": 0, "sync_confidence": 7.0,
}  # fmt: skip


def verdict(limits: Limits = LIMITS, audio: str = "required", **changes: Any) -> dict[str, Any]:
    row = tidy(GOOD | changes) | {"audio": audio}
    return decide(pd.DataFrame([row]), limits).iloc[0].to_dict()


def test_a_good_clip_is_kept_as_it_is() -> None:
    expected = {
        "outcome": "keep",
        "decision": "keep",
        "reasons": "",
        "repairs": "",
        "speakers": 1,
        "shift": 0,
    }
    assert verdict() == expected


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("corrupt", {"problem": "corrupt: the file is empty"}),
        ("corrupt", {"error_rate": 0.2}),
        ("truncated", {"problem": "truncated: cannot be opened"}),
        ("truncated", {"decoded_rate": 0.5}),
        ("too_short", {"duration": 1.4}),
        ("no_face", {"face_rate": 0.1}),
        ("two_people", {"second_face_rate": 0.6}),
        ("tiny_face", {"face_size": 12.0, "blur": 5.0, "yaw": 80.0}),
        ("profile", {"yaw": 65.0, "blur": 5.0}),
        ("blur", {"blur": 3.0}),
        ("blur", {"face_rate": 0.0, "blur": None, "frame_blur": 4.0, "person_share": 0.5}),
        ("no_face", {"face_rate": 0.0, "blur": None, "frame_blur": 4.0, "person_share": 0.0}),
        ("exposure", {"exposure": 250.0}),
        ("no_audio", {"has_sound": False, "voice_rate": None, "sync_confidence": None, "sync_offset": None}),
        ("silence", {"voice_rate": 0.0, "sync_confidence": None}),
        ("clipped_audio", {"clipping": 0.2, "sync_confidence": -3.0}),
        ("second_voice", {"voice_change": 0.5}),
        ("sync", {"sync_confidence": -9.0}),
        ("sync", {"sync_offset": 14}),
        ("sync", {"sync_confidence": None, "sync_offset": None}),
    ],
)
def test_each_fault_has_one_reason(reason: str, changes: dict[str, Any]) -> None:
    found = verdict(**changes)
    assert (found["outcome"], found["decision"], found["reasons"], found["shift"]) == (
        "reject",
        "reject",
        reason,
        0,
    )


def test_independent_faults_are_all_named_in_a_fixed_order() -> None:
    assert verdict(clipping=0.3, blur=1.0)["reasons"] == "blur;clipped_audio"


@pytest.mark.parametrize("offset", [-12, -2, 2, 5, 12])
def test_an_offset_within_the_limit_is_repaired(offset: int) -> None:
    found = verdict(sync_offset=offset)
    assert (found["outcome"], found["repairs"], found["shift"], found["reasons"]) == (
        "repair",
        "offset",
        offset,
        "",
    )


def test_an_offset_within_the_tolerance_is_left_alone() -> None:
    assert verdict(sync_offset=-1)["outcome"] == "keep"


@pytest.mark.parametrize("changes", [{"fps": 30.0}, {"fps": 24.0}, {"jitter": 0.4}])
def test_another_or_a_variable_rate_is_repaired(changes: dict[str, Any]) -> None:
    found = verdict(**changes)
    assert (found["outcome"], found["repairs"]) == ("repair", "frame_rate")


def test_segments_of_a_cut_file_are_kept_if_long_enough() -> None:
    assert verdict(segments=2, shots=2, duration=3.0)["outcome"] == "cut"
    assert verdict(segments=2, shots=2, duration=1.0)["reasons"] == "too_short"


def test_a_set_published_without_sound_is_not_failed_for_it() -> None:
    silent = {"has_sound": False, "voice_rate": None, "sync_confidence": None, "sync_offset": None}
    assert verdict(audio="none", **silent)["outcome"] == "keep"
    assert verdict(Limits(allow_silent_sources=False), audio="none", **silent)["reasons"] == "no_audio"


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    cases = [GOOD, GOOD | {"blur": 1.0}, GOOD | {"sync_offset": 4}, GOOD | {"problem": "corrupt: x"}]
    rows = [tidy(case) | {"audio": "required"} for case in cases]
    together = decide(pd.DataFrame(rows, index=[7, 3, 9, 1]), LIMITS)
    alone = pd.concat([decide(pd.DataFrame([row]), LIMITS) for row in rows]).set_index(together.index)
    pd.testing.assert_frame_equal(together, alone)


def test_a_later_reason_rejects_and_undoes_repairs() -> None:
    table = pd.DataFrame([tidy(GOOD | {"sync_offset": 3}) | {"audio": "required"}] * 2)
    decided = decide(table, LIMITS)
    add_reason(decided, pd.Series([False, True]), "duplicate")
    assert decided["outcome"].tolist() == ["repair", "reject"]
    assert decided["reasons"].tolist() == ["", "duplicate"]
    assert decided["shift"].tolist() == [3, 0]


def test_a_large_ledger_is_decided_quickly() -> None:
    import time

    rows = pd.DataFrame([tidy(GOOD | {"blur": float(b)}) | {"audio": "required"} for b in (1, 400)])
    table = rows.loc[rows.index.repeat(100_000)].reset_index(drop=True)
    begin = time.process_time()
    decided = decide(table, LIMITS)
    assert (decided["reasons"] == "blur").sum() == 100_000
    assert time.process_time() - begin < 3


def test_every_reason_written_is_in_the_list() -> None:
    found = {
        verdict(**changes)["reasons"] for changes in ({"blur": 1.0}, {"voice_change": 3.0}, {"fps": None})
    }
    assert {reason for text in found for reason in text.split(";") if reason} <= set(REASONS)


def test_readmitted_clips_are_kept_whatever_their_scores() -> None:
    rows = [
        tidy(GOOD | {"blur": 1.0, "clipping": 0.9}) | {"audio": "required"},
        tidy(GOOD | {"sync_confidence": -9.0, "sync_offset": 6}) | {"audio": "required"},
        tidy(GOOD | {"sync_confidence": -9.0, "sync_offset": 14}) | {"audio": "required"},
        tidy(GOOD | {"blur": 1.0}) | {"audio": "required"},
    ]
    found = decide(pd.DataFrame(rows), LIMITS, pd.Series([True, True, True, False]))
    assert found["decision"].tolist() == ["keep", "keep", "keep", "reject"]
    assert found["reasons"].tolist() == ["", "", "", "blur"]
    assert found["repairs"].tolist() == ["readmitted", "readmitted;offset", "readmitted", ""]
    assert found["shift"].tolist() == [0, 6, 0, 0]  # 14 is beyond what may be moved
