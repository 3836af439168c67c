"""Stage train_stage2: sound added to stage 1's generator; the result generates on its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.avatar.encode import encoder_folders
from components.avatar.params import TrainStage2Params
from components.avatar.pipeline_files import AVATAR, ENCODERS, FOLDERS, STATISTICS, write_index
from components.avatar.train_stage1 import TASK, keep_history, task_settings
from components.avatar.training import RESULT, Job, loop_settings, train
from components.core.files import digest_tree, read_json, write_json
from components.core.paths import Workspace, require
from components.core.seeds import derive

MODULES = ("transformer", "adapter", "scheduler")


def run(params: TrainStage2Params, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/train_stage2/{pipeline/, new_tensors.json, metrics.json, history.jsonl}."""
    encoded = require(workspace.artifacts("encode"), "syncdreamer stage encode")
    first = require(workspace.artifacts("train_stage1"), "syncdreamer stage train_stage1")
    before = read_json(first / "config.json")
    settings = task_settings(params) | {
        "model": before["model"],
        "flow": before["flow"],
        "framings": list(params.framings),
        "audio": True,
        "start": "artifacts/train_stage1",
    }
    job = Job(
        task=TASK,
        settings=settings,
        inputs={"encode": digest_tree(encoded), "stage1": digest_tree(first)},
        loop=loop_settings(params, workspace),
        steps=params.steps,
        learning_rate=params.learning_rate,
        ema=params.ema,
        validate_every=params.validate_every,
        seed=derive(seed, "train_stage2"),
    )
    result = train(job, workspace.state("train_stage2"), workspace.root)
    out = workspace.artifacts("train_stage2")
    _assemble(params, workspace, result / RESULT, out / "pipeline")
    metrics = read_json(result / RESULT / "metrics.json")
    metrics["validation_loss_ratio"] = metrics["validation_loss_end"] / metrics["validation_loss_untrained"]
    write_json(out / "metrics.json", metrics)
    shutil.copy(result / RESULT / "new_tensors.json", out / "new_tensors.json")
    keep_history(result, out)


def _assemble(params: TrainStage2Params, workspace: Workspace, trained: Path, pipeline: Path) -> None:
    """The folder `SyncDreamerPipeline.from_pretrained` reads; nothing else is needed to generate."""
    for name in MODULES:
        shutil.copytree(trained / name, pipeline / name)
    encoded = workspace.artifacts("encode")
    weights = read_json(encoded / "config.json").get("weights", {})
    for name, folder in encoder_folders(workspace, weights).items():
        shutil.copytree(folder, pipeline / FOLDERS[name])
    shutil.copy(trained / STATISTICS, pipeline / STATISTICS)
    write_json(pipeline / ENCODERS, read_json(encoded / "config.json")["settings"])
    write_json(
        pipeline / AVATAR,
        {
            "window": params.window,
            "prefix_noise": params.prefix_noise,
            "steps": params.sampling_steps,
            "anchor_stride": params.anchor_stride,
            "guidance_text": params.guidance_text,
            "guidance_audio": params.guidance_audio,
            "guidance_focus": params.guidance_focus,
            "guidance_floor": params.guidance_floor,
            "hold": params.hold,
            "guidance_identity": params.guidance_identity,
        },
    )
    write_index(pipeline)
