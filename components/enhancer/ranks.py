"""SFT and GRPO on several ranks of this machine: torchrun starts them, DeepSpeed (ZeRO) joins them.

The ranks get the job as files below the work folder (parameters, pictures), so that what one process trains
and what several train is the same code: `sft.trained`, `grpo.trained`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import SyncDreamerError, TemporaryFailure
from components.core.files import read_json, read_jsonl, write_json
from components.enhancer.params import RanksParams

if TYPE_CHECKING:
    from components.enhancer.model import Enhancer
    from components.enhancer.pairs import Pool

JOB, POOL, PICTURES, WHOLE, HISTORY, FAILURE = (
    "job.json", "pool.json", "pictures.npy", "whole", "history.jsonl", "failure.json",
)  # fmt: skip
FOLDER = "ranks"
"""Below the work folder; a trainer's checkpoints lie beside it."""


@dataclass(frozen=True)
class Job:
    """What every rank is told. `start`: GRPO's SFT model; `root`: the workspace that its scorer reads."""

    stage: str
    params: dict[str, Any]
    seed: int
    work: str
    stop_after: int | None = None
    start: str | None = None
    root: str | None = None

    @property
    def folder(self) -> Path:
        """Where the job, its pictures and its result lie."""
        return Path(self.work) / FOLDER


def settings(params: RanksParams) -> dict[str, Any]:
    """The trainer's arguments beside those of one process."""
    if params.count == 1:
        return {}
    zero = {
        "stage": params.zero_stage,
        "stage3_gather_16bit_weights_on_model_save": True,
        "stage3_param_persistence_threshold": 0,
    }
    return {
        "deepspeed": {
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "gradient_clipping": "auto",
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 1_000_000_000,
        }
    }


def reads_weights(checkpoint: Path) -> bool:
    """Whether a checkpoint's whole weights are to be loaded by us: DeepSpeed loads its own."""
    return (checkpoint / "model.safetensors").exists() and not (checkpoint / "latest").exists()


def run(job: Job, pool: Pool) -> list[dict[str, float]]:
    """Trains in the ranks, to the end; returns the rows of the history.

    Raises:
        SyncDreamerError: what a rank raised; TemporaryFailure: the ranks ended without saying why.
    """
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILURE).unlink(missing_ok=True)
    write_json(
        folder / POOL,
        {"attributes": pool.attributes, "framings": pool.framings, "clips": pool.clips.tolist()},
    )
    np.save(folder / PICTURES, pool.images, allow_pickle=False)
    write_json(folder / JOB, asdict(job))
    code = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
    }
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node",
        str(job.params["ranks"]["count"]), "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        "--local-addr", "127.0.0.1", "--max-restarts", "0", "-m", "components.enhancer.worker", str(folder),
    ]  # fmt: skip
    status = subprocess.run(command, env=environment, check=False).returncode
    if status:
        if (folder / FAILURE).exists():
            raise SyncDreamerError(f"{job.stage}: {read_json(folder / FAILURE)['message']}")
        raise TemporaryFailure(f"{job.stage}: a rank ended with exit status {status} (its output is above)")
    return read_jsonl(folder / HISTORY)


def result(work: Path, start: Enhancer) -> Enhancer:
    """What the ranks trained. `start`: what they began with, for updates to be merged into."""
    from components.enhancer import adapters
    from components.enhancer.model import Enhancer

    folder = work / FOLDER / WHOLE
    if (folder / adapters.WEIGHTS).exists():
        return Enhancer(adapters.whole_from(start.model, folder).eval(), start.processor)
    return Enhancer(Enhancer.load(folder, start.processor).model.eval(), start.processor)


def read_pool(folder: Path) -> Pool:
    """The pictures of a job."""
    from components.enhancer.pairs import Pool

    told = read_json(folder / POOL)
    return Pool(
        np.load(folder / PICTURES, mmap_mode="r", allow_pickle=False),
        told["attributes"],
        told["framings"],
        np.array(told["clips"], dtype=bool),
    )
