"""Training that is lost with its machine goes on elsewhere from the S3 mirror, to the same bytes."""

from __future__ import annotations

import os
import signal

import pytest

from components.avatar.params import TrainStage1Params
from components.avatar.train_stage1 import run
from components.core.errors import SyncDreamerError
from components.core.files import digest_file
from components.core.paths import Workspace
from components.storage import mirror as mirroring
from components.storage.s3 import S3Client, S3Url
from tests.integration.avatar.test_training import TINY, ranks_of

STEPS = {"ranks": 2, "steps": 120, "checkpoint_every": 10}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # minutes on a busy machine
def test_a_lost_machines_training_goes_on_elsewhere(
    workspace: Workspace, bucket: S3Url, tmp_path_factory, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    params = TrainStage1Params.model_validate(TINY | STEPS)
    straight, elsewhere = (Workspace(tmp_path_factory.mktemp(name)) for name in ("straight", "elsewhere"))
    for other in (straight, elsewhere):
        other.artifacts().mkdir()
        other.artifacts("encode").symlink_to(workspace.artifacts("encode"))
    run(params, straight, 7)

    monkeypatch.setenv(mirroring.VARIABLE, str(bucket / "checkpoints"))
    monkeypatch.setattr(mirroring, "POLL_S", 0.02)
    really = mirroring.Mirror.store

    def store(self: mirroring.Mirror, *arguments) -> bool:
        stored = really(self, *arguments)
        for process in ranks_of(str(workspace.root)):
            os.kill(process, signal.SIGKILL)
        return stored

    with monkeypatch.context() as patched, pytest.raises(SyncDreamerError, match="goes on from the last one"):
        patched.setattr(mirroring.Mirror, "store", store)
        run(params, workspace, 7)
    capfd.readouterr()
    run(params, elsewhere, 7)
    assert "goes on from step-000" in capfd.readouterr().err
    names = ("transformer/diffusion_pytorch_model.safetensors", "history.jsonl", "metrics.json")
    for name in names:
        moved, whole = (digest_file(each.artifacts("train_stage1", name)) for each in (elsewhere, straight))
        assert moved == whole, name

    # A third machine finds it done: nothing is trained.
    third = Workspace(tmp_path_factory.mktemp("third"))
    third.artifacts().mkdir()
    third.artifacts("encode").symlink_to(workspace.artifacts("encode"))
    run(params, third, 7)
    assert "goes on from done" in capfd.readouterr().err
    assert digest_file(third.artifacts("train_stage1", names[0])) == digest_file(
        straight.artifacts("train_stage1", names[0])
    )
    assert not any("/step-" in row.url.key and row.size == 0 for row in S3Client().list(bucket / ""))
