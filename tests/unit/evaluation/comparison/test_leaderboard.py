"""From single videos to the table and the page, with figures made by hand; no network is loaded."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from components.core.files import read_json, read_parquet, write_bytes, write_json
from components.core.media import write_image, write_video, write_wav
from components.core.paths import Workspace
from components.evaluation.comparison import compare as comparing
from components.evaluation.comparison import table
from components.evaluation.comparison.compare import Request, compare
from components.evaluation.comparison.measures import Measured, motion_energy, peaks, rhythm, standard
from components.evaluation.comparison.scoring import Scored, score
from components.evaluation.comparison.systems import reference_rows
from components.evaluation.peers.declaration import Output, Panel
from components.evaluation.peers.runner import Made
from components.evaluation.suites.case import Case
from components.evaluation.suites.declaration import Suite


def case(name="portrait-00", kind="portrait", folder=Path(), snr=None, framing="close-up") -> Case:
    return Case(name, kind, "p", "en", framing, "speech", "nod", "P.", 25, folder, snr)


def scored(system, one, seed, arrays=None, reason="", **figures) -> Scored:
    video = None if reason else Path("v.mp4")
    return Scored(Made(system, one.id, seed, video, reason, 1.0, 2.0), one, figures, arrays or {})


def test_a_peers_panel_and_lead_are_cut_out(tmp_path):
    columns = [np.full((40, 24, 30, 3), shade, np.uint8) for shade in (40, 120, 220)]
    grid = np.zeros((40, 28, 98, 3), np.uint8)  # make_grid: 2 px around and between
    for place, column in enumerate(columns):
        grid[:, 2:26, 2 + place * 32 : 32 + place * 32] = column
    grid[:10, 2:26, 66:96] = 150
    write_video(tmp_path / "grid.mp4", grid, crf=4)
    output = Output(pattern="-", panel=Panel(columns=3, column=2, padding=2), lead_s=0.4)
    cut = standard(tmp_path / "grid.mp4", output, 100)
    assert cut.shape == (30, 24, 30, 3)
    inner = cut[:, 4:-4, 4:-4].astype(float)
    assert abs(inner.mean() - 220) < 3 and inner.std() < 3
    assert len(standard(tmp_path / "grid.mp4", None, 12)) == 12


def test_rhythm_by_hand():
    frames = np.zeros((50, 8, 8, 3), np.uint8)
    sound = np.zeros(50 * 640, np.float32)
    for beat in (10, 25, 40):  # the picture jumps in the frame in which the sound begins
        frames[beat:] += 60
        sound[beat * 640 : (beat + 4) * 640] = 0.5
    energy = motion_energy(frames)
    assert energy[10] == pytest.approx(60, abs=0.1) and energy[11] == 0
    assert len(peaks(energy)) == 3 and np.abs(peaks(energy) - [0.4, 1.0, 1.6]).max() <= 0.05
    assert rhythm(energy, sound) == pytest.approx(1.0, abs=0.3)
    assert rhythm(energy, np.roll(sound, 5 * 640)) < 0.1
    assert math.isnan(rhythm(np.zeros(50), sound)) and math.isnan(rhythm(energy, np.zeros_like(sound)))


def test_seeds_of_a_case_count_once_and_pairs_are_tested():
    cases = [case(f"portrait-{number:02d}") for number in range(8)]
    rows = []
    for number, one in enumerate(cases):
        for seed in (1, 2):
            rows.append(scored("ours", one, seed, sync_confidence=5.0 + number + 0.1 * seed))
            if number:
                rows.append(scored("theirs", one, seed, sync_confidence=3.0 + number + 0.1 * seed))
            else:
                rows.append(scored("theirs", one, seed, reason="out of time"))
        rows.append(scored("even", one, 1, sync_confidence=5.15 + number + 0.01 * (-1) ** number))
    board = {(r["system"], r["name"]): r for r in table.leaderboard(rows, 0, 300, 0.95, "ours")}
    ours, theirs, even = (board[name, "sync_confidence"] for name in ("ours", "theirs", "even"))
    assert (ours["n"], ours["missing"], ours["value"]) == (8, 0, pytest.approx(8.65))
    assert (theirs["n"], theirs["missing"], theirs["pairs"]) == (7, 1, 7)
    assert theirs["difference"] == pytest.approx(-2.0) and theirs["p"] == 2 / 2**7
    assert theirs["p_adjusted"] == pytest.approx(4 / 2**7) and theirs["significant"]
    assert not even["significant"] and even["p"] == 1.0 and "p" not in ours
    assert board["ours", "psnr"]["value"] is None and board["ours", "psnr"]["n"] == 0
    assert table.missing(rows) == [{"system": "theirs", "reason": "out of time", "videos": 2}]


def test_distances_breakdown_and_robustness():
    rng = np.random.default_rng(2)
    rows = []
    for number in range(4):
        one = case(
            f"noisy-{number:02d}",
            "noisy_audio",
            snr=(0.0, 10.0)[number % 2],
            framing=("close-up", "full body")[number // 2],
        )
        real = rng.normal(size=(30, 3)).astype(np.float32)
        rows.append(scored("ground_truth", one, 0, {"embeddings": real}, sync_confidence=8.0))
        rows.append(scored("near", one, 1, {"embeddings": real}, sync_confidence=float(number)))
        rows.append(scored("far", one, 1, {"embeddings": real + 3}, sync_confidence=1.0))
    board = {(r["system"], r["name"]): r for r in table.leaderboard(rows, 0, 200, 0.95, "near")}
    assert abs(board["near", "fid_proxy"]["value"]) < 1e-3
    assert board["far", "fid_proxy"]["value"] == pytest.approx(27, rel=0.02)  # 3 dimensions moved by 3
    assert board["ground_truth", "fid_proxy"]["value"] is None  # against itself it says nothing
    kinds = {(r["by"], r["group"], r["system"]): r["value"] for r in table.by_kind(rows, ["sync_confidence"])}
    assert kinds["framing", "close-up", "near"] == 0.5 and kinds["framing", "full body", "near"] == 2.5
    assert table.robustness(rows, "sync_confidence")["near"] == [(0.0, 1.0), (10.0, 2.0)]


class FakeMeter:
    """Brightness of the video is its sync confidence; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def frames(self, video, output, one):
        return standard(video, output, one.frames)

    def measure(self, frames, one, sound="clean"):
        self.asked.append((one.id, sound))
        value = float(frames.mean())
        series = np.abs(np.sin(np.arange(len(frames)) / 3))
        return Measured(
            {"sync_confidence": value, "face_sim_proxy": math.nan, "face_rate": 1.0},
            {
                "embeddings": np.eye(4, dtype=np.float32)[:2],
                "aperture": series,
                "energy": series,
                "sound": series,
            },
        )


