"""Variants and the table with and without, by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.core.errors import InputError, SyncDreamerError
from components.core.files import write_json
from components.core.paths import Workspace
from components.evaluation.ablations import analysis, lanes, variants
from components.evaluation.comparison.measures import standard
from components.evaluation.comparison.scoring import Scored
from components.evaluation.peers.runner import Made
from components.evaluation.suites.case import Case


def scored(case, seed, **figures) -> Scored:
    one = Case(case, "portrait", "p", "en", "close-up", "speech", "nod", "P.", 25, Path())
    return Scored(Made("x", case, seed, Path("v"), "", 1.0, None), one, figures, {})


def cells(shift, cases=8, seeds=3, noise=0.0, name="sync_confidence", rng=None):
    rng = rng or np.random.default_rng(0)
    return [
        scored(f"c{case}", seed, **{name: 5 + case + shift + noise * rng.standard_normal()})
        for case in range(cases) for seed in range(seeds)
    ]  # fmt: skip


def test_each_part_changes_only_what_switches_it_off(tmp_path):
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(
            {"seed": 9, "train_stage1": {"steps": 7, "model": {"layers": 2}}, "train_stage2": {"steps": 5}}
        )
    )
    workspace = Workspace(tmp_path)
    assert variants.base_seed(workspace) == 9
    short = {"train_stage2": {"steps": 3}}
    full = variants.training(workspace, variants.FULL, 9, short)
    assert (full.stage1.steps, full.stage2.steps, full.stage1.model.layers) == (7, 3, 2)
    assert full.stage1.model.audio_window == 3 and full.stage1.model.identity_dim == 160

    def changed(part):
        made = variants.training(workspace, part, 9, short)
        found = {}
        for stage in ("stage1", "stage2"):
            a, b = (getattr(each, stage).model_dump() for each in (full, made))
            found |= {f"{stage}.{key}": b[key] for key in a if a[key] != b[key]}
        return found

    assert changed("localization") == {"stage1.localization_weight": 0.0, "stage2.localization_weight": 0.0}
    assert changed("audio_dynamics")["stage1.model"]["audio_window"] is None
    assert changed("visual_adapter")["stage1.model"]["identity_dim"] is None
    assert changed("visual_adapter")["stage1.model"]["layers"] == 2
    assert changed("enhancer") == {}
    with pytest.raises(InputError, match="no part is called 'adapter'; there are: localization"):
        variants.parts_named(["adapter"])
    with pytest.raises(InputError, match=r"params\.yaml: train_stage2: steps"):
        variants.training(workspace, variants.FULL, 9, {"train_stage2": {"steps": -1}})


def test_a_clear_difference_is_significant_and_noise_is_not():
    rows = [
        analysis.contrast(cells(2.0), cells(0.0, noise=0.1), "sync_confidence", 0, 500, 0.95),
        analysis.contrast(cells(0.0, noise=1.0), cells(0.0, noise=1.0, rng=np.random.default_rng(8)),
                          "sync_confidence", 0, 500, 0.95),
    ]  # fmt: skip
    clear, noise = analysis.judge(rows, 0.95)
    assert clear["difference"] == pytest.approx(2, abs=0.1) and (clear["clips"], clear["seeds"]) == (8, 3)
    assert clear["p"] == 2 / 2**8 and clear["p_adjusted"] == pytest.approx(4 / 2**8)
    assert clear["low"] > 1.5 and clear["significant"] and clear["reading"] == "significant: the part helps"
    assert not noise["significant"] and noise["reading"] == "no significant difference"


def test_lower_is_better_where_it_is():
    better = analysis.contrast(
        cells(-1.0, name="sync_distance"),
        cells(0.0, noise=0.01, name="sync_distance"),
        "sync_distance",
        0,
        200,
        0.95,
    )
    (row,) = analysis.judge([better], 0.95)
    assert row["reading"] == "significant: the part helps"


def test_clips_alone_do_not_make_a_difference_between_trainings_significant():
    """Every clip agrees, but one training of three carries it all: the crossed interval says so."""
    lucky = [
        scored(f"c{case}", seed, sync_confidence=9.0 if seed == 0 else 4.9)
        for case in range(8)
        for seed in range(3)
    ]
    plain = [scored(f"c{case}", seed, sync_confidence=5.0) for case in range(8) for seed in range(3)]
    row = analysis.contrast(lucky, plain, "sync_confidence", 0, 2000, 0.95)
    assert row["difference"] > 1 and row["p"] < 0.01 and row["low"] < 0 < row["high"]
    assert analysis.judge([row], 0.95)[0]["reading"] == "no significant difference"


def test_what_cannot_be_judged_is_said():
    one_seed = analysis.contrast(cells(1.0, seeds=1), cells(0.0, seeds=1), "sync_confidence", 0, 200, 0.95)
    nothing = analysis.contrast(cells(1.0), cells(0.0), "object_kept", 0, 200, 0.95)
    readings = [row["reading"] for row in analysis.judge([one_seed, nothing], 0.95)]
    assert readings == [
        "not judged: it takes two clips and two seeds",
        "not measured: no clip has this figure in both",
    ]
    assert analysis.for_people(analysis.judge([nothing], 0.95)[0])["with_shown"] == "–"


def test_tables_have_every_part_and_every_prompt():
    full = [
        scored(f"c{case}", seed, dino_proxy=80.0 + case, face_sim_proxy=70.0 + case, sync_confidence=6.0,
               aperture_correlation_own=0.5, beat_alignment=0.4, action_recognised=float(case % 2))
        for case in range(4) for seed in range(2)
    ]  # fmt: skip
    titles = {"localization": "L", "audio_dynamics": "A", "enhancer": "E"}
    rows = analysis.ablation_rows(
        {"full": full, **dict.fromkeys(titles, full)}, titles, {"sync": "toy@1"}, 0, 100, 0.95
    )
    named = {(row["key"], row["name"]) for row in rows}
    assert ("localization", "dino_proxy") in named and ("audio_dynamics", "beat_alignment") in named
    assert ("enhancer", "object_kept") in named and ("localization", "beat_alignment") not in named
    assert not any(row["significant"] for row in rows)
    assert next(row["network"] for row in rows if row["name"] == "sync_confidence") == "toy@1"
    prompts = analysis.prompt_rows({"enhanced": full, "manual": full, "minimal": full}, 0, 100, 0.95)
    assert prompts[0]["name"] == "action_recognised" and prompts[0]["means"]["manual"] == 0.5


def test_the_whole_ablation_with_trainings_that_are_given(tmp_path, monkeypatch):
    """Everything but nets and training: seeds, variants, prompts, tables, page."""
    from components.core.files import read_json, write_bytes
    from components.core.media import write_image, write_video, write_wav
    from components.evaluation.ablations import ablate as ablating
    from components.evaluation.ablations import pictures
    from components.evaluation.comparison.scoring import score
    from components.evaluation.suites.declaration import load_suite

    workspace = Workspace(tmp_path / "work")
    workspace.root.mkdir()
    (workspace.root / "params.yaml").write_text("seed: 5\n")
    for name in ("identity", "sync", "image_text", "attributes"):
        write_json(workspace.artifacts("perception", name, "config.json"), {"name": f"toy-{name}"})
        write_bytes(workspace.artifacts("perception", name, "model.safetensors"), name.encode())
    cases = []
    for number in range(3):
        one = Case(
            f"portrait-{number:02d}",
            "portrait",
            "p",
            "en",
            "close-up",
            "speech",
            "nod",
            "Nods.",
            25,
            tmp_path,
        )
        write_image(one.path("image"), np.full((32, 32, 3), 80 + number, np.uint8))
        for sound in ("audio", "clean", "other"):
            write_wav(one.path(sound), np.zeros(25 * 640, np.float32))
        for name, shade in (("truth", 240), ("copy", 30)):
            write_video(one.path(name), np.full((25, 32, 32, 3), shade + number, np.uint8))
        cases.append(one)
    trained, spoken = [], []

    def train(work, _, at_once):
        assert at_once == 2
        trained.extend((lane.job.variant, lane.job.seed) for lane in work)
        assert all(lane.job.stage1.ranks == lane.job.stage2.ranks == 1 for lane in work)

    def speak(lane, *_):
        made = []
        for variant, given in lane.speeches.items():
            seed = lane.job.seed
            spoken.append((variant, lane.job.variant, seed, given[0].prompt))
            for place, one in enumerate(given):
                video = tmp_path / "made" / f"{variant}-{seed}-{one.id}.mp4"
                shade = {"full": 200, "localization": 100}.get(variant, 200) + 3 * place + seed % 5
                write_video(video, np.full((25, 32, 32, 3), shade, np.uint8), crf=4)
                made.append(Made(variant, one.id, seed, video, "", 1.0, None))
        return made

    class Meter:
        def frames(self, video, output, one):
            return standard(video, output, one.frames)

        def measure(self, frames, one, sound="clean"):
            from components.evaluation.comparison.measures import Measured

            value = float(frames.mean())
            figures = {"sync_confidence": value, "dino_proxy": value / 3, "face_sim_proxy": 90.0}
            series = np.abs(np.sin(np.arange(len(frames)) / 3))
            names = ("aperture", "energy", "sound")
            return Measured(
                figures, dict.fromkeys(names, series) | {"embeddings": np.eye(3, dtype=np.float32)}
            )

    monkeypatch.setattr(ablating, "freeze", lambda *_: cases)
    for stage in ("encode", "vae"):
        write_json(workspace.artifacts(stage, "config.json"), {"name": stage})
    monkeypatch.setattr(ablating, "run_lanes", train)
    monkeypatch.setattr(ablating, "_spoken", speak)
    monkeypatch.setattr(
        ablating,
        "_manual",
        lambda given, _: [one.__class__(**{**vars(one), "prompt": "All."}) for one in given],
    )
    monkeypatch.setattr(ablating, "score", lambda m, c, w, o, n: score(m, c, w, o, meter=Meter()))
    write_image(tmp_path / "drawn" / "rhythm.png", np.zeros((8, 8, 3), np.uint8))
    drawn = [("Motion", "A note.", tmp_path / "drawn" / "rhythm.png")]
    monkeypatch.setattr(pictures, "draw", lambda *_: drawn)
    out = tmp_path / "out"
    request = ablating.Request(
        load_suite("ablation"),
        ("localization", "enhancer"),
        seeds=3,
        resamples=400,
        parallel=2,
        keep=tmp_path / "kept",
    )
    result = ablating.ablate(request, workspace, out)

    seeds = result["protocol"]["seeds"]
    assert seeds[0] == 5 and len(set(seeds)) == 3
    assert trained == [(variant, seed) for seed in seeds for variant in ("full", "localization")]
    assert ("enhancer", "full", 5, "nod") in spoken and ("manual", "full", 5, "All.") in spoken
    rows = {(row["key"], row["name"]): row for row in result["ablation"]["rows"]}
    sync = rows["localization", "sync_confidence"]
    assert sync["difference"] == pytest.approx(100, abs=2) and (sync["clips"], sync["seeds"]) == (3, 3)
    assert sync["low"] > 90 and not sync["significant"]  # three clips: p cannot fall below 1/4
    assert rows["enhancer", "object_kept"]["reading"].startswith("not measured")
    assert result["ablation"]["prompt_names"] == ["enhanced", "manual", "minimal"]
    assert read_json(out / "leaderboard.json")["ablation"]["seeds"] == 3
    page = (out / "index.html").read_text()
    assert (
        "Attention Localization Loss" in page
        and "no significant difference" in page
        and "73.8 → 74.2" in page
    )
    said = result["ablation"]["words"]
    assert said[0].startswith(
        "Attention Localization Loss: no significant difference. Not significant (3 trainings"
    )
    for folder in (out, tmp_path / "kept"):
        text = (folder / "README.md").read_text()
        assert said[0] in text and "| enhanced | manual | minimal |" in text
        assert "![Motion](pictures/rhythm.jpg)" in text and (folder / "pictures" / "rhythm.jpg").exists()
    assert read_json(tmp_path / "kept" / "ablation.json")["ablation"]["rows"]


def test_words_name_what_is_significant_and_what_is_not():
    rows = analysis.judge(
        [
            analysis.contrast(cells(2.0), cells(0.0, noise=0.1), "sync_confidence", 0, 500, 0.95),
            analysis.contrast(
                cells(0.0, name="dino_proxy"), cells(0.0, name="dino_proxy"), "dino_proxy", 0, 99, 0.95
            ),
            analysis.contrast(cells(1.0), cells(0.0), "object_kept", 0, 200, 0.95),
        ],
        0.95,
    )  # fmt: skip
    (text,) = analysis.in_words([row | {"part": "P"} for row in rows], 3, 8, 0.95)
    assert text.startswith("P: significant: Sync confidence 8.")
    assert "better with it" in text and "Not significant (3 trainings, 8 clips): DINO%, stand-in." in text
    assert text.endswith("Not measured: Held object kept.")
    assert analysis.in_words(rows, 1, 8, 0.95) == [
        "One training of each variant: no difference can be judged."
    ]


@pytest.fixture
def two_lanes(tmp_path, monkeypatch):
    """A workspace, two lanes, and a worker that does what its task's first speech says."""
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    workspace = Workspace(tmp_path)
    for stage in variants.UPSTREAM:
        (workspace.artifacts(stage)).mkdir(parents=True)
        (workspace.artifacts(stage) / "x").write_text(stage)
    jobs = [variants.training(workspace, name, 1, {}) for name in ("full", "localization")]

    def run(*programs, at_once=2):
        given = dict(zip([job.variant for job in jobs], programs, strict=True))

        def start(lane, where):
            log = tmp_path / f"{lane.job.variant}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [sys.executable, "-c", given[lane.job.variant]], stdout=file, stderr=subprocess.STDOUT,
                    start_new_session=True, cwd=where.root,
                )  # fmt: skip
            return lanes._Running(lane, process, log, time.monotonic())

        monkeypatch.setattr(lanes, "_start", start)
        lanes.run_lanes([lanes.Lane(job, {}) for job in jobs], workspace, at_once)

    return workspace, jobs, run


