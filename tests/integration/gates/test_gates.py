"""Every gate on good tables, and the cases that must stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.core.errors import GateRefused, InputError
from components.core.files import digest_file, digest_tree, write_json, write_parquet
from components.core.paths import Workspace
from components.gates.checks import Check, failing
from components.gates.gate import NAMES, STAGES, judge, run_gate
from components.gates.params import SECTIONS, GateClipsParams, Rate
from components.gates.suites import Suite
from components.gates.verdicts import Verdict, read_verdict
from tests.unit.gates import tables

MANIFEST = ("curate", "manifest.parquet")
ANNOTATIONS = ("annotate", "annotations.parquet")
LATENTS = ("encode", "index.parquet")
EVALUATION = ("evaluation", "metrics.json")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    tables.fill(workspace)
    return workspace


def spoil(
    workspace: Workspace, where: tuple[str, str], change: Callable[[pd.DataFrame], pd.DataFrame | None]
):
    path = workspace.artifacts(*where)
    table = pd.read_parquet(path)
    changed = change(table)
    write_parquet(path, table if changed is None else changed)


def refused(name: str, workspace: Workspace) -> tuple[str, Verdict]:
    """The message, and the verdict, which must have been written before the refusal."""
    with pytest.raises(GateRefused) as caught:
        run_gate(name, SECTIONS[f"gate_{name}"](), workspace, 0)
    verdict = read_verdict(workspace.artifacts("gates", name, "verdict.json"))
    assert not verdict.passed
    assert caught.value.exit_code == 3
    return str(caught.value), verdict


@pytest.mark.parametrize("name", NAMES)
def test_good_output_passes(name: str, workspace: Workspace) -> None:
    verdict = STAGES[f"gate_{name}"](SECTIONS[f"gate_{name}"](), workspace, 0)
    assert verdict.passed
    assert [finding.told() for finding in verdict.warnings] == []
    assert read_verdict(workspace.artifacts("gates", name, "verdict.json")) == verdict
    for subject, digest in verdict.subjects.items():
        assert digest_file(workspace.root / subject) == digest


def test_rejected_clips_are_listed_even_when_the_gate_passes(workspace: Workspace) -> None:
    run_gate("clips", GateClipsParams(), workspace)
    table = pd.read_parquet(workspace.artifacts("gates", "clips", "quarantine.parquet"))
    rejected = table[table["rule"] == "rejected"]
    assert len(rejected) == 10
    assert set(rejected["value"]) == {"blur"}
    csv = pd.read_csv(workspace.artifacts("gates", "clips", "quarantine.csv"), dtype=str)
    assert csv["clip_id"].tolist() == table["clip_id"].tolist()
    assert list(csv.columns) == ["clip_id", "rule", "value", "allowed", "file"]


def test_the_same_table_gives_the_same_bytes(workspace: Workspace) -> None:
    run_gate("clips", GateClipsParams(), workspace)
    before = digest_tree(workspace.artifacts("gates", "clips"))
    run_gate("clips", GateClipsParams(), workspace)
    assert digest_tree(workspace.artifacts("gates", "clips")) == before
    text = workspace.artifacts("gates", "clips", "verdict.json").read_text()
    assert str(workspace.root) not in text


def test_forty_percent_faulty_clips_stop(workspace: Workspace) -> None:
    write_parquet(workspace.artifacts(*MANIFEST), tables.manifest(rejected=38))
    message, verdict = refused("clips", workspace)
    assert message.startswith("gate clips refused: 2 of ")
    assert "quarantine table: artifacts/gates/clips/quarantine.csv (38 clips)" in message
    assert "rejected (expect_column_values_to_be_in_set on reasons): observed 40.4% of 94 rows" in message
    assert "allowed 28.0%" in message
    assert f"first: {56:016x}-0 (blur), {57:016x}-0 (blur)" in message
    assert {finding.name for finding in verdict.failures} == {"rejected", "faulty"}
    rows = pd.read_parquet(workspace.artifacts("gates", "clips", "quarantine.parquet"))
    assert (rows["rule"] == "rejected").sum() == 38


def test_a_share_between_the_rates_warns(workspace: Workspace) -> None:
    params = GateClipsParams(rejected=Rate(warn=0.1, fail=0.5))
    verdict = run_gate("clips", params, workspace)
    assert verdict.passed
    assert [finding.name for finding in verdict.warnings] == ["rejected"]


def test_emptied_captions_stop(workspace: Workspace) -> None:
    spoil(workspace, ANNOTATIONS, lambda table: table.assign(caption="", caption_tokens=0))
    message, verdict = refused("annotations", workspace)
    assert "gate annotations refused" in message
    assert "caption (expect_column_values_to_be_in_set on caption): observed 100.0% of 56 rows" in message
    assert "allowed 1.0%" in message
    assert f"first: {0:016x}-0" in message
    assert "artifacts/gates/annotations/quarantine.csv (56 clips)" in message
    assert {finding.name for finding in verdict.failures} == {"caption", "caption_tokens"}


def test_a_caption_longer_than_clip_reads_stops(workspace: Workspace) -> None:
    spoil(workspace, ANNOTATIONS, lambda table: table.assign(caption_tokens=77))
    assert "caption_tokens" in refused("annotations", workspace)[0]


def test_a_kept_clip_without_annotation_stops(workspace: Workspace) -> None:
    spoil(workspace, ANNOTATIONS, lambda table: table.iloc[1:])
    message, _ = refused("annotations", workspace)
    assert "annotated (expect_column_values_to_be_in_set on clip_id): observed 1.8% of 56 rows" in message
    assert f"{0:016x}-0" in message


def test_a_person_in_test_and_train_stops(workspace: Workspace) -> None:
    def leak(table: pd.DataFrame) -> None:
        table.loc[table["identity"] == "t0", "identity"] = "p000"

    spoil(workspace, MANIFEST, leak)
    message, verdict = refused("clips", workspace)
    assert "identity_leakage (expect_column_values_to_be_in_set on identity): observed" in message
    assert "(p000)" in message
    assert {finding.name for finding in verdict.failures} == {"identity_leakage"}


def test_a_recording_in_two_splits_stops(workspace: Workspace) -> None:
    spoil(workspace, MANIFEST, lambda table: table.assign(source_video="one"))
    assert {f.name for f in refused("clips", workspace)[1].failures} == {"video_leakage"}


def test_a_missing_column_is_named(workspace: Workspace) -> None:
    spoil(workspace, MANIFEST, lambda table: table.drop(columns=["consent", "face_rate"]))
    message, verdict = refused("clips", workspace)
    assert "schema (expect_table_columns_to_match_set): missing: consent, face_rate" in message
    assert "consent (expect_column_values_to_be_in_set on consent): column consent is missing" in message
    assert {f.name for f in verdict.failures} == {
        "schema", "consent", "consent_told", "face_rate", "measured_face_rate"
    }  # fmt: skip


def test_an_empty_table_stops(workspace: Workspace) -> None:
    spoil(workspace, MANIFEST, lambda table: table.iloc[:0])
    message, _ = refused("clips", workspace)
    assert "rows (expect_table_row_count_to_be_between): observed 0, allowed ≥ 1" in message
    assert "kept_train (expect_table_row_count_to_be_between): observed 0, allowed ≥ 8" in message


def test_consent_and_licence_are_needed(workspace: Workspace) -> None:
    def withdraw(table: pd.DataFrame) -> None:
        table.loc[0, "consent"] = False
        table.loc[1, "licence"] = " "

    spoil(workspace, MANIFEST, withdraw)
    assert {f.name for f in refused("clips", workspace)[1].failures} == {"consent", "licence"}


def test_a_rejection_without_a_reason_stops(workspace: Workspace) -> None:
    spoil(workspace, MANIFEST, lambda table: table.assign(reasons=""))
    assert "explained" in {f.name for f in refused("clips", workspace)[1].failures}


def test_a_column_of_the_wrong_type_is_a_failure_not_a_crash(workspace: Workspace) -> None:
    spoil(workspace, MANIFEST, lambda table: table.assign(duration="five"))
    message, _ = refused("clips", workspace)
    assert "duration (expect_column_values_to_be_between on duration): could not be evaluated" in message


def test_broken_latents_stop(workspace: Workspace) -> None:
    def spoilt(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[0], "finite"] = False
        table.loc[table.index[1], "audio_frames"] = 16
        table.loc[table.index[2], "split"] = "test"
        return table.iloc[:-1]

    spoil(workspace, LATENTS, spoilt)
    names = {f.name for f in refused("latents", workspace)[1].failures}
    assert {"encoded", "finite", "audio_frames", "split"} <= names


@pytest.mark.parametrize("value", [0.96, float("nan"), None, "low"])
def test_a_checkpoint_that_did_not_learn_stops(value: object, workspace: Workspace) -> None:
    write_json(workspace.artifacts("train_stage2", "metrics.json"), {"validation_loss_ratio": value})
    message, _ = refused("checkpoint", workspace)
    assert "validation_loss_ratio" in message
    assert "observed 0.96, allowed between 0 and 0.5" in message or "missing or is not a number" in message


def test_the_loss_ratio_is_taken_from_the_untrained_generator(workspace: Workspace) -> None:
    losses = {"validation_loss_untrained": 1.0, "validation_loss_start": 0.41, "validation_loss_end": 0.4}
    write_json(workspace.artifacts("train_stage2", "metrics.json"), losses)
    (finding,) = run_gate("checkpoint", SECTIONS["gate_checkpoint"](), workspace).expectations
    assert finding.observed == 0.4
    del losses["validation_loss_untrained"]
    write_json(workspace.artifacts("train_stage2", "metrics.json"), losses)
    assert "observed 0.97" in refused("checkpoint", workspace)[0]


def test_evaluation_below_a_bound_stops_and_names_the_figure(workspace: Workspace) -> None:
    write_json(workspace.artifacts(*EVALUATION), tables.evaluation(sync_wins=0.5))
    message, verdict = refused("evaluation", workspace)
    assert "sync_wins (expect_column_values_to_be_between on sync_wins): observed 0.5, allowed" in message
    (finding,) = verdict.failures
    assert finding.observed == 0.5


def test_a_missing_figure_stops(workspace: Workspace) -> None:
    content = tables.evaluation()
    content["metrics"] = [row for row in content["metrics"] if row["name"] != "identity_top1"]
    write_json(workspace.artifacts(*EVALUATION), content)
    assert "the figure identity_top1 is missing" in refused("evaluation", workspace)[0]


def test_missing_files_and_wrong_names_are_one_line(tmp_path: Path) -> None:
    empty = Workspace(tmp_path)
    with pytest.raises(InputError, match=r"manifest\.parquet is missing"):
        run_gate("clips", GateClipsParams(), empty)
    with pytest.raises(InputError, match="no gate 'clip'; gates: clips"):
        run_gate("clip", GateClipsParams(), empty)
    with pytest.raises(InputError, match="takes GateLatentsParams"):
        run_gate("latents", GateClipsParams(), empty)


VALUES = st.one_of(st.none(), st.floats(-2, 2, width=16))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(VALUES, min_size=1, max_size=8), words=st.data())
def test_mask_and_great_expectations_agree(numbers: list[float | None], words: st.DataObject) -> None:
    texts = words.draw(
        st.lists(st.sampled_from(["a", "b", "ab", None]), min_size=len(numbers), max_size=len(numbers))
    )
    table = pd.DataFrame({"n": pd.Series(numbers, dtype="float64"), "w": pd.Series(texts, dtype="string")})
    checks = [
        Check("null", "not_null", "n", fail=1),
        Check("range", "between", "n", minimum=-1, maximum=0.5, fail=1),
        Check("set", "in_set", "w", values=("a", "ab"), fail=1),
        Check("regex", "matches", "w", pattern="^a", fail=1),
        Check("unique", "unique", "w", fail=1),
    ]
    findings, _ = judge(Suite({"all": table}, checks))
    for check, finding in zip(checks, findings, strict=True):
        assert finding.failed == failing(check, table).sum(), (check.name, finding.problem)


def test_the_verdict_is_plain_json(workspace: Workspace) -> None:
    run_gate("evaluation", SECTIONS["gate_evaluation"](), workspace)
    verdict = json.loads(workspace.artifacts("gates", "evaluation", "verdict.json").read_text())
    assert verdict["gate"] == "evaluation"
    assert {"name", "expectation", "column", "observed", "warn", "fail", "status", "n"} <= set(
        verdict["expectations"][0]
    )
