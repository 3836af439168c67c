"""One rank of SFT or GRPO under torchrun and DeepSpeed: `python -m components.enhancer.worker FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu" if not Path("/dev/nvidia0").exists() else "cuda")

import deepspeed.ops  # noqa: E402  (reads the accelerator's name at import)

from components.core.errors import SyncDreamerError  # noqa: E402
from components.core.files import read_json, write_json  # noqa: E402
from components.enhancer import ranks  # noqa: E402


def trainer_of(job: ranks.Job) -> tuple[Any, dict[str, str]]:
    """The trainer after its work, and the names of its history."""
    from components.enhancer import grpo, sft
    from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams

    pool, work = ranks.read_pool(job.folder), Path(job.work)
    if job.stage == sft.STAGE:
        params = EnhancerSftParams.model_validate(job.params)
        return sft.trained(pool, params, job.seed, work, job.stop_after)[0], sft.HISTORY
    from components.core.paths import Workspace
    from components.enhancer.scoring import Scorer

    settings = EnhancerGrpoParams.model_validate(job.params)
    scorer = Scorer.load(Workspace(Path(str(job.root))), settings.reward, settings.judge)
    trainer, _ = grpo.trained(Path(str(job.start)), pool, scorer, settings, job.seed, work, job.stop_after)
    return trainer, grpo.HISTORY


def main(folder: Path) -> int:
    """Trains this rank's share; rank 0 writes history and weights."""
    from components.enhancer.training import history_rows, write_history

    # Built at the first collective otherwise: a compiler for two minutes; gloo serves as well.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    first = os.environ.get("RANK", "0") == "0"
    job = ranks.Job(**read_json(folder / ranks.JOB))
    try:
        trainer, names = trainer_of(job)
    except SyncDreamerError as error:
        if first:
            write_json(folder / ranks.FAILURE, {"message": str(error)})
        return 1
    trainer.save_model(str(folder / ranks.WHOLE))  # every rank takes part: ZeRO 3 gathers here
    if first:
        write_history(folder / ranks.HISTORY, history_rows(trainer.state.log_history, names))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
