"""Latents from shards: windows drawn by seed, step and place in the batch alone.

The order does not depend on the number of ranks: sample k of step s is the same window wherever it is read.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from components.avatar.clips import reference_frames
from components.avatar.moments import told
from components.avatar.vae import TIME
from components.core.errors import InputError
from components.core.files import read_json, read_parquet, write_bytes
from components.core.seeds import derive
from components.storage.shards import read_shard

if TYPE_CHECKING:
    import pandas as pd


class Statistics:
    """Latents ⇄ what is diffused: the change from the reference, in spreads of its channel and cell."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Reads statistics.safetensors of the stage encode (or of a pipeline).

        Raises:
            InputError: the file is missing.
        """
        from safetensors.torch import load_file

        if not path.exists():
            raise InputError(f"{path} is missing; `syncdreamer stage encode` makes it")
        return cls(load_file(path))

    def save(self, path: Path) -> None:
        """Writes what `load` reads."""
        from safetensors.torch import save

        write_bytes(path, save(self.tensors))

    def to(self, device: torch.device) -> None:
        """Moves the tensors; nothing happens where they are there already."""
        self.tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}

    def normalise(self, latents: Tensor, reference: Tensor) -> Tensor:
        """latents (…,C,F,h,w), reference (…,C,1,h,w) → (…,C,F,h,w) of about unit variance."""
        mean, spread = self.tensors["change_mean"], self.tensors["change_spread"]
        return (latents - reference - mean.unsqueeze(1)) / spread.unsqueeze(1)

    def restore(self, change: Tensor, reference: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        mean, spread = self.tensors["change_mean"], self.tensors["change_spread"]
        return change * spread.unsqueeze(1) + mean.unsqueeze(1) + reference

    def reference(self, reference: Tensor) -> Tensor:
        """A reference latent (…,C,1,h,w) of about unit variance, as the transformer sees it."""
        mean, spread = self.tensors["reference_mean"], self.tensors["reference_spread"]
        return (reference - mean.unsqueeze(1)) / spread.unsqueeze(1)

    def whitened(self, power: float) -> Statistics:
        """The same with `change_spread` to a power, scaled so that what is diffused has unit variance.

        1: every latent has unit variance. 0: latents keep their proportions, as pixels would.
        """
        spread = self.tensors["change_spread"]
        divisor = spread.pow(power)
        divisor = divisor * (spread / divisor).square().mean().sqrt()
        return Statistics(self.tensors | {"change_spread": divisor, "diffused_spread": spread / divisor})

    @property
    def diffused_spread(self) -> Tensor:
        """(C,1,h,w): standard deviation of what is diffused, after `whitened`."""
        return self.tensors["diffused_spread"].unsqueeze(1)

    def importance(self) -> Tensor:
        """(C,1,h,w), mean 1: how much a unit of what is diffused shows in the decoded picture's energy."""
        shown = (self.tensors["change_spread"].square() * self.tensors["sensitivity"]).unsqueeze(1)
        return shown / shown.mean()