@pytest.fixture
def workspace(tmp_path):
    """A workspace whose perception models exist by name only."""
    made = Workspace(tmp_path / "work")
    for name in ("identity", "sync", "image_text", "attributes"):
        write_json(made.artifacts("perception", name, "config.json"), {"name": f"toy-{name}"})
        write_bytes(made.artifacts("perception", name, "model.safetensors"), name.encode())
    return made


def files_of(one: Case) -> Case:
    write_image(one.path("image"), np.full((32, 24, 3), 80, np.uint8))
    sound = (0.1 * np.random.default_rng(1).standard_normal(25 * 640)).astype(np.float32)
    for name in ("audio", "clean", "other"):
        write_wav(one.path(name), sound)
    for name, shade in (("truth", 200), ("copy", 120)):
        write_video(one.path(name), np.full((25, 32, 24, 3), shade, np.uint8), crf=4)
    return one


def test_a_video_is_measured_once_whoever_asks(tmp_path, workspace):
    one = files_of(case(folder=tmp_path))
    made = reference_rows([one])
    meter = FakeMeter()
    first = score(made, [one], workspace, comparing.Options(), meter=meter)  # type: ignore[arg-type]
    assert [each.made.system for each in first] == [each.system for each in made]
    assert sorted(meter.asked) == sorted([(one.id, "clean")] * 3 + [(one.id, "other")])
    values = {each.made.system: each.figures["sync_confidence"] for each in first}
    shades = {"ground_truth": 200, "ground_truth_control": 200, "still": 80, "copy_reference": 120}
    assert values == pytest.approx(shades, abs=2)  # the codec rounds
    score(made, [one], workspace, comparing.Options(), meter=meter)  # type: ignore[arg-type]
    assert len(meter.asked) == 4
    score(made, [one], workspace, comparing.Options(size=96), meter=meter)  # type: ignore[arg-type]
    assert len(meter.asked) == 8
    write_bytes(workspace.artifacts("perception", "sync", "model.safetensors"), b"another net")
    score(made, [one], workspace, comparing.Options(), meter=meter)  # type: ignore[arg-type]
    assert len(meter.asked) == 12


