"""Two-rank DeepSpeed training: exact resume after kill -9 of a rank, and faults that are told."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from components.avatar.params import TrainStage1Params
from components.avatar.train_stage1 import run
from components.core.errors import InputError, SyncDreamerError
from components.core.files import digest_file, read_jsonl
from components.core.paths import Workspace

TINY = {
    "steps": 40, "batch": 4, "window": 3, "checkpoint_every": 5, "log_every": 5, "validation_windows": 4,
    "model": {
        "layers": 1, "heads": 2, "head_dim": 12, "ffn_dim": 24, "identity_dim": 8,
        "identity_queries": ("mouth", "global"),
    },
}  # fmt: skip


def ranks_of(folder: str) -> list[int]:
    """Process ids of the ranks that train below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        rank = b"components.avatar.worker" in command and b"torch.distributed.run" not in command
        if rank and any(part.decode().startswith(folder) for part in command):
            found.append(int(entry.parent.name))
    return found


def kill_a_rank_after_its_checkpoint(workspace: Workspace) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if list(workspace.state("train_stage1").glob("*/checkpoints/latest")):
            for process in ranks_of(str(workspace.root))[:1]:
                os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.005)


def test_a_killed_run_resumes_to_the_same_bytes(workspace, tmp_path_factory):
    params = TrainStage1Params.model_validate(TINY)
    watcher = threading.Thread(target=kill_a_rank_after_its_checkpoint, args=(workspace,))
    watcher.start()
    with pytest.raises(SyncDreamerError, match="goes on from the last one"):
        run(params, workspace, 7)
    watcher.join()
    assert not workspace.artifacts("train_stage1").exists()
    run(params, workspace, 7)

    straight = Workspace(tmp_path_factory.mktemp("straight"))
    (straight.root / "artifacts").mkdir()
    straight.artifacts("encode").symlink_to(workspace.artifacts("encode"))
    run(params, straight, 7)
    names = ("transformer/diffusion_pytorch_model.safetensors", "adapter/diffusion_pytorch_model.safetensors",
             "history.jsonl", "metrics.json")  # fmt: skip
    for name in names:
        resumed, whole = (digest_file(each.artifacts("train_stage1", name)) for each in (workspace, straight))
        assert resumed == whole, name
    rows = read_jsonl(straight.artifacts("train_stage1", "history.jsonl"))
    assert rows[-1]["step"] == 40 and rows[-1]["validation_loss"] < rows[0]["validation_loss"]


def test_latents_that_make_the_loss_infinite_are_named(workspace):
    wild = {"ranks": 1, "learning_rate": 1e30, "gradient_clip": 1e30}
    params = TrainStage1Params.model_validate(TINY | wild)
    with pytest.raises(SyncDreamerError, match=r"at step \d+; clips of the batch: 0{15}"):
        run(params, workspace, 7)


def test_a_batch_that_does_not_divide_is_told(workspace):
    with pytest.raises(InputError, match="no multiple of ranks"):
        run(TrainStage1Params.model_validate(TINY | {"batch": 3}), workspace, 7)
