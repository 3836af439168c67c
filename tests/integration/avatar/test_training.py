"""DeepSpeed training: exact resume after kill -9, other numbers of ranks, and faults that are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from components.avatar.params import TrainStage1Params
from components.avatar.train_stage1 import run
from components.avatar.vae import PatchVAE
from components.core.errors import InputError, SyncDreamerError
from components.core.files import digest_file, read_jsonl
from components.core.media import read_image
from components.core.paths import Workspace

MODEL = {
    "layers": 1, "heads": 2, "head_dim": 12, "ffn_dim": 24, "identity_dim": 8,
    "identity_queries": ("mouth", "global"),
}  # fmt: skip
TINY = {
    "steps": 40, "batch": 4, "window": 3, "checkpoint_every": 5, "log_every": 8, "validation_windows": 4,
    "model": MODEL,
}  # fmt: skip
SHORT = TINY | {"steps": 20, "log_every": 4}
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
RESULTS = (TRANSFORMER, "adapter/diffusion_pytorch_model.safetensors", "history.jsonl", "metrics.json")


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
    until = time.monotonic() + 400
    while time.monotonic() < until:
        if list(workspace.state("train_stage1").glob("*/checkpoints/whole")):
            for process in ranks_of(str(workspace.root))[:1]:
                os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.005)


def beside(workspace: Workspace, folder: Path) -> Workspace:
    """Another workspace on the same encoded data."""
    other = Workspace(folder)
    (folder / "artifacts").mkdir()
    other.artifacts("encode").symlink_to(workspace.artifacts("encode"))
    return other


def interrupted(params: TrainStage1Params, workspace: Workspace) -> None:
    """Trains until a rank is killed after the first checkpoint."""
    watcher = threading.Thread(target=kill_a_rank_after_its_checkpoint, args=(workspace,))
    watcher.start()
    with pytest.raises(SyncDreamerError, match="goes on from the last one"):
        run(params, workspace, 7)
    watcher.join()
    assert not workspace.artifacts("train_stage1").exists()


def validation(workspace: Workspace) -> float:
    """The last validation loss, all digits."""
    return json.loads(workspace.artifacts("train_stage1", "metrics.json").read_text())["validation_loss_end"]


def resumes_to_the_same_bytes(values: dict, workspace: Workspace, folder: Path) -> None:
    params = TrainStage1Params.model_validate(values)
    interrupted(params, workspace)
    run(params, workspace, 7)
    straight = beside(workspace, folder)
    run(params, straight, 7)
    for name in RESULTS:
        resumed, whole = (digest_file(each.artifacts("train_stage1", name)) for each in (workspace, straight))
        assert resumed == whole, name
    rows = read_jsonl(straight.artifacts("train_stage1", "history.jsonl"))
    assert rows[-1]["step"] == values["steps"] and rows[-1]["validation_loss"] < rows[0]["validation_loss"]


def test_a_killed_run_resumes_to_the_same_bytes(workspace, tmp_path_factory):
    resumes_to_the_same_bytes(TINY, workspace, tmp_path_factory.mktemp("straight"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_twenty_steps_straight_are_those_of_a_killed_run(workspace, tmp_path_factory, stage):
    values = SHORT | {"zero_stage": stage}
    resumes_to_the_same_bytes(values, workspace, tmp_path_factory.mktemp("straight"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_zero_stages_and_numbers_of_ranks_agree(workspace, tmp_path_factory, stage):
    """1 rank × 4 without ZeRO, 2 ranks × 2 with it: the same loss and the same averaged weights."""
    one = beside(workspace, tmp_path_factory.mktemp("one"))
    run(TrainStage1Params.model_validate(SHORT | {"ranks": 1}), one, 7)
    run(TrainStage1Params.model_validate(SHORT | {"ranks": 2, "zero_stage": stage}), workspace, 7)
    assert validation(workspace) == pytest.approx(validation(one), rel=1e-5)
    mine, other = (load_file(each.artifacts("train_stage1", TRANSFORMER)) for each in (workspace, one))
    assert mine.keys() == other.keys()
    for name, tensor in mine.items():
        assert float((tensor - other[name]).abs().max()) < 2e-4, name


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_another_number_of_ranks_goes_on(workspace, tmp_path_factory, stage):
    """Begun on two ranks, killed, finished on one through the universal checkpoint."""
    values = SHORT | {"zero_stage": stage}
    interrupted(TrainStage1Params.model_validate(values), workspace)
    run(TrainStage1Params.model_validate(values | {"ranks": 1, "reshard": True}), workspace, 7)
    assert len(list(workspace.state("train_stage1").glob("*/checkpoints/whole"))) == 2
    straight = beside(workspace, tmp_path_factory.mktemp("straight"))
    run(TrainStage1Params.model_validate(values), straight, 7)
    assert validation(workspace) == pytest.approx(validation(straight), rel=1e-5)


def test_latents_that_make_the_loss_infinite_are_named(workspace):
    wild = {"ranks": 1, "learning_rate": 1e30, "gradient_clip": 1e30}
    params = TrainStage1Params.model_validate(TINY | wild)
    with pytest.raises(SyncDreamerError, match=r"at step \d+; clips of the batch: 0{15}"):
        run(params, workspace, 7)


def test_validations_in_between_leave_sheets_to_look_at(workspace):
    """Real and made, one over the other, of each held-out clip; the weights are those without sheets."""
    PatchVAE(channels=6, width=8).save_pretrained(workspace.artifacts("vae", "model"))
    params = TrainStage1Params.model_validate(SHORT | {"steps": 8, "validate_every": 4, "ranks": 1})
    run(params.model_copy(update={"sample_clips": 0}), workspace, 7)
    plain = digest_file(workspace.artifacts("train_stage1", TRANSFORMER))
    assert not workspace.artifacts("train_stage1", "samples").exists()
    shutil.rmtree(workspace.artifacts("train_stage1"))
    run(params.model_copy(update={"sample_clips": 2}), workspace, 7)
    sheets = sorted(workspace.artifacts("train_stage1", "samples").iterdir())
    assert [sheet.name for sheet in sheets] == ["step-000004.png", "step-000008.png"]
    assert read_image(sheets[0]).shape == (2 * 2 * 32, 7 * 32, 3)
    assert digest_file(workspace.artifacts("train_stage1", TRANSFORMER)) == plain


def test_a_batch_that_does_not_divide_is_told(workspace):
    with pytest.raises(InputError, match="no multiple of ranks"):
        run(TrainStage1Params.model_validate(TINY | {"batch": 3}), workspace, 7)


@pytest.mark.slow
def test_bf16_with_zero_2_trains_low_rank_changes_on_a_pretrained_backbone(workspace, tmp_path):
    """The shipped DeepSpeed file; what is saved is a plain transformer, its other weights the backbone's."""
    import torch
    from diffusers import WanTransformer3DModel

    from components.avatar import SyncDreamerTransformer3DModel

    torch.manual_seed(0)
    WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=6, out_channels=6,
        text_dim=10, freq_dim=16, ffn_dim=24, num_layers=1, rope_max_seq_len=32,
    ).save_pretrained(tmp_path / "wan")  # fmt: skip
    (workspace.root / "zero2.json").write_bytes(
        (Path(__file__).parents[3] / "infra" / "deepspeed" / "zero2_bf16.json").read_bytes()
    )
    values = SHORT | {
        "zero_stage": 2, "deepspeed_config": "zero2.json", "steps": 8, "gradient_checkpointing": True,
        "model": MODEL | {"backbone": str(tmp_path / "wan"), "lora_rank": 2},
    }  # fmt: skip
    run(TrainStage1Params.model_validate(values), workspace, 7)
    made = SyncDreamerTransformer3DModel.from_pretrained(workspace.artifacts("train_stage1", "transformer"))
    before = load_file(tmp_path / "wan" / "diffusion_pytorch_model.safetensors")
    changed = [
        name
        for name, tensor in before.items()
        if not torch.allclose(made.state_dict()[name].float(), tensor, atol=1e-2)
    ]
    assert all(".to_" in name for name in changed)
    assert any(float(t.abs().max()) > 0 for n, t in made.state_dict().items() if n.endswith("gate"))
