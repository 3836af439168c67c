"""One rank of a training job: the DeepSpeed loop. Started by torchrun through `training.train`."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("DS_ACCELERATOR", "cpu" if not Path("/dev/nvidia0").exists() else "cuda")

import deepspeed  # noqa: E402  (reads the accelerator's name at import)
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from components.avatar.averages import make_average, whole_weights  # noqa: E402
from components.avatar.data import on_device  # noqa: E402
from components.avatar.reshard import is_universal  # noqa: E402
from components.avatar.training import (  # noqa: E402
    CHECKPOINTS,
    DONE,
    FAILURE,
    HISTORY,
    JOB,
    RESULT,
    SAMPLES,
    WHOLE,
    Job,
)
from components.core.errors import SyncDreamerError  # noqa: E402
from components.core.files import (  # noqa: E402
    append_jsonl,
    read_json,
    read_jsonl,
    to_json,
    write_json,
    write_text,
)
from components.core.media import write_image  # noqa: E402
from components.core.progress import track  # noqa: E402
from components.core.seeds import derive, seed_everything, single_thread  # noqa: E402

TOTALS = "totals-%d.json"
Batch = dict[str, Any]
Losses = dict[str, Tensor]


class Task(Protocol):
    """What is trained. Built as `Class(settings, root, seed, rank, ranks)`, alike in every rank."""

    module: nn.Module

    def batch(self, step: int, rank: int) -> Batch:
        """The rank's part of a step's batch, by seed, step and rank alone; "clip_ids" names its clips."""

    def losses(self, module: Callable[..., Any], batch: Batch) -> Losses:
        """Scalars; "loss" is minimised."""

    def validate(self, module: nn.Module, rank: int, ranks: int) -> Losses:
        """Sums over this rank's share of the validation samples, with their "count"."""

    def preview(self) -> Any:
        """A picture (H,W,3) uint8 of what the weights make now, or None; alike in every rank."""

    def validate_untrained(self, rank: int, ranks: int) -> Losses | None:
        """The same of the weights before any training, or None where that is the start itself."""

    def save(self, module: nn.Module, folder: Path, facts: dict[str, float]) -> None:
        """Writes the result (rank 0, with the weights to keep)."""


def deepspeed_settings(job: Job, universal: bool = False) -> dict[str, Any]:
    """DeepSpeed's configuration: plain fp32 unless the job's own file says otherwise.

    universal: the checkpoint to load was made on another number of ranks.
    """
    built_in = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": job.loop["gradient_clip"],
        "zero_optimization": {"stage": job.loop["zero_stage"]},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }
    if universal:
        built_in["checkpoint"] = {"load_universal": True}
    return built_in | (job.loop["deepspeed_config"] or {})


def rate(job: Job, step: int) -> float:
    """Learning rate of a step (0-based): linear warm-up, then cosine to 0."""
    warm = max(1, round(job.steps * job.loop["warm_up"]))
    if step < warm:
        return job.learning_rate * (step + 1) / warm
    return job.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, job.steps - warm)))


