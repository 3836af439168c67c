"""What a generator makes while it trains, beside what it should: pictures to look at between validations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from components.avatar.data import collate
from components.avatar.sampling import Conditions, Guidance, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.avatar.data import LatentClips, Statistics
    from components.avatar.generator import Generator
    from components.avatar.scheduler.flow import FlowMatching

COLUMNS = 6
"""Moments of a window that are shown."""


@torch.inference_mode()
def preview(
    generator: Generator, flow: FlowMatching, clips: LatentClips, statistics: Statistics, vae: Path,
    seed: int, *, count: int, window: int, steps: int, prefix_noise: float,
) -> NDArray[np.uint8]:  # fmt: skip
    """A sheet (2·count rows of the reference and COLUMNS moments): above what is real, below what is made.

    The windows are those of the validation's first places, made without guidance from the reference, sound
    and text alone. statistics must be on the CPU.
    """
    from components.avatar.vae_training import load_vae

    margin = generator.transformer.audio_margin
    drawn = [clips.draw(seed, -1, place, window, margin) for place in range(count)]
    batch = collate(drawn)
    still, real = batch["reference"], batch["latents"]
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(seed))
    lead = margin + 3  # a window's sound begins so many frames before its own first
    audio = [track[lead:] for track in batch["audio"]] if generator.transformer.config.audio_dim else []
    conditions = Conditions(
        statistics.reference(still), batch["image_tokens"], batch["text"], audio, noise,
        statistics.diffused_spread, statistics.normalise(still, still),
    )  # fmt: skip
    made = sample(
        generator, flow, conditions, Guidance(), steps=steps, window=window, prefix_noise=prefix_noise
    )
    decoder = load_vae(vae)
    rows = []
    for index in range(count):
        reference = _pictures(decoder, still[index : index + 1])[-1]
        for latents in (real[index : index + 1], statistics.restore(made, still)[index : index + 1]):
            video = _pictures(decoder, latents)
            moments = np.linspace(0, len(video) - 1, COLUMNS).round().astype(int)
            rows.append(np.concatenate([reference, *video[moments]], 1))
    return np.concatenate(rows)


def _pictures(decoder: torch.nn.Module, latents: torch.Tensor) -> NDArray[np.uint8]:
    """(1,C,F,h,w) → (T,S,S,3)."""
    video = decoder.decode(latents).sample[0].clamp(-1, 1)
    return ((video + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()
