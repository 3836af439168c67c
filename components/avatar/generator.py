"""What both stages train: the transformer and its Visual Adapter, on windows of latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from components.avatar.backbones import (
    add_lora,
    described,
    merge_lora,
    pretrained,
    saved_transformer,
    with_lora_names,
)
from components.avatar.data import LatentClips, Statistics, collate, on_device
from components.avatar.localization_loss import token_mask
from components.avatar.pipeline_files import STATISTICS
from components.avatar.scheduler.flow import TRAIN_TIMESTEPS, FlowMatching
from components.avatar.transformer import SyncDreamerOutput
from components.avatar.visual_adapter import VisualAdapter
from components.core.errors import InputError
from components.core.files import write_json
from components.core.seeds import derive
from components.core.vocabulary import REGIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX_SHARES = (0.25, 0.15, 0.6)
"""How often 0, 1 or 2 clean latents are given at the start of a window."""
MOUTH = REGIONS.index("mouth")
VALIDATION_BATCH = 8
UNUSED_DIM = 8
"""Width of the adapter that lies in the folder of a generator without one; nothing reads its tokens."""


class Generator(nn.Module):
    """Adapter and transformer as one module."""

    def __init__(self, transformer: Any, adapter: VisualAdapter) -> None:
        super().__init__()
        self.transformer, self.adapter = transformer, adapter

    def identity(self, image_tokens: Tensor) -> Tensor | None:
        """Identity tokens (B,K,D); None where the transformer was built without visual cross-attention."""
        return self.adapter(image_tokens) if self.transformer.config.identity_dim else None

    def forward(self, latents: Tensor, t: Tensor, inputs: dict[str, Tensor | None]) -> SyncDreamerOutput:
        """latents (B,C,F,h,w) as `FlowMatching.to_input` shows them, t (B,F) in [0,1], inputs as
        `GeneratorTask.losses` makes them. Numbers are brought to the weights' precision (bf16 under
        DeepSpeed's bf16), times excepted."""
        precision = self.adapter.queries.dtype
        ready = {
            name: one.to(precision) if one is not None and one.is_floating_point() else one
            for name, one in inputs.items()
        }
        return self.transformer(
            latents.to(precision),
            t * TRAIN_TIMESTEPS,
            ready["text"],
            given=ready.get("given"),
            reference=ready["reference"],
            identity=self.identity(ready["image_tokens"]),
            identity_present=ready.get("identity_present"),
            audio=ready.get("audio"),
            audio_present=ready.get("audio_present"),
            localization_mask=ready.get("mask"),
        )


def build(settings: dict[str, Any], data: LatentClips, audio: bool) -> Generator:
    """A new generator for the encoded data; `settings` is GeneratorParams.

    Raises:
        InputError: the backbone cannot be used.
    """
    example = data.clip(0)
    channels, side = example["latents"].shape[2], example["latents"].shape[-1]
    if side % settings["patch"]:
        raise InputError(f"latents of {side}×{side} cells do not divide into patches of {settings['patch']}")
    text_tokens, text_dim = example["texts"].shape[1:]
    audio_dim = example["audio"].shape[1] if audio else None
    if settings["backbone"]:
        transformer = pretrained(settings, channels, text_dim, audio_dim)
    else:
        transformer = described(settings, channels, text_dim, audio_dim, side, text_tokens)
    width = settings["identity_dim"]
    adapter = VisualAdapter(
        example["reference_tokens"].shape[-1], width or UNUSED_DIM, tuple(settings["identity_queries"])
    ).requires_grad_(bool(width))
    return Generator(transformer, adapter)


