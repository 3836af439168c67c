"""Variants side by side: one process each, as many at once as there are cores, each on one thread.

A small model's step is too short to be shared by two ranks (each does the whole optimizer step and waits for
the other's gradients): two trainings of one rank each, side by side, finish sooner than one after the other
on two ranks. What is done is kept, by content; killed, the same command goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import SyncDreamerError
from components.core.files import write_json
from components.core.paths import Workspace
from components.core.progress import say
from components.evaluation.ablations.variants import Training, kept, place
from components.evaluation.ablations.worker import task
from components.evaluation.peers.process import end_group
from components.evaluation.suites.case import Case

POLL_S = 0.5
TOLD, LOG = "task.json", "log.txt"
TAIL = 12

STEP_S, START_S, SPEECH_S, MEASURE_S = (0.20, 0.27), 35.0, 1.0, 1.5
"""Seconds a step of stage 1 and of stage 2, of starting and validating both, of a video spoken, and of a
video measured, each on one core. For the time told in advance only (docs/comparison.md: where measured)."""


@dataclass(frozen=True)
class Lane:
    """A training and what it says: system → cases."""

    job: Training
    speeches: dict[str, list[Case]]


@dataclass
class _Running:
    lane: Lane
    process: subprocess.Popen[bytes]
    log: Path
    begin: float


def lanes(wanted: int) -> int:
    """How many run at once: `wanted`, or one a core (one in all where there is a GPU) if it is 0."""
    if wanted:
        return wanted
    return 1 if Path("/dev/nvidia0").exists() else len(os.sched_getaffinity(0))


def expected_minutes(work: Sequence[Lane], extra_videos: int, workspace: Workspace, at_once: int) -> float:
    """Minutes that what is not done yet takes on a quiet machine, measuring included."""
    seconds = 0.0
    for lane in work:
        if not kept(lane.job, workspace):
            seconds += START_S + STEP_S[0] * lane.job.stage1.steps + STEP_S[1] * lane.job.stage2.steps
        videos = sum(len(cases) for cases in lane.speeches.values())
        seconds += videos * (SPEECH_S + MEASURE_S)
    return (seconds + extra_videos * MEASURE_S) / at_once / 60


def run_lanes(work: Sequence[Lane], workspace: Workspace, at_once: int) -> None:
    """Runs every lane to its end.

    Raises:
        SyncDreamerError: one failed; the message is its own, the others were ended and go on next time.
    """
    waiting, running = list(work), list[_Running]()
    spent: list[float] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0), workspace))
            time.sleep(POLL_S)
            for each in [one for one in running if one.process.poll() is not None]:
                running.remove(each)
                name = f"{each.lane.job.variant}, seed {each.lane.job.seed}"
                if each.process.returncode:
                    raise SyncDreamerError(f"{name} failed: {_last_words(each.log)}")
                spent.append(time.monotonic() - each.begin)
                left = sum(spent) / len(spent) * (len(work) - len(spent)) / at_once / 60
                say(f"  {name}: {spent[-1]:.0f} s; {len(spent)} of {len(work)} done, about {left:.0f} min of "
                    "trainings left")  # fmt: skip
    finally:
        for each in running:
            end_group(each.process)


def _start(lane: Lane, workspace: Workspace) -> _Running:
    root = place(lane.job, workspace)
    root.mkdir(parents=True, exist_ok=True)
    told = write_json(root / TOLD, task(lane.job, lane.speeches))
    if not kept(lane.job, workspace):
        say(f"  training {lane.job.variant}, seed {lane.job.seed} (log: {root / LOG})")
    code = str(Path(__file__).resolve().parents[3])
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
    }
    with (root / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "components.evaluation.ablations.worker", str(told), str(workspace.root)],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return _Running(lane, process, root / LOG, time.monotonic())


def _last_words(log: Path) -> str:
    """A worker's own message if it left one, else the end of its log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    message = next((line for line in reversed(lines) if line.startswith("error: ")), None)
    return message.removeprefix("error: ") if message else "\n".join([f"see {log}", *lines[-TAIL:]])
