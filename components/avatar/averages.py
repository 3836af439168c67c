"""Moving averages of the weights in training (EMA), whole or partitioned as ZeRO 3 partitions them.

Imported by the ranks only: needs torch and DeepSpeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from components.core.errors import InputError
from components.core.files import write_bytes

AVERAGE = "average.safetensors"


class Average(Protocol):
    """What the loop asks of either kind."""

    def update(self, step: int) -> None:
        """After optimizer step `step` (0-based)."""

    def swap(self) -> None:
        """Puts the averaged weights in the live ones' place; called again, back."""

    def save(self, folder: Path) -> None:
        """Writes the average beside a checkpoint; called in every rank."""

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote, also with another number of ranks."""


def decay_at(decay: float, step: int) -> float:
    """Early on the average follows faster: `min(decay, (1+n)/(10+n))`."""
    return min(decay, (1 + step) / (10 + step))


def make_average(module: nn.Module, decay: float, zero_stage: int) -> Average:
    """The average that fits the engine's ZeRO stage, of the tensors that training changes."""
    return PartitionedAverage(module, decay) if zero_stage == 3 else WholeAverage(module, decay)


class WholeAverage:
    """Every rank keeps the whole average, in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        frozen = {name for name, tensor in module.named_parameters() if not tensor.requires_grad}
        state = module.state_dict().items()
        self.live = {name: t for name, t in state if t.is_floating_point() and name not in frozen}
        self.mean = {name: tensor.float().clone() for name, tensor in self.live.items()}
        self._kept: list[Tensor] | None = None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (0-based)."""
        live = [tensor.float() for tensor in self.live.values()]  # float32 stays itself
        torch._foreach_lerp_(list(self.mean.values()), live, 1 - decay_at(self.decay, step))

    @torch.no_grad()
    def swap(self) -> None:
        """Puts the averaged weights in the live ones' place; called again, back."""
        if self._kept is None:
            self._kept = [tensor.clone() for tensor in self.live.values()]
            for name, tensor in self.live.items():
                tensor.copy_(self.mean[name])
        else:
            for tensor, kept in zip(self.live.values(), self._kept, strict=True):
                tensor.copy_(kept)
            self._kept = None

    def save(self, folder: Path) -> None:
        """Written by rank 0: all ranks hold the same."""
        if dist.get_rank() == 0:
            _write(folder, {name: tensor.cpu() for name, tensor in self.mean.items()})
        dist.barrier()

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        saved = _read(folder, list(self.mean))
        for name, tensor in self.mean.items():
            tensor.copy_(saved[name])


class PartitionedAverage:
    """Each rank keeps the average of its own part of every weight (ZeRO 3), in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Any] = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.mean = {name: weight.ds_tensor.detach().float().clone() for name, weight in self.weights.items()}
        self._kept: dict[str, Tensor] | None = None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (0-based)."""
        live = [weight.ds_tensor.detach().float() for weight in self.weights.values()]
        torch._foreach_lerp_(list(self.mean.values()), live, 1 - decay_at(self.decay, step))

    @torch.no_grad()
    def swap(self) -> None:
        """Puts the averaged weights in the live ones' place; called again, back."""
        whole = [weight for weight in self.weights.values() if weight.ds_status.name == "AVAILABLE"]
        if whole:  # small weights that DeepSpeed keeps gathered would hide the exchange
            whole[0].partition(param_list=whole, has_been_updated=False)
        if self._kept is None:
            self._kept = {name: weight.ds_tensor.detach().clone() for name, weight in self.weights.items()}
            source = self.mean
        else:
            source, self._kept = self._kept, None
        for name, weight in self.weights.items():
            weight.ds_tensor.copy_(source[name])

    def save(self, folder: Path) -> None:
        """Gathers each weight's average and writes it whole (rank 0): any number of ranks can read it."""
        from deepspeed.accelerator import get_accelerator

        device, whole = get_accelerator().current_device_name(), {}
        for name, weight in self.weights.items():
            own = self.mean[name].to(device)  # offloaded weights lie elsewhere
            parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
            dist.all_gather(parts, own)
            if dist.get_rank() == 0:
                whole[name] = torch.cat(parts)[: weight.ds_numel].view(weight.ds_shape).cpu().contiguous()
        if dist.get_rank() == 0:
            _write(folder, whole)
        dist.barrier()

    def load(self, folder: Path) -> None:
        """Reads this rank's part of what `save` wrote."""
        saved, rank = _read(folder, list(self.mean)), dist.get_rank()
        for name, tensor in self.mean.items():
            flat = saved[name].flatten()
            padded = nn.functional.pad(flat, (0, tensor.numel() * dist.get_world_size() - flat.numel()))
            tensor.copy_(padded[rank * tensor.numel() : (rank + 1) * tensor.numel()])


@contextmanager
def whole_weights(module: nn.Module, zero_stage: int) -> Iterator[None]:
    """Inside, every rank sees all of the module's weights (to be read); called in every rank."""
    if zero_stage != 3:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(list(module.parameters())):
        yield


def _write(folder: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    write_bytes(folder / AVERAGE, save(tensors))


def _read(folder: Path, names: list[str]) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    path = folder / AVERAGE
    saved = load_file(path) if path.exists() else {}
    missing = [name for name in names if name not in saved]
    if missing:
        raise InputError(
            f"{path} does not hold the average of {missing[0]}: delete the checkpoints to start over"
        )
    return saved