MEET = """
import pathlib, time
me, other = NAMES
pathlib.Path(me).touch()
until = time.monotonic() + 30
while not pathlib.Path(other).exists():
    assert time.monotonic() < until, "alone"
    time.sleep(0.02)
"""


def test_lanes_run_side_by_side(two_lanes):
    _, _, run = two_lanes
    run(MEET.replace("NAMES", "('a', 'b')"), MEET.replace("NAMES", "('b', 'a')"))  # each waits for the other


def test_a_lane_that_fails_ends_the_others_and_says_why(two_lanes, tmp_path):
    _, _, run = two_lanes
    long = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    fail = (
        "import pathlib, sys, time\nwhile not pathlib.Path('pid').exists(): time.sleep(0.02)\n"
        "print('error: loss is nan at step 3'); sys.exit(1)"
    )
    with pytest.raises(SyncDreamerError, match="localization, seed 1 failed: loss is nan at step 3"):
        run(long, fail)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_is_done_costs_nothing_more(two_lanes):
    workspace, jobs, _ = two_lanes
    work = [lanes.Lane(job, {}) for job in jobs]
    before = lanes.expected_minutes(work, 0, workspace, 2)
    assert before > 1
    assert lanes.expected_minutes(work, 0, workspace, 1) == pytest.approx(2 * before)
    for job in jobs:
        write_json(variants.place(job, workspace) / variants.DONE, {})
    assert lanes.expected_minutes(work, 0, workspace, 2) == 0
    assert variants.train(jobs[0], workspace) == variants.pipeline_of(jobs[0], workspace)
