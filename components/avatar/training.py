"""Trains a task with DeepSpeed on some ranks, as a process group of its own, and waits for it.

A job lives in a state folder keyed by everything that determines its result; the ranks (`worker.py`) write
checkpoints there, so an interrupted stage resumes bit-exactly and a finished job is not trained again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field

from components.avatar.launch import MEETING, announce, place, run_ranks
from components.avatar.params import LoopParams
from components.avatar.reshard import reshard
from components.core.errors import InputError, SyncDreamerError
from components.core.files import digest_sources, read_json, to_json, write_json
from components.core.params import Params
from components.core.paths import Workspace
from components.core.progress import say
from components.storage.mirror import FINISHED, Snapshot, mirrored

JOB, DONE, RESULT, HISTORY, CHECKPOINTS, FAILURE, SAMPLES = (
    "job.json", "done.json", "result", "history.jsonl", "checkpoints", "failure-%d.json", "samples",
)  # fmt: skip
WHOLE = "whole"
"""File in the checkpoints' folder: names the newest one that every rank has finished. (DeepSpeed writes its
own `latest` while other ranks may still be writing.)"""

ROOM = Path(__file__).parent
SOURCES = (
    ROOM / "scheduler",
    *(
        ROOM / f"{name}.py"
        for name in (
            "audio_dynamics", "averages", "backbones", "clips", "conditioning", "data", "framing",
            "generator", "localization_loss", "moments", "preview", "sampling", "transformer",
            "transformer_cogvideox", "vae", "vae_training", "visual_adapter", "worker",
        )
    ),
)  # fmt: skip
"""What decides the bytes of a result, besides a job's own fields."""


def code() -> str:
    """Digest of `SOURCES`: neither a result nor a checkpoint of other code is taken up."""
    return digest_sources(*SOURCES)


class Job(Params):
    """What the ranks are told, as JSON."""

    task: str = Field(description="module:Class of the task.")
    settings: dict[str, Any] = Field(description="Arguments of the task.")
    inputs: dict[str, str] = Field(description="Digests of what the task reads.")
    loop: dict[str, Any] = Field(description="LoopParams of the stage.")
    steps: int = Field(ge=0)
    learning_rate: float = Field(gt=0)
    ema: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(0, ge=0)
    seed: int = Field(ge=0)
    code: str = Field(default_factory=code, description="Digest of the code that decides the result.")

    @property
    def key(self) -> str:
        """16 hex digits over all of the job; another key is another result."""
        return hashlib.sha256(to_json(self.model_dump(mode="json")).encode()).hexdigest()[:16]


def loop_settings(params: LoopParams, workspace: Workspace) -> dict[str, Any]:
    """The loop's part of a stage's parameters; a DeepSpeed file is read in, so that it is part of the key.

    Raises:
        InputError: the DeepSpeed file is missing or not JSON.
    """
    stated = params.model_dump(mode="json")
    loop = {name: stated[name] for name in LoopParams.model_fields if name in stated}
    if params.deepspeed_config:
        loop["deepspeed_config"] = read_json(workspace.root / params.deepspeed_config)
    return loop


def per_rank(batch: int, ranks: int) -> int:
    """Samples of each rank.

    Raises:
        InputError: the batch is no multiple of the ranks.
    """
    if batch % ranks:
        raise InputError(f"batch {batch} is no multiple of ranks {ranks}")
    return batch // ranks


def newest_snapshot(folder: Path) -> Snapshot | None:
    """What a mirror must hold of a training: its result when it is done, else its newest checkpoint."""
    if (folder / DONE).exists():
        return Snapshot("done", FINISHED, (*_below(folder, folder / RESULT), HISTORY, DONE))
    marker = folder / CHECKPOINTS / WHOLE
    if not marker.exists():
        return None
    tag = marker.read_text(encoding="utf-8")
    files = (*_below(folder, folder / CHECKPOINTS / tag), HISTORY)
    texts = tuple((f"{CHECKPOINTS}/{name}", tag) for name in (WHOLE, "latest"))
    return Snapshot(tag, int(tag.removeprefix("step-")), files, texts)


def _below(folder: Path, place: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in place.rglob("*") if path.is_file())


def train(job: Job, state: Path, root: Path) -> Path:
    """Trains `job` (or goes on with it, or finds it done) below `state`; the task reads below `root`.

    Returns:
        The folder that holds `result/` (what the task saved) and `history.jsonl`.

    Raises:
        SyncDreamerError: a rank failed; the message is that rank's own, InputError stays InputError.
    """
    folder = state / job.key
    if (folder / DONE).exists():
        say(f"  {state.name}: training {job.key} is done already")
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("failure-*.json"):
        old.unlink()
    write_json(folder / JOB, job.model_dump(mode="json"))
    where = place()
    with mirrored(folder, f"{state.name}/{job.key}", newest_snapshot):
        if (folder / DONE).exists():
            return folder
        if job.loop.get("reshard") and not (folder / CHECKPOINTS / WHOLE).exists():
            reshard(folder)
        announce(where, state, job.key)
        status = run_ranks(where, int(job.loop["ranks"]), job.key, folder, root)
        (state / MEETING).unlink(missing_ok=True)
    failures = [read_json(path) for path in sorted(folder.glob("failure-*.json"))]
    if failures:
        kind = InputError if failures[0]["kind"] == "InputError" else SyncDreamerError
        raise kind(failures[0]["message"])
    if status or not (folder / DONE).exists():
        raise SyncDreamerError(
            f"training {state.name} ended with status {status}; its ranks' messages are above. "
            f"Checkpoints are kept: the same stage goes on from the last one"
        )
    return folder