class LatentClips:
    """The encoded clips of a split, read shard by shard and kept up to a number of shards."""

    def __init__(
        self, folder: Path, splits: tuple[str, ...], framings: tuple[str, ...] | None, frames: int,
        with_audio: bool = False, kept_shards: int = 64,
    ) -> None:  # fmt: skip
        """Args:
            folder: artifacts/encode. framings: None for all. frames: shortest clip taken, latent frames.

        Raises:
            InputError: the index is missing.
        """
        self.folder, self.kept = folder, kept_shards
        self.table = usable(read_parquet(folder / "index.parquet"), splits, framings, frames, with_audio)
        self.settings: dict[str, Any] = read_json(folder / "config.json")["settings"]
        self._shards: OrderedDict[str, dict[str, dict[str, Tensor]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.table)

    def clip(self, index: int) -> dict[str, Tensor]:
        """Tensors of a clip as `encode.encode_clip` lists them."""
        row = self.table.iloc[index]
        if row["shard"] not in self._shards:
            self._shards[row["shard"]] = self._read(row["shard"])
            while len(self._shards) > self.kept:
                self._shards.popitem(last=False)
        self._shards.move_to_end(row["shard"])
        return self._shards[row["shard"]][row["clip_id"]]

    def clip_id(self, index: int) -> str:
        """The clip's content hash."""
        return str(self.table.iloc[index]["clip_id"])

    def _read(self, shard: str) -> dict[str, dict[str, Tensor]]:
        from safetensors.torch import load

        wanted = set(self.table.loc[self.table["shard"] == shard, "clip_id"])
        samples = read_shard(self.folder / "shards" / shard)
        return {each.key: load(each.parts["safetensors"]) for each in samples if each.key in wanted}

    def window(
        self, index: int, start: int, length: int, reference: int, margin: int, variant: int = 0,
        plain: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """One training window: latents (C,F,h,w), reference (C,1,h,w), tokens (M,D), text (L,D),
        regions (R,F,h,w), audio (4F+2·margin, A). plain: the text tells the action without the caption."""
        tensors = self.clip(index)
        pair = told(tensors["moments"][variant, start : start + length].tolist())
        texts = tensors["texts"]
        return {
            "clip_id": self.clip_id(index),
            "latents": tensors["latents"][variant, start : start + length].transpose(0, 1).float(),
            "reference": tensors["references"][variant, reference].unsqueeze(1).float(),
            "image_tokens": tensors["reference_tokens"][variant, reference].float(),
            "text": texts[2 * pair + plain if len(texts) > 1 else 0].float(),
            "regions": tensors["regions"][variant, start : start + length].transpose(0, 1),
            "audio": audio_window(tensors["audio"], start, length, margin),
        }

    def draw(
        self, seed: int, step: int, place: int, length: int, margin: int, plain_text: float = 0.0,
        near: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """The window at a place of a step's batch; plain_text: how often its text has no caption; near: its
        reference is `nearest`, else any of the clip's."""
        rng = np.random.default_rng(derive(seed, "window", step, place))
        index = int(rng.integers(len(self)))
        start = int(rng.integers(int(self.table.iloc[index]["frames"]) - length + 1))
        variants, references = self.clip(index)["references"].shape[:2]
        reference, variant = int(rng.integers(references)), int(rng.integers(variants))
        plain = bool(rng.random() < plain_text)
        if near:
            reference = nearest(self.clip(index)["moments"][variant].tolist(), start, length, references)
        return self.window(index, start, length, reference, margin, variant, plain)


def usable(
    table: pd.DataFrame,
    splits: tuple[str, ...],
    framings: tuple[str, ...] | None,
    frames: int,
    with_audio: bool,
) -> pd.DataFrame:
    """Rows of the index that training may draw from."""
    chosen = table["split"].isin(splits) & table["finite"] & (table["frames"] >= frames)
    if framings is not None:
        chosen &= table["framing"].isin(framings)
    if with_audio:
        chosen &= table["audio_frames"] > 0
    return table[chosen].reset_index(drop=True)


def nearest(moments: list[int], start: int, length: int, references: int) -> int:
    """Which of a clip's references (`reference_frames`) lies nearest to a window's middle.

    Of a window that shows an action, only those at rest count, where there are any: what the text tells is
    then what differs. moments: each latent's pair of texts, 0 without an action.
    """
    frames = reference_frames(TIME * (len(moments) - 1) + 1, references)
    latents = (frames + TIME - 1) // TIME
    far = np.abs(latents - (start + (length - 1) / 2))
    if told(moments[start : start + length]):
        acting = np.array([moments[latent] > 0 for latent in latents])
        if not acting.all():
            far = np.where(acting, np.inf, far)
    return int(far.argmin())


def audio_window(audio: Tensor, start: int, length: int, margin: int) -> Tensor:
    """The audio (4·length+2·margin, A) of latents start … start+length-1, zeros beyond the clip.

    Latent j's own frames are 4j-3 … 4j; `margin` more are given on either side.
    """
    first = TIME * start - (TIME - 1) - margin
    last = TIME * (start + length - 1) + margin + 1
    inside = audio[max(first, 0) : max(last, 0)]
    before = max(-first, 0)
    return torch.nn.functional.pad(inside.float(), (0, 0, before, last - first - before - len(inside)))


def collate(windows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of windows."""
    batch: dict[str, Any] = {"clip_ids": [window["clip_id"] for window in windows]}
    for name in windows[0]:
        if name != "clip_id":
            batch[name] = torch.stack([window[name] for window in windows])
    return batch


def on_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device; what is no tensor stays."""
    return {name: one.to(device) if isinstance(one, Tensor) else one for name, one in batch.items()}