class Loop:
    """The training of one job in one rank."""

    def __init__(self, job: Job, folder: Path, root: Path) -> None:
        self.job, self.folder = job, folder
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        seed_everything(derive(job.seed, "build"))
        module, name = job.task.split(":")
        self.task: Task = getattr(import_module(module), name)(
            job.settings, root, job.seed, self.rank, self.ranks
        )
        self.module = self.task.module.train()
        weights = [tensor for tensor in self.module.parameters() if tensor.requires_grad]
        optimizer = torch.optim.AdamW(
            weights,
            lr=job.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=job.loop["weight_decay"],
            fused=True,
        )
        settings = deepspeed_settings(job, is_universal(folder / CHECKPOINTS))
        self.zero_stage = int(settings["zero_optimization"].get("stage", 0))
        # ZeRO 3 takes the weights apart: the untrained ones are measured before that.
        self.untrained = self._untrained() if self.zero_stage == 3 else None
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=self.module, optimizer=optimizer, model_parameters=weights, config=settings
        )
        self.average = make_average(self.module, job.ema, self.zero_stage) if job.ema else None
        self.done = 0
        self.totals: Losses = {}
        """Sums of this rank's losses since the last line of the history, with their "count"."""
        self._resume()

    def _resume(self) -> None:
        folder = self.folder / CHECKPOINTS
        if not (folder / WHOLE).exists():
            if self.rank == 0:
                (self.folder / HISTORY).unlink(missing_ok=True)
            dist.barrier()
            return
        tag = (folder / WHOLE).read_text(encoding="utf-8").strip()
        _, kept = self.engine.load_checkpoint(str(folder), tag=tag)
        self.done = int(kept["step"])
        if self.average is not None:
            self.average.load(folder / tag)
        for place in itertools.count(self.rank, self.ranks):  # those of other ranks too, if there were more
            path = folder / tag / (TOTALS % place)
            if not path.exists():
                break
            for name, value in read_json(path).items():
                self.totals[name] = self.totals.get(name, torch.zeros(())) + value
        if self.rank == 0:
            rows = [row for row in read_jsonl(self.folder / HISTORY) if row["step"] <= self.done]
            write_text(self.folder / HISTORY, "".join(to_json(row, indent=None) + "\n" for row in rows))

    def _checkpoint(self) -> None:
        folder, tag = self.folder / CHECKPOINTS, f"step-{self.done:06d}"
        totals = {name: float(value) for name, value in self.totals.items()}
        write_json(folder / tag / (TOTALS % self.rank), totals)
        if self.average is not None:
            self.average.save(folder / tag)
        self.engine.save_checkpoint(str(folder), tag=tag, client_state={"step": self.done})
        if self.rank == 0:  # saving ends with a barrier: every rank's files are whole
            write_text(folder / WHOLE, tag)

    def _untrained(self) -> dict[str, float] | None:
        """Validation of the weights before any training, or None where that is the start itself."""
        if (self.folder / CHECKPOINTS / WHOLE).exists():
            return None
        with torch.no_grad():
            sums = self.task.validate_untrained(self.rank, self.ranks)
        return None if sums is None else self._shared(sums)

    def _step(self) -> Losses:
        batch = on_device(self.task.batch(self.done, self.rank), self.engine.device)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.job, self.done)
        losses = self.task.losses(self.engine, batch)
        if not bool(torch.isfinite(losses["loss"])):
            clips = ", ".join(sorted(set(batch["clip_ids"])))
            raise SyncDreamerError(
                f"loss is {float(losses['loss'])} at step {self.done}; clips of the batch: {clips}"
            )
        self.engine.backward(losses["loss"])
        self.engine.step()
        if self.average is not None:
            self.average.update(self.done)
        self.done += 1
        return {name: value.detach() for name, value in losses.items()}

    def _shared(self, sums: Losses) -> dict[str, float]:
        """Sums over the ranks, divided by "count", rounded to 6 digits."""
        names = sorted(sums)
        # NCCL sums on the GPU alone; before DeepSpeed starts there is no engine yet.
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else "cpu"
        packed = torch.stack([sums[name].double().to(device) for name in names])
        dist.all_reduce(packed)
        values = dict(zip(names, packed.tolist(), strict=True))
        count = values.pop("count")
        return {name: float(f"{value / count:.6g}") for name, value in values.items()}

    def _validate(self, shown: bool = False) -> dict[str, float]:
        """shown: also writes samples/step-<step>.png, if the task has something to look at."""
        if self.average is not None:
            self.average.swap()
        self.module.eval()
        with torch.no_grad():
            sums = self.task.validate(self.module, self.rank, self.ranks)
        sheet = self.task.preview() if shown else None  # every rank: under ZeRO 3 weights are gathered
        if sheet is not None and self.rank == 0:
            write_image(self.folder / SAMPLES / f"step-{self.done:06d}.png", sheet)
        self.module.train()
        if self.average is not None:
            self.average.swap()
        return {f"validation_{name}": value for name, value in self._shared(sums).items()}

    def run(self) -> None:
        """Trains to the end, validates, saves."""
        job, every = self.job, self.job.loop["log_every"]
        if self.done == 0:
            line = {"step": 0, **self._validate()}
            untrained = self.untrained if self.zero_stage == 3 else self._untrained()
            if untrained is not None:
                line |= {f"untrained_{name}": value for name, value in untrained.items()}
            self._log(line)
        steps = range(self.done, job.steps)
        for _ in track(steps, Path(self.folder).parent.name) if self.rank == 0 else steps:
            for name, value in {**self._step(), "count": torch.ones(())}.items():
                self.totals[name] = self.totals.get(name, torch.zeros(())) + value
            logs = self.done % every == 0 or self.done == job.steps
            if logs:
                line = {
                    "step": self.done,
                    **self._shared(self.totals),
                    "learning_rate": rate(job, self.done - 1),
                }
                self.totals = {}
                if self.done == job.steps or (job.validate_every and self.done % job.validate_every == 0):
                    line |= self._validate(shown=bool(job.validate_every))
                self._log(line)
            if self.done % job.loop["checkpoint_every"] == 0 and self.done < job.steps:
                self._checkpoint()
        if self.average is not None:
            self.average.swap()
        with whole_weights(self.module, self.zero_stage):
            if self.rank == 0:
                rows = read_jsonl(self.folder / HISTORY)
                self.task.save(self.module.eval(), self.folder / RESULT, _facts(rows))
                write_json(self.folder / DONE, {"step": self.done})
            dist.barrier()

    def _log(self, line: dict[str, Any]) -> None:
        if self.rank == 0:
            append_jsonl(self.folder / HISTORY, line)


def _facts(rows: list[dict[str, Any]]) -> dict[str, float]:
    """First and last validation and the last training losses, for metrics.json."""
    first, last = rows[0], rows[-1]
    facts = {f"{name}_start": first[name] for name in first if name.startswith("validation_")}
    if "untrained_loss" in first:
        facts["validation_loss_untrained"] = first["untrained_loss"]
    facts |= {f"{name}_end": last[name] for name in last if name.startswith("validation_")}
    facts |= {f"train_{name}": last[name] for name in last if name not in first and name != "learning_rate"}
    return facts | {"steps": last["step"]}


def main(folder: Path, root: Path) -> int:
    """Runs the job of `folder`; a failure is written there for the parent, in one line."""
    single_thread()
    job = Job.model_validate(json.loads((folder / JOB).read_text()))
    rank = int(os.environ["RANK"])
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # would be compiled: 100 s, and needs g++
    deepspeed.utils.logger.setLevel("WARNING")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    try:
        Loop(job, folder, root).run()
    except SyncDreamerError as error:
        write_json(folder / (FAILURE % rank), {"kind": type(error).__name__, "message": str(error)})
        print(f"rank {rank}: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)  # the other ranks wait in a collective: torchrun ends them
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
