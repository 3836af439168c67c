"""The stage on a handful of rendered clips with untrained models: outcomes, equal bytes, interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from components.core.errors import InputError
from components.core.files import digest_tree, read_parquet
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation import curate, ingest
from components.curation.params import CurateParams, IngestParams, Limits, SourceParams
from components.storage.shards import read_shards

SECONDS = 2.4
ANY_SYNC = {"min_sync": -99.0, "max_offset": 15, "offset_tolerance": 15}
"""The sync model of these tests is untrained: its verdicts mean nothing."""
PARAMS = CurateParams(limits=Limits(**ANY_SYNC), workers=1, val_rate=0.0)
SOURCES = IngestParams(sources=(SourceParams(path="demo"),))
RUN = (
    "import sys; from pathlib import Path\n"
    "from components.core.paths import Workspace; from components.curation import curate\n"
    "from components.curation.params import CurateParams\n"
    "if __name__ == '__main__':\n"
    "    curate.run(CurateParams.model_validate_json(sys.argv[2]), Workspace(Path(sys.argv[1])), 0)\n"
)


def save_untrained_models(folder: Path) -> None:
    import torch

    from components.perception import identity, sync
    from components.perception.weights import save_model

    torch.manual_seed(0)
    save_model(folder / "sync", sync.small_network(), {"name": "untrained"})
    network = identity._network(20)
    save_model(folder / "identity", network, {"name": "untrained", "width": 20, "threshold": 0.9})


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # minutes of real curation; `make test-slow`


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after ingest; tests work on copies."""
    from components.corpus.clips import make_clip

    root = tmp_path_factory.mktemp("curation")
    folder = root / "data/raw/demo"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("name: demo\nlicence: CC0-1.0\nconsent: true\nsplit: auto\n")
    one, two = (make_clip(seed, seed, seconds=SECONDS) for seed in (1, 2))
    small = np.stack([cv2.resize(frame, (112, 112), interpolation=cv2.INTER_AREA) for frame in one.frames])
    whole = encode_video(one.frames, one.samples)
    times = np.arange(len(two.frames)) / 20
    slow = np.interp(np.arange(len(two.samples) * 5 // 4) / 1.25, np.arange(len(two.samples)), two.samples)
    # Mirrored: else the first half would be a true near-duplicate of clean.mp4.
    both = np.concatenate([one.frames[:-5, :, ::-1], two.frames[:-5]])
    files = {
        "a_copy.mp4": encode_video(small, one.samples, crf=24),
        "clean.mp4": whole,
        "cut.mp4": encode_video(both, np.concatenate([one.samples[3200:], two.samples[3200:]])),
        "noise.mp4": whole[:64] + np.random.default_rng(0).bytes(4000),
        "short.mp4": encode_video(two.frames[:20], two.samples[: 20 * 640]),
        "silent.mp4": encode_video(two.frames),
        "slow.mp4": encode_video(two.frames, slow.astype(np.float32), times=times, fps=20),
        "torn.mp4": whole[: len(whole) // 2],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    save_untrained_models(root / "artifacts/perception")
    ingest.run(SOURCES, Workspace(root), 0)
    return root


@pytest.fixture(scope="module")
def done(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = copy(base, tmp_path_factory.mktemp("done"))
    curate.run(PARAMS, workspace, 0)
    return workspace


def copy(base: Path, to: Path) -> Workspace:
    for name in ("data", "artifacts"):
        shutil.copytree(base / name, to / name)
    return Workspace(to)


def start(workspace: Workspace, params: CurateParams) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(workspace.root), params.model_dump_json()]
    paths = os.pathsep.join([str(Path(curate.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


def measured(workspace: Workspace) -> int:
    path = workspace.root / "state/curate/ledger.sqlite"
    if not path.exists():
        return 0
    base = sqlite3.connect(path)
    try:
        return base.execute("SELECT count(*) FROM files").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        base.close()


def test_every_file_gets_its_outcome(done: Workspace) -> None:
    table = read_parquet(done.artifacts("curate", "manifest.parquet"))
    found = {
        name: sorted(zip(rows["outcome"], rows["reasons"], rows["repairs"], strict=True))
        for name, rows in table.groupby(table["file"].str.removeprefix("demo/"))
    }
    assert found == {
        "a_copy.mp4": [("reject", "duplicate", "")],
        "clean.mp4": [("keep", "", "")],
        "cut.mp4": [("cut", "", ""), ("cut", "", "")],
        "noise.mp4": [("reject", "corrupt", "")],
        "short.mp4": [("reject", "too_short", "")],
        "silent.mp4": [("reject", "no_audio", "")],
        "slow.mp4": [("repair", "", "frame_rate")],
        "torn.mp4": [("reject", "truncated", "")],
    }
    assert table["clip_id"].is_unique
    for clip_id in table["clip_id"]:
        assert (done.artifacts("curate", "thumbnails") / f"{clip_id}.jpg").stat().st_size > 300


def test_shards_hold_what_training_reads(done: Workspace) -> None:
    table = read_parquet(done.artifacts("curate", "manifest.parquet")).set_index("clip_id")
    samples = list(read_shards(done.artifacts("curate", "shards")))
    assert sorted(sample.key for sample in samples) == sorted(table.index[table["decision"] == "keep"])
    for sample in samples:
        assert set(sample.parts) == {"mp4", "wav", "json", "npz"}
        facts = json.loads(sample.parts["json"])
        row = table.loc[sample.key]
        assert (facts["framing"], facts["identity"], facts["split"]) == (
            row["framing"],
            row["identity"],
            "train",
        )
        assert len(facts["boxes"]) == len(facts["keypoints"]) == facts["frames"] == row["n_frames"]
        assert len(sample.parts["wav"]) == 44 + 2 * 640 * facts["frames"]
    slow = table[table["file"] == "demo/slow.mp4"].iloc[0]
    assert slow["fps"] == pytest.approx(20, abs=0.01) and slow["n_frames"] == pytest.approx(75, abs=1)


def test_two_workers_make_the_same_bytes(base: Path, done: Workspace, tmp_path: Path) -> None:
    workspace = copy(base, tmp_path)
    curate.run(PARAMS.model_copy(update={"workers": 2}), workspace, 0)
    assert digest_tree(workspace.artifacts("curate")) == digest_tree(done.artifacts("curate"))


def test_a_killed_run_goes_on_and_ends_the_same(base: Path, done: Workspace, tmp_path: Path) -> None:
    workspace = copy(base, tmp_path)
    first = start(workspace, PARAMS)
    deadline = time.monotonic() + 240
    while measured(workspace) < 2 and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = measured(workspace)
    assert 2 <= before < 8
    assert not workspace.artifacts("curate", "manifest.parquet").exists()
    second = start(workspace, PARAMS)
    _, said = second.communicate(timeout=240)
    assert second.returncode == 0, said
    assert f"{before} of 8 files are in the ledger already" in said
    assert f"curate: {8 - before} in" in said
    assert digest_tree(workspace.artifacts("curate")) == digest_tree(done.artifacts("curate"))


def test_a_changed_threshold_repeats_no_measurement(
    base: Path, done: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = copy(base, tmp_path)
    shutil.copytree(done.root / "state", tmp_path / "state")
    strict = PARAMS.model_copy(update={"limits": Limits(**ANY_SYNC, min_seconds=2.35)})
    curate.run(strict, workspace, 0)
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    assert table.loc[table["file"] == "demo/cut.mp4", "reasons"].tolist() == ["too_short", "too_short"]
    assert measured(workspace) == 8
    shutil.rmtree(workspace.artifacts("curate"))
    for package in (workspace.root / "state/curate/work").rglob("geometry.json"):
        package.unlink()  # as if these clips had not looked good when they were measured
    curate.run(PARAMS, workspace, 0)
    assert measured(workspace) == 8
    assert digest_tree(workspace.artifacts("curate")) == digest_tree(done.artifacts("curate"))


def test_a_new_clip_costs_one_clip_and_moves_no_other(
    base: Path, done: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from components.corpus.clips import make_clip

    workspace = copy(base, tmp_path)
    shutil.copytree(done.root / "state", tmp_path / "state")
    clip = make_clip(3, 3, seconds=SECONDS)
    (workspace.raw / "demo/zz_new.mp4").write_bytes(encode_video(clip.frames, clip.samples))
    ingest.run(SOURCES, workspace, 0)
    capsys.readouterr()
    curate.run(PARAMS, workspace, 0)
    said = capsys.readouterr().err
    assert "8 of 9 files are in the ledger already" in said and "curate: 1 in" in said
    before = read_parquet(done.artifacts("curate", "manifest.parquet"))
    after = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    assert len(after) == len(before) + 1
    same = after[after["file"] != "demo/zz_new.mp4"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, before)


def test_nothing_usable_and_changed_files_are_told(base: Path, done: Workspace, tmp_path: Path) -> None:
    workspace = copy(base, tmp_path)
    shutil.copytree(done.root / "state", tmp_path / "state")
    nothing = PARAMS.model_copy(update={"limits": Limits(**ANY_SYNC, min_seconds=60)})
    with pytest.raises(
        InputError, match="none of 9 clips can be used; the most frequent reason is 'too_short'"
    ):
        curate.run(nothing, workspace, 0)
    shutil.rmtree(tmp_path / "state")
    (workspace.raw / "demo/clean.mp4").write_bytes(b"something else")
    with pytest.raises(InputError, match="clean.mp4 changed since the inventory"):
        curate.run(PARAMS, workspace, 0)
    shutil.rmtree(workspace.artifacts("perception", "sync"))
    with pytest.raises(InputError, match="syncdreamer stage perception"):
        curate.run(PARAMS, workspace, 0)


def test_commands_explain_and_list(done: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from components.curation.commands import app, register

    (done.root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(done.root))
    target = typer.Typer()
    register(target)
    runner = CliRunner()
    listed = runner.invoke(app, ["list", "--reason", "too_short"])
    assert "demo/short.mp4" in listed.output and "clean" not in listed.output
    told = runner.invoke(app, ["explain", "short.mp4"])
    assert "rejected: too_short: duration is 0.8, wanted ≥ 2.0 s" in told.output
    assert "repaired: frame_rate: 20 → 25 fps" in runner.invoke(app, ["explain", "slow.mp4"]).output
    assert isinstance(runner.invoke(app, ["explain", "zzz"]).exception, InputError)
    assert runner.invoke(app, ["sheet", "duplicate", "--out", str(tmp_path / "s.png")]).exit_code == 0
    assert (tmp_path / "s.png").stat().st_size > 500
    table: pd.DataFrame = read_parquet(done.artifacts("curate", "manifest.parquet"))
    assert len(table) == 9


def test_a_talk_of_two_voices_is_cut_where_asked(tmp_path: Path) -> None:
    from components.corpus.faults import apply_fault

    workspace = Workspace(tmp_path)
    folder = workspace.raw / "demo"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("name: demo\nlicence: CC0-1.0\nconsent: true\n")
    (folder / "two.mp4").write_bytes(apply_fault("second_voice", 3, 3, seconds=9.0).data)
    save_untrained_models(workspace.artifacts("perception"))
    ingest.run(SOURCES, workspace, 0)
    with pytest.raises(InputError, match="second_voice"):
        curate.run(PARAMS, workspace, 0)
    curate.run(PARAMS.model_copy(update={"cut_speakers": True}), workspace, 0)
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet")).sort_values("start")
    assert table["outcome"].tolist() == ["cut", "cut"] and table["speakers"].tolist() == [1, 1]
    assert table["end"].iloc[0] == table["start"].iloc[1] == pytest.approx(0.45 * 9, abs=0.7)


def test_what_was_withdrawn_is_gone_with_its_copies_and_the_rest_stays(
    done: Workspace, tmp_path: Path
) -> None:
    from components.tracking.lineage import Index
    from components.tracking.takedown import affected
    from components.tracking.tombstones import Tombstone, add

    before = read_parquet(done.artifacts("curate", "manifest.parquet")).set_index("file")
    workspace = Workspace(tmp_path / "copy")
    shutil.copytree(done.root, workspace.root)
    (workspace.root / "params.yaml").write_text("curate:\n  workers: 1\n")
    one, two = before.loc["demo/clean.mp4", "clip_id"], before.loc["demo/cut.mp4", "clip_id"].iloc[0]
    stones = []
    with Index.of(workspace) as index:
        for clip_id in (one, two):
            clips, files = affected(workspace, index, "clip", clip_id)
            ids = tuple(clip.clip_id for clip in clips)
            stones.append(Tombstone("clip", clip_id, ids, files, "2026-01-01T00:00:00+00:00", "me"))
    digest = add(workspace, stones)
    curate.run(PARAMS.model_copy(update={"tombstones": digest}), workspace, 0)
    after = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    assert set(before["clip_id"]) - set(after["clip_id"]) == {
        one, two, before.loc["demo/a_copy.mp4", "clip_id"],
    }  # fmt: skip
    left = after.set_index("clip_id")["outcome"].to_dict()
    assert left == {k: v for k, v in before.set_index("clip_id")["outcome"].to_dict().items() if k in left}
    held = {sample.key for sample in read_shards(workspace.artifacts("curate", "shards"))}
    assert held == set(after.loc[after["decision"] == "keep", "clip_id"])
    with pytest.raises(InputError, match="tombstones"):
        curate.run(PARAMS, workspace, 0)
