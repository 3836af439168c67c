"""The builder: one plan, the same bytes for any number of workers and after any interruption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from components.core.files import digest_tree, read_json
from components.corpus.build import build_corpus, parse_faults, plan
from components.corpus.faults import FAULTS

ROOT = Path(__file__).parents[3]
RECIPE = (3, 2, 2, {"too_short": 2})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    build_corpus(*RECIPE, out, workers=2)
    return out


def test_the_demo_plan_holds_what_the_data_card_says() -> None:
    items = plan(7, 32, 110, parse_faults("all"))
    clean = [item for item in items if not item.fault]
    train = [item for item in clean if item.folder == "demo"]
    test = [item for item in clean if item.folder == "demo_test"]
    assert len(train) == 92 and len(test) == 18
    people, testers = {item.person for item in train}, {item.person for item in test}
    assert len(people) == 24 and len(testers) == 8 and not people & testers
    assert {item.person for item in items if item.fault} <= people
    close = [item for item in train if item.framing == "close-up"]
    assert all(sum(item.person == person for item in close) == 3 for person in people)
    assert sum(item.framing == "full body" for item in train) == 8
    assert sum(bool(item.recording) for item in items) == 4
    assert {item.pool for item in test} == {"test"} and {item.pool for item in train} == {"train"}
    assert {item.delivery for item in train} == {"speech", "emotional", "singing"}
    for kind in FAULTS:
        assert sum(item.fault == kind for item in items) == 2
    for item in (item for item in items if item.fault == "duplicate"):
        assert any(twin.seed == item.seed and twin.person == item.person for twin in train)
    assert len({item.stem for item in items}) == len(items)


def test_faults_are_read_from_text() -> None:
    assert parse_faults("none") == {} and parse_faults("all")["blur"] == 2
    assert parse_faults("blur:3, silence") == {"blur": 3, "silence": 1}
    with pytest.raises(InputError, match="'blurr'"):
        parse_faults("blurr:2")
    with pytest.raises(InputError, match="'two' is not a number"):
        parse_faults("blur:two")
    with pytest.raises(InputError, match="at least 2 identities"):
        plan(1, 1, 5, {})


def test_truth_and_sources_are_complete(corpus: Path) -> None:
    for folder, split in (("demo", "auto"), ("demo_test", "test")):
        source = yaml.safe_load((corpus / folder / "source.yaml").read_text())
        assert source["split"] == split and source["licence"] == "CC0-1.0" and source["consent"] is True
        for video in (corpus / folder).glob("*.mp4"):
            truth = read_json(corpus / "truth" / f"{video.stem}.json")
            assert truth["file"] == f"{folder}/{video.name}"
            assert str(truth["person"]) not in video.name
    told = [read_json(path)["expected"]["reason"] for path in sorted((corpus / "truth").glob("*.json"))]
    assert sorted(told) == ["", "", "too_short", "too_short"]


def test_one_worker_makes_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    build_corpus(*RECIPE, tmp_path, workers=1)
    assert digest_tree(tmp_path) == digest_tree(corpus)


def test_a_killed_build_goes_on_and_ends_alike(corpus: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from components.corpus.build import build_corpus; "
        f"build_corpus(3, 2, 2, {{'too_short': 2}}, Path({str(tmp_path)!r}), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("truth/*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("truth/*.json")}
    assert 1 <= len(done) < 4
    build_corpus(*RECIPE, tmp_path, workers=1)
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in done.items())
    assert digest_tree(tmp_path) == digest_tree(corpus)


def test_a_damaged_file_is_made_again_and_foreign_clips_are_refused(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "copy")
    video = sorted((tmp_path / "copy" / "demo").glob("*.mp4"))[0]
    video.write_bytes(b"half")
    build_corpus(*RECIPE, tmp_path / "copy", workers=1)
    assert digest_tree(tmp_path / "copy") == digest_tree(corpus)
    foreign = tmp_path / "foreign"
    (foreign / "demo").mkdir(parents=True)
    (foreign / "demo" / "holiday.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="another corpus"):
        build_corpus(4, 3, 3, {}, foreign, workers=1)