def test_the_whole_comparison_of_given_videos(tmp_path, workspace, monkeypatch):
    data, given = tmp_path / "data", tmp_path / "given"
    given.mkdir()
    for name, shade in (("a", 100), ("b", 150)):
        path = data / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        noise = (0.1 * np.random.default_rng(shade).standard_normal(40 * 640)).astype(np.float32)
        write_video(path, np.full((40, 32, 32, 3), shade, np.uint8), noise)
    suite = Suite.model_validate(
        {
            "title": "Two <clips>", "name": "two", "seeds": [4],
            "groups": [
                {"kind": "portrait", "clips": [
                    {"video": f"{name}.mp4", "prompt": "Says <b>hello</b> & nods."} for name in "ab"]},
            ],
        }
    )  # fmt: skip
    write_video(given / "portrait-00.mp4", np.full((40, 32, 32, 3), 50, np.uint8))
    meter = FakeMeter()
    monkeypatch.setattr(
        comparing,
        "score",
        lambda made, cases, w, options, workers: score(made, cases, w, options, meter=meter),
    )
    out = tmp_path / "out"
    request = Request(suite, peers=("hallo",), videos={"theirs": given}, data=data, ours=False, resamples=200)
    result = compare(request, workspace, out)

    assert read_json(out / "leaderboard.json")["rows"] == result["rows"]
    board = {(row["system"], row["name"]): row for row in result["rows"]}
    assert board["theirs", "sync_confidence"]["value"] == pytest.approx(50, abs=1)
    assert board["theirs", "sync_confidence"]["missing"] == 1
    assert board["ground_truth", "sync_confidence"]["n"] == 2
    assert all(row["provenance"] == "measured" for row in result["rows"])
    assert board["theirs", "sync_confidence"]["network"].startswith("toy-sync@")
    reasons = {(row["system"], row["reason"]) for row in result["missing"]}
    assert ("theirs", "no file portrait-01-s4.mp4 or portrait-01.mp4") in reasons
    assert ("hallo", "not installed (no section in the installations file)") in reasons
    told = result["protocol"]
    assert told["seeds"] == [4] and told["crop"].startswith("independent") and told["fps"] == 25
    assert told["networks"]["identity"].startswith("toy-identity@")

    items = read_parquet(out / "items.parquet")
    assert len(items) == 2 * (1 + 1 + 4) and items["face_sim_proxy"].isna().all()
    page = (out / "index.html").read_text()
    assert "Two &lt;clips&gt;" in page and "Says &lt;b&gt;hello" in page and "<b>hello" not in page
    assert "published" in page and "52.8" in page and "ground truth, shuffled audio" in page
    assert len(re.findall(r"<video src=\"data:video/mp4", page)) == 1 + 4
    assert not re.findall(r"""(?:src|href)=["'](?!data:|\#)""", page)
