"""How fast curation is: against a straightforward pipeline, with processes, on Ray, and with many clips.

The same clips and models in one run. Ratios of CPU time hold on a busy machine; what only the clock can tell
(two processes, Ray) is judged by the clock on a quiet machine: where the cores were not idle
before, the figure is printed and the CPU time is judged instead. CURATION_SPEED_CLIPS (default 1,000) is the
large set.
"""

from __future__ import annotations

import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from components.core.files import digest_tree
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation import curate, ingest
from components.curation.params import CurateParams, IngestParams, Limits, SourceParams
from tests.benchmarks.straightforward import STEPS
from tests.integration.curation.test_curate import ANY_SYNC, save_untrained_models

ROOT = Path(__file__).resolve().parents[2]
MANY = int(os.environ.get("CURATION_SPEED_CLIPS", "1000"))
FEW = max(20, MANY // 5)
SHOWN, LONG = 24, 4
"""Clips that the straightforward pipeline works on: a program for all of them, and a program for each."""
QUIET = 0.9
PARAMS = CurateParams(limits=Limits(**ANY_SYNC, max_yaw=90.0), workers=1, val_rate=0.0)


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and of computing, children included."""

    clock: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """What `work` takes; children count once they have ended."""

    def computed() -> float:
        uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(use.ru_utime + use.ru_stime for use in uses)

    clock, cpu = time.perf_counter(), computed()
    work()
    return Spent(time.perf_counter() - clock, computed() - cpu)


def quiet(cores: int = 2) -> bool:
    """Whether that many cores were idle in the last two seconds."""
    return sum(1 - used / 100 for used in psutil.cpu_percent(2.0, percpu=True)) >= QUIET * cores


def clips(folder: Path, count: int) -> list[Path]:
    """`count` short clips of talking faces, made cheaply: twelve rendered ones, moved, lit, re-voiced."""
    from components.corpus.clips import make_clip

    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("name: demo\nlicence: CC0-1.0\nconsent: true\n")
    made = [make_clip(seed, seed, seconds=2.4) for seed in range(12)]
    small = [
        np.stack([cv2.resize(frame, (144, 144), interpolation=cv2.INTER_AREA) for frame in clip.frames])
        for clip in made
    ]
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        frames = small[number % 12].astype(np.int16)
        frames = np.roll(frames, int(rng.integers(-10, 11)), axis=2) * rng.uniform(0.8, 1.1)
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        samples = made[int(rng.integers(12))].samples
        samples = np.roll(samples, int(rng.integers(len(samples)))) * rng.uniform(0.5, 1)
        path = folder / f"{number:04d}.mp4"
        path.write_bytes(encode_video(np.clip(frames, 0, 255).astype(np.uint8), samples.astype(np.float32)))
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return clips(tmp_path_factory.mktemp("clips") / "demo", MANY)


def workspace(folder: Path, files: list[Path]) -> Workspace:
    """A workspace after ingest, with these clips."""
    made = Workspace(folder)
    demo = made.raw / "demo"
    demo.mkdir(parents=True)
    for path in (*files, files[0].parent / "source.yaml"):
        (demo / path.name).hardlink_to(path)
    save_untrained_models(made.artifacts("perception"))
    ingest.run(IngestParams(sources=(SourceParams(path="demo"),)), made, 0)
    return made


def curated(made: Workspace, **how: object) -> Callable[[], object]:
    return lambda: curate.run(PARAMS.model_copy(update=how), made, 0)


def straightforward(files: list[Path], made: Workspace, out: Path, every: int, together: bool) -> None:
    """All steps over all files, a program a step, or a program a step and file."""
    out.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for group in [files] if together else [[path] for path in files]:
        for step in STEPS:
            command = [sys.executable, "-m", "tests.benchmarks.straightforward", step]
            command += [str(made.artifacts("perception")), str(out), str(every), *map(str, group)]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def test_decoding_once_beats_a_program_for_each_step(corpus: list[Path], tmp_path: Path) -> None:
    """All figures are CPU time with start-up and imports, clip by clip on one core."""
    rates = {}
    for name, count, every, together in (
        ("a program a step and clip", LONG, 0, False),
        ("a program a step, every frame looked at", SHOWN, 1, True),
        ("a program a step, looking where curation looks", SHOWN, 0, True),
    ):
        files = corpus[:count]
        made = workspace(tmp_path / f"{count}-{every}", files)
        ours = spent(curated(made)).cpu
        theirs = spent(lambda: straightforward(files, made, tmp_path / name, every, together)).cpu  # noqa: B023
        rates[name] = theirs / ours
        print(f"\n{name}: {theirs / count:.2f} s a clip, curation {ours / count:.2f} s: {rates[name]:.1f}×")
    assert rates["a program a step and clip"] >= 3
    assert rates["a program a step, every frame looked at"] >= 3


def test_two_processes_and_many_clips(corpus: list[Path], tmp_path: Path) -> None:
    """Two processes against one; a clip costs no more among many than among few."""
    one_quiet = quiet()
    one = workspace(tmp_path / "one", corpus[:FEW])
    single = spent(curated(one))
    two = workspace(tmp_path / "two", corpus[:FEW])
    double = spent(curated(two, workers=2))
    assert digest_tree(one.artifacts("curate")) == digest_tree(two.artifacts("curate"))
    many = spent(curated(workspace(tmp_path / "many", corpus)))
    by_clock, by_cpu = single.clock / double.clock, 2 * single.cpu / double.cpu
    print(
        f"\n{FEW} clips: one process {single.clock:.1f} s, two {double.clock:.1f} s: {by_clock:.2f}×; of "
        f"computing {single.cpu:.1f} and {double.cpu:.1f} s (two idle cores would allow {by_cpu:.2f}×)"
    )
    growth = (many.cpu / MANY) / (single.cpu / FEW)
    print(
        f"a clip among {MANY}: {many.cpu / MANY:.3f} s CPU, among {FEW}: {single.cpu / FEW:.3f} s: "
        f"{growth:.2f}×"
    )
    assert (by_clock if one_quiet else by_cpu) >= 1.7
    assert growth <= 1.05  # two measurements of one figure differ by some percent


def test_ray_on_one_machine(corpus: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clips through actors of a cluster of this machine, which is up before, as clusters are."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    files = corpus[: max(200, FEW)] if MANY >= 200 else corpus
    before = quiet()
    local = workspace(tmp_path / "local", files)
    ours = spent(curated(local, workers=2))
    distributed = workspace(tmp_path / "ray", files)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        theirs = spent(curated(distributed, workers=2, engine="ray"))
    finally:
        ray.shutdown()
    assert digest_tree(local.artifacts("curate")) == digest_tree(distributed.artifacts("curate"))
    told = "quiet machine" if before else "busy machine: not judged"
    print(
        f"\n{len(files)} clips: processes {ours.clock:.1f} s, Ray {theirs.clock:.1f} s: "
        f"{theirs.clock / ours.clock:.2f}× ({told})"
    )
    if before:
        assert theirs.clock <= 1.25 * ours.clock
