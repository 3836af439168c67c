"""One rank of a training job: the DeepSpeed loop. Started by torchrun through `training.train`."""

from __future__ import annotations

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

from components.avatar.training import CHECKPOINTS, DONE, FAILURE, HISTORY, JOB, RESULT, WHOLE, Job  # noqa: E402
from components.core.errors import InputError, SyncDreamerError  # noqa: E402
from components.core.files import append_jsonl, read_jsonl, to_json, write_json, write_text  # noqa: E402
from components.core.progress import track  # noqa: E402
from components.core.seeds import derive, seed_everything, single_thread  # noqa: E402

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

    def validate_untrained(self, rank: int, ranks: int) -> Losses | None:
        """The same of the weights before any training, or None where that is the start itself."""

    def save(self, module: nn.Module, folder: Path, facts: dict[str, float]) -> None:
        """Writes the result (rank 0, with the weights to keep)."""


def deepspeed_settings(job: Job) -> dict[str, Any]:
    """DeepSpeed's configuration: plain fp32 unless the job's own file says otherwise."""
    built_in = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": job.loop["gradient_clip"],
        "zero_optimization": {"stage": job.loop["zero_stage"]},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }
    return built_in | (job.loop["deepspeed_config"] or {})


def rate(job: Job, step: int) -> float:
    """Learning rate of a step (0-based): linear warm-up, then cosine to 0."""
    warm = max(1, round(job.steps * job.loop["warm_up"]))
    if step < warm:
        return job.learning_rate * (step + 1) / warm
    return job.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, job.steps - warm)))


class Average:
    """Moving average of a module's tensors; early on it follows faster, `min(decay, (1+n)/(10+n))`."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
        self.mean = [tensor.clone() for tensor in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges averaged and live weights; called again, back."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)


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
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=self.module, optimizer=optimizer, model_parameters=weights, config=deepspeed_settings(job)
        )
        if job.ema and job.loop["zero_stage"] == 3:
            raise InputError("the moving average needs whole weights: set ema to 0 with zero_stage 3")
        self.average = Average(self.module, job.ema) if job.ema else None
        self.done = 0
        self._resume()

    def _resume(self) -> None:
        folder = self.folder / CHECKPOINTS
        if not (folder / "latest").exists():
            if self.rank == 0:
                (self.folder / HISTORY).unlink(missing_ok=True)
            dist.barrier()
            return
        _, kept = self.engine.load_checkpoint(str(folder))
        self.done = int(kept["step"])
        if self.average is not None:
            for mean, saved in zip(self.average.mean, kept["average"], strict=True):
                mean.copy_(saved)
        if self.rank == 0:
            rows = [row for row in read_jsonl(self.folder / HISTORY) if row["step"] <= self.done]
            write_text(self.folder / HISTORY, "".join(to_json(row, indent=None) + "\n" for row in rows))

    def _checkpoint(self) -> None:
        average = self.average.mean if self.average is not None else []
        self.engine.save_checkpoint(
            str(self.folder / CHECKPOINTS),
            tag=f"step-{self.done:06d}",
            client_state={"step": self.done, "average": average},
        )
        if self.rank == 0:  # saving ends with a barrier: every rank's files are whole
            write_text(self.folder / CHECKPOINTS / WHOLE, f"step-{self.done:06d}")

    def _step(self) -> Losses:
        batch = self.task.batch(self.done, self.rank)
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
        packed = torch.stack([sums[name].double() for name in names])
        dist.all_reduce(packed)
        values = dict(zip(names, packed.tolist(), strict=True))
        count = values.pop("count")
        return {name: float(f"{value / count:.6g}") for name, value in values.items()}

    def _validate(self) -> dict[str, float]:
        if self.average is not None:
            self.average.swap()
        self.module.eval()
        with torch.no_grad():
            sums = self.task.validate(self.module, self.rank, self.ranks)
        self.module.train()
        if self.average is not None:
            self.average.swap()
        return {f"validation_{name}": value for name, value in self._shared(sums).items()}

    def run(self) -> None:
        """Trains to the end, validates, saves."""
        job, every = self.job, self.job.loop["log_every"]
        if self.done == 0:
            line = {"step": 0, **self._validate()}
            with torch.no_grad():
                sums = self.task.validate_untrained(self.rank, self.ranks)
            if sums is not None:
                line |= {f"untrained_{name}": value for name, value in self._shared(sums).items()}
            self._log(line)
        totals: Losses = {}
        steps = range(self.done, job.steps)
        for _ in track(steps, Path(self.folder).parent.name) if self.rank == 0 else steps:
            for name, value in {**self._step(), "count": torch.ones(())}.items():
                totals[name] = totals.get(name, torch.zeros(())) + value
            logs = self.done % every == 0 or self.done == job.steps
            if logs:
                line = {"step": self.done, **self._shared(totals), "learning_rate": rate(job, self.done - 1)}
                totals = {}
                if self.done == job.steps or (job.validate_every and self.done % job.validate_every == 0):
                    line |= self._validate()
                self._log(line)
            if self.done % job.loop["checkpoint_every"] == 0 and self.done < job.steps:
                self._checkpoint()
        if self.average is not None:
            self.average.swap()
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
