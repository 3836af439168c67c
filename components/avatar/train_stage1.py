"""Stage train_stage1: text to video on all framings, without sound: a prior of motion and scenes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from components.avatar.params import TrainParams, TrainStage1Params
from components.avatar.training import HISTORY, RESULT, SAMPLES, Job, loop_settings, per_rank, train
from components.core.files import digest_tree
from components.core.paths import Workspace, require
from components.core.seeds import derive

TASK = "components.avatar.generator:GeneratorTask"


def run(params: TrainStage1Params, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/train_stage1/ (transformer, adapter, scheduler, metrics.json, history.jsonl …)."""
    encoded = require(workspace.artifacts("encode"), "syncdreamer stage encode")
    settings = task_settings(params) | {
        "model": params.model.model_dump(mode="json"),
        "flow": params.flow.model_dump(mode="json"),
        "framings": None,
        "audio": False,
        "start": None,
    }
    job = Job(
        task=TASK,
        settings=settings,
        inputs={"encode": digest_tree(encoded)},
        loop=loop_settings(params, workspace),
        steps=params.steps,
        learning_rate=params.learning_rate,
        ema=params.ema,
        validate_every=params.validate_every,
        seed=derive(seed, "train_stage1"),
    )
    result = train(job, workspace.state("train_stage1"), workspace.root)
    out = workspace.artifacts("train_stage1")
    shutil.copytree(result / RESULT, out, dirs_exist_ok=True)
    keep_history(result, out)


def keep_history(result: Path, out: Path) -> None:
    """Copies the losses, and the sheets of samples where there are any."""
    shutil.copy(result / HISTORY, out / HISTORY)
    if (result / SAMPLES).exists():
        shutil.copytree(result / SAMPLES, out / SAMPLES)


def task_settings(params: TrainParams) -> dict[str, Any]:
    """What both stages tell the task."""
    names = (
        "window", "batch", "drop", "prefix_noise", "localization_weight", "gradient_checkpointing",
        "validation_windows", "sample_clips", "plain_text", "near_reference",
    )  # fmt: skip
    settings = {name: getattr(params, name) for name in names}
    settings["sampling_steps"] = getattr(params, "sampling_steps", 1)
    settings["drop_text"] = params.drop if params.drop_text is None else params.drop_text
    return settings | {"encode": "artifacts/encode", "per_rank": per_rank(params.batch, params.ranks)}
