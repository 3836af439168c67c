"""Latents of any length: overlapping windows, each begun with the last latents of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from components.avatar.data import audio_window
from components.avatar.generator import Generator
from components.avatar.scheduler.flow import FlowMatching

AUDIO = 2
"""Place of the audio among the modalities."""
OVERLAP = 2
"""Latents of the window before that a window is given."""


@dataclass(frozen=True)
class Guidance:
    """Scales of text, audio and identity; 1 is none, 0 leaves the modality out. focus: see `focused`."""

    text: float = 1.0
    audio: float = 1.0
    identity: float = 1.0
    focus: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """Of B clips: reference (B,C,1,h,w) as the transformer sees it, image_tokens (B,M,D), text (B,L,D),
    audio: B tensors (T,A), none for a generator that hears nothing, noise: (B,C,F,h,w), spread: (C,1,h,w)
    standard deviation of what is diffused, first: (B,C,1,h,w) the reference itself as the first latent, the
    video's given beginning."""

    reference: Tensor
    image_tokens: Tensor
    text: Tensor
    audio: list[Tensor]
    noise: Tensor
    spread: Tensor
    first: Tensor

    def to(self, device: torch.device) -> Conditions:
        """The same on a device."""
        audio = [track.to(device) for track in self.audio]
        tensors = {name: one.to(device) for name, one in vars(self).items() if isinstance(one, Tensor)}
        return Conditions(audio=audio, **tensors)


def windows(frames: int, window: int, overlap: int = OVERLAP) -> Iterator[tuple[int, int]]:
    """(start, given) of each window: it covers start … start+window-1, of which the first `given` are known.

    Of the first window one latent is known, the reference's. The last window may reach beyond `frames`; what
    lies beyond is thrown away.
    """
    yield 0, 1
    start = window - overlap
    while start + overlap < frames:
        yield start, overlap
        start += window - overlap


@torch.inference_mode()
def sample(
    generator: Generator,
    flow: FlowMatching,
    conditions: Conditions,
    guidance: Guidance,
    *,
    steps: int,
    window: int,
    prefix_noise: float,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Normalised latents (B,C,F,h,w), the clips side by side; each depends on its own noise.

    progress: called with (windows done, windows).
    """
    place = generator.transformer.device
    conditions = conditions.to(place)
    noise = conditions.noise
    frames = noise.shape[2]
    plan = list(windows(frames, window))
    made = torch.zeros(*noise.shape[:2], plan[-1][0] + window, *noise.shape[3:], device=place)
    made[:, :, :1] = conditions.first
    carried = (
        made.clone()
    )  # what windows are begun with: guidance exaggerates, and would do so again and again
    extra = made.shape[2] - frames
    noise = torch.cat([noise, noise[:, :, :extra]], 2) if extra > 0 else noise[:, :, : made.shape[2]]
    times = flow.times(steps).to(place)
    margin = generator.transformer.audio_margin
    identity = generator.identity(conditions.image_tokens.to(generator.transformer.dtype))
    for done, (start, given) in enumerate(plan):
        part = slice(start, start + window)
        begun, known = noise[:, :, part].clone(), carried[:, :, part]
        heard = [audio_window(track, start, window, margin) for track in conditions.audio]
        audio = torch.stack(heard) if heard else None
        x_t = begun.clone()
        for now, after in zip(times[:-1], times[1:], strict=True):
            t = now.expand(window).clone()
            t[:given] = now.clamp(max=prefix_noise)
            level = t[:given].view(-1, 1, 1)
            x_t[:, :, :given] = flow.add_noise(known[:, :, :given], begun[:, :, :given], level)
            x0, plain = _guided(generator, flow, x_t, t, given, conditions, identity, audio, guidance)
            x_t = flow.step(x_t, x0, now, after)
        new = slice(start + given, start + window)
        made[:, :, new] = x_t[:, :, given:]
        carried[:, :, new] = plain[:, :, given:]
        if progress is not None:
            progress(done + 1, len(plan))
    return made[:, :, :frames].cpu()


def _guided(
    generator: Generator, flow: FlowMatching, x_t: Tensor, t: Tensor, given: int, conditions: Conditions,
    identity: Tensor | None, audio: Tensor | None, guidance: Guidance,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x0 with guidance, `c + Σ (s-1)(c - c without that modality)`, and c itself; all passes in one batch."""
    scales = (guidance.text, guidance.identity, guidance.audio)
    left_out = [index for index, scale in enumerate(scales) if scale != 1]
    passes, batch = 1 + len(left_out), len(x_t)
    transformer = generator.transformer
    place = {"device": x_t.device, "dtype": transformer.dtype}
    present = torch.ones(passes, batch, 3, **place)
    for row, index in enumerate(left_out, 1):
        present[row, :, index] = 0
    present = present.flatten(0, 1)

    def again(tensor: Tensor) -> Tensor:
        return tensor.to(transformer.dtype).repeat(passes, *[1] * (tensor.ndim - 1))

    output = transformer(
        again(flow.to_input(x_t, t[:, None, None], conditions.spread)),
        t.expand(passes * batch, -1) * 1000.0,
        again(conditions.text) * present[:, :1, None],
        given=torch.full((passes * batch,), given, device=x_t.device),
        reference=again(conditions.reference),
        identity=None if identity is None else again(identity),
        identity_present=present[:, 1] if guidance.identity != 1 else None,
        audio=None if audio is None else again(audio),
        audio_present=present[:, 2] if guidance.audio != 1 else None,
    )
    noisy = x_t.repeat(passes, 1, 1, 1, 1)
    x0 = flow.to_x0(output.sample.float(), noisy, t[:, None, None], conditions.spread).unflatten(
        0, (passes, batch)
    )
    result = x0[0].clone()
    for row, index in enumerate(left_out, 1):
        change = x0[0] - x0[row]
        if index == AUDIO and guidance.focus:
            change = change * focused(change, guidance.focus)
        result += (scales[index] - 1) * change
    return result, x0[0]


def focused(change: Tensor, times: float) -> Tensor:
    """How much of the audio's guidance each place gets: (B,1,1,h,w) in [0,1].

    What sound changes (B,C,F,h,w) is strong at the mouth and a trembling elsewhere, which guidance would
    amplify alike. A place whose mean square is `times` the median place's gets nothing, one of twice
    that all.
    """
    energy = change.square().mean((1, 2), keepdim=True)
    median = energy.flatten(3).median(-1).values[..., None, None].clamp(min=1e-12)
    return (energy / (times * median) - 1).clamp(0, 1)