class GeneratorTask:
    """Flow matching on windows, with modality dropout and the localization loss.

    settings: encode (folder below root), model, flow, framings, window, per_rank, drop, drop_text,
    prefix_noise, localization_weight, validation_windows, gradient_checkpointing, audio, start (folder of
    stage 1 or None).
    """

    def __init__(self, settings: dict[str, Any], root: Path, seed: int, rank: int, ranks: int) -> None:
        self.settings, self.seed = settings, seed
        self.vae = root / "artifacts" / "vae" / "model"
        folder = root / settings["encode"]
        wanted = (settings["framings"], settings["window"], settings["audio"])
        self.data = LatentClips(folder, ("train",), *wanted)
        if not len(self.data):
            raise InputError(
                f"{folder}: no training clip of {settings['framings'] or 'any framing'} has"
                f" {settings['window']} latents"
            )
        self.held = LatentClips(folder, ("val",), *wanted)
        self.validates_on_training = not len(self.held)
        if self.validates_on_training:
            self.held = self.data
        self.statistics = Statistics.load(folder / STATISTICS).whitened(settings["flow"]["whitening"])
        self.importance = self.statistics.importance()
        flow = settings["flow"]
        self.flow = FlowMatching(flow["shift"], flow["prediction"], flow["weight_cap"])
        self.module = build(settings["model"], self.data, settings["audio"])
        self.new_tensors: list[str] = []
        self.untrained: dict[str, Tensor] | None = None
        if settings["start"]:
            self.untrained = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
            self.new_tensors = self._start_from(root / settings["start"])
        if settings["model"].get("lora_rank"):
            add_lora(self.module.transformer, settings["model"]["lora_rank"])
        if settings["gradient_checkpointing"]:
            self.module.transformer.enable_gradient_checkpointing()
        self.margin = self.module.transformer.audio_margin
        self.left_out = torch.tensor([settings["drop_text"], settings["drop"], settings["drop"]])

    def _start_from(self, folder: Path) -> list[str]:
        """Loads stage 1; returns the names of the tensors it does not have.

        Raises:
            InputError: something other than the audio branch is new.
        """
        previous = saved_transformer(folder / "transformer")
        missing, unexpected = self.module.transformer.load_state_dict(previous.state_dict(), strict=False)
        strangers = [name for name in missing if "audio" not in name] + list(unexpected)
        if strangers:
            raise InputError(f"{folder} holds another generator: {', '.join(strangers[:3])} do not fit")
        self.module.adapter.load_state_dict(VisualAdapter.from_pretrained(folder / "adapter").state_dict())
        return sorted(missing)

    def batch(self, step: int, rank: int) -> dict[str, Any]:
        """This rank's windows with their noise, times, prefixes and dropped modalities."""
        settings = self.settings
        count = settings["per_rank"]
        windows, draws = [], []
        for place in range(rank * count, (rank + 1) * count):
            windows.append(
                self.data.draw(
                    self.seed,
                    step,
                    place,
                    settings["window"],
                    self.margin,
                    settings["plain_text"],
                    settings["near_reference"],
                )
            )
            draws.append(
                self._draws(windows[-1]["latents"].shape, derive(self.seed, "noise", step, place), place)
            )
        return (
            collate(windows)
            | collate([{"clip_id": "", **draw} for draw in draws])
            | {"clip_ids": [window["clip_id"] for window in windows]}
        )

    def _draws(self, shape: torch.Size, seed: int, place: int) -> dict[str, Tensor]:
        """Random numbers of one sample. Times are stratified over the whole batch."""
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(5, generator=generator)
        share = (place + uniform[0]) / self.settings["batch"]
        prefix = int(
            (uniform[1] > PREFIX_SHARES[0]).int() + (uniform[1] > PREFIX_SHARES[0] + PREFIX_SHARES[1]).int()
        )
        return {
            "noise": torch.randn(shape, generator=generator),
            "t": self._times(self.flow.sample_times(share), shape[1], prefix),
            "given": torch.tensor(prefix),
            "present": (uniform[2:] >= self.left_out).float(),
        }

    def _times(self, t: Tensor, frames: int, prefix: int) -> Tensor:
        """(F,): t, and the prefix's small noise on the latents that are given."""
        times = t.expand(frames).clone()
        times[:prefix] = torch.minimum(t, torch.tensor(self.settings["prefix_noise"]))
        return times

    def losses(self, module: Callable[..., Any], batch: dict[str, Any]) -> dict[str, Tensor]:
        """The weighted squared error on x0, and the attention mass outside its regions."""
        self.statistics.to(batch["latents"].device)
        x0 = self.statistics.normalise(batch["latents"], batch["reference"])
        t = batch["t"][:, None, :, None, None]
        x_t = self.flow.add_noise(x0, batch["noise"], t)
        present = batch.get("present", torch.ones(len(x0), 3, device=x0.device))
        mask = None
        if self.settings["localization_weight"]:
            mask = token_mask(
                batch["regions"], self.module.adapter.owners, self.module.transformer.config.patch_size
            )
        given = batch["given"]
        scored = (torch.arange(x0.shape[2], device=x0.device) >= given[:, None]).float()
        inputs = {
            "given": given,
            "text": batch["text"] * present[:, :1, None],
            "reference": self.statistics.reference(batch["reference"]),
            "image_tokens": batch["image_tokens"],
            "identity_present": present[:, 1],
            "audio": batch["audio"] if self.settings["audio"] else None,
            "audio_present": present[:, 2],
            "mask": mask,
        }
        spread = self.statistics.diffused_spread
        output = module(self.flow.to_input(x_t, t, spread), batch["t"], inputs)
        error = (self.flow.to_x0(output.sample, x_t, t, spread) - x0).square()
        mouth = 1 + (self.settings["flow"]["mouth_weight"] - 1) * batch["regions"][:, MOUTH, None].float()
        importance = self.importance.to(mouth.device)
        weight = importance * mouth * self.flow.weight(t) * scored[:, None, :, None, None]
        diffusion = (error * weight).mean((1, 2, 3, 4)) / scored.mean(1)
        losses = {"diffusion": diffusion.mean()}
        losses["loss"] = losses["diffusion"]
        if output.localization is not None:
            losses["localization"] = output.localization
            losses["loss"] = losses["loss"] + self.settings["localization_weight"] * output.localization
        return losses

    def validate(self, module: nn.Module, rank: int, ranks: int) -> dict[str, Tensor]:
        """Sums over this rank's windows of the held-out clips; windows, noise and times are fixed."""
        settings = self.settings
        total = settings["validation_windows"]
        device = next(module.parameters()).device
        sums: dict[str, Tensor] = {"count": torch.zeros(())}
        places = list(range(rank, total, ranks))
        for begin in range(0, len(places), VALIDATION_BATCH):
            rows = []
            for place in places[begin : begin + VALIDATION_BATCH]:
                window = self.held.draw(
                    self.seed, -1, place, settings["window"], self.margin, near=settings["near_reference"]
                )
                shape = window["latents"].shape
                generator = torch.Generator().manual_seed(derive(self.seed, "validation", place))
                t = self.flow.sample_times(torch.tensor((place + 0.5) / total))
                prefix = place % 3
                draws = {
                    "noise": torch.randn(shape, generator=generator),
                    "t": self._times(t, shape[1], prefix),
                    "given": torch.tensor(prefix),
                }
                rows.append(window | draws)
            for name, value in self.losses(module, on_device(collate(rows), device)).items():
                sums[name] = sums.get(name, torch.zeros(())) + value * len(rows)
            sums["count"] += len(rows)
        sums["loss"] = sums["diffusion"].clone()
        return sums

    def preview(self) -> NDArray[np.uint8] | None:
        """A sheet of validation windows, real and made by the weights as they are; None if none is asked."""
        count = min(self.settings["sample_clips"], self.settings["validation_windows"])
        if not count:
            return None
        from components.avatar.preview import preview

        self.statistics.to(torch.device("cpu"))
        return preview(
            self.module, self.flow, self.held, self.statistics, self.vae, self.seed,
            count=count, window=self.settings["window"], steps=self.settings["sampling_steps"],
            prefix_noise=self.settings["prefix_noise"],
        )  # fmt: skip

    def validate_untrained(self, rank: int, ranks: int) -> dict[str, Tensor] | None:
        """`validate` on the generator as it was before stage 1 (stage 1 itself starts there)."""
        if self.untrained is None:
            return None
        trained = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.module.load_state_dict(with_lora_names(self.untrained, self.module), strict=False)
        sums = self.validate(self.module.eval(), rank, ranks)
        self.module.load_state_dict(trained)
        self.module.train()
        self.untrained = None
        return sums

    def save(self, module: nn.Module, folder: Path, facts: dict[str, float]) -> None:
        """Writes transformer/, adapter/, scheduler/, statistics, config.json and metrics.json."""
        if self.settings["model"].get("lora_rank"):
            merge_lora(self.module.transformer)
        self.module.transformer.save_pretrained(folder / "transformer")
        self.module.adapter.save_pretrained(folder / "adapter")
        self.flow.save_pretrained(folder / "scheduler")
        self.statistics.save(folder / STATISTICS)
        keep = ("model", "flow", "window", "prefix_noise", "framings")
        write_json(folder / "config.json", {name: self.settings[name] for name in keep})
        write_json(folder / "new_tensors.json", self.new_tensors)
        facts |= {
            "validated_on_training_clips": float(self.validates_on_training),
            "training_clips": len(self.data),
        }
        write_json(folder / "metrics.json", facts)
