"""Latents of any length: overlapping windows, each begun with the last latents of the one before, or each
anchored to the reference and blended with its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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
    """Scales of text, audio and identity; 1 is none, 0 leaves the modality out. focus: see `focused`.
    floor: see `strong`. hold: see `held`."""

    text: float = 1.0
    audio: float = 1.0
    identity: float = 1.0
    focus: float = 0.0
    floor: float = 0.0
    hold: float = 0.0


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


def anchored_windows(frames: int, stride: int) -> list[int]:
    """Starts of the windows that are anchored to the reference: every `stride` latents, the first at 0. A
    window's first latent is the reference's place, the others are made."""
    return list(range(0, max(1, frames - 1), stride))


def blend(window: int) -> Tensor:
    """(window - 1,): weight of each latent that an anchored window makes, least at its ends."""
    return torch.tensor([float(min(place, window - place)) for place in range(1, window)])


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
    stride: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Normalised latents (B,C,F,h,w), the clips side by side; each depends on its own noise.

    stride: 0: a window continues the one before, which is what a generator that samples motion wants. Else
    all windows begin with the reference, one every `stride` latents, and are averaged where they overlap:
    what a generator that answers with the mean (one step) wants, as its every next window would be a mean of
    means and the picture fade. Nothing accumulates, so the last second is as the first.
    progress: called with (windows done, windows).
    """
    denoiser = _Denoiser(generator, flow, conditions, guidance, steps, window, prefix_noise)
    if stride:
        return denoiser.anchored(stride, progress)
    return denoiser.continued(progress)


class _Denoiser:
    """Windows of one request."""

    TOGETHER = 16
    """Anchored windows that are made in one batch, over all clips."""

    def __init__(
        self, generator: Generator, flow: FlowMatching, conditions: Conditions, guidance: Guidance,
        steps: int, window: int, prefix_noise: float,
    ) -> None:  # fmt: skip
        self.place = generator.transformer.device
        self.generator, self.flow, self.guidance = generator, flow, guidance
        self.conditions = conditions.to(self.place)
        self.window, self.prefix_noise = window, prefix_noise
        self.times = flow.times(steps).to(self.place)
        self.margin = generator.transformer.audio_margin
        self.identity = generator.identity(self.conditions.image_tokens.to(generator.transformer.dtype))
        self.frames = self.conditions.noise.shape[2]

    def _noise(self, length: int) -> Tensor:
        """The clips' noise, cut or repeated to `length` latents."""
        noise = self.conditions.noise
        return torch.cat([noise] * -(-length // self.frames), 2)[:, :, :length]

    def _window(self, starts: list[int], noise: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The windows at `starts` of every clip, side by side (start by start): x0 with guidance and without.

        known: (len(starts)·B,C,given,h,w), the latents that they begin with.
        """
        given, times, count = known.shape[2], self.times, len(starts)
        conditions = self.conditions if count == 1 else _repeated(self.conditions, count)
        identity = None if self.identity is None else self.identity.repeat(count, 1, 1)
        begun = torch.cat([noise[:, :, start : start + self.window] for start in starts])
        heard = [
            audio_window(track, start, self.window, self.margin)
            for start in starts
            for track in self.conditions.audio
        ]
        audio = torch.stack(heard) if heard else None
        x_t = begun.clone()
        for now, after in zip(times[:-1], times[1:], strict=True):
            t = now.expand(self.window).clone()
            t[:given] = now.clamp(max=self.prefix_noise)
            level = t[:given].view(-1, 1, 1)
            x_t[:, :, :given] = self.flow.add_noise(known, begun[:, :, :given], level)
            x0, plain = _guided(
                self.generator, self.flow, x_t, t, given, conditions, identity, audio, self.guidance
            )
            x_t = self.flow.step(x_t, x0, now, after)
        return x_t, plain

    def continued(self, progress: Callable[[int, int], None] | None) -> Tensor:
        """Window after window, each begun with the last latents of the one before."""
        plan = list(windows(self.frames, self.window))
        end = plan[-1][0] + self.window
        noise = self._noise(end)
        made = torch.zeros(*noise.shape[:2], end, *noise.shape[3:], device=self.place)
        made[:, :, :1] = self.conditions.first
        # what windows are begun with: guidance exaggerates, and would do so again and again
        carried = made.clone()
        for done, (start, given) in enumerate(plan):
            x_t, plain = self._window([start], noise, carried[:, :, start : start + given])
            new = slice(start + given, start + self.window)
            made[:, :, new] = x_t[:, :, given:]
            carried[:, :, new] = plain[:, :, given:]
            if progress is not None:
                progress(done + 1, len(plan))
        return made[:, :, : self.frames].cpu()

    def anchored(self, stride: int, progress: Callable[[int, int], None] | None) -> Tensor:
        """All windows from the reference, averaged where they overlap."""
        starts = anchored_windows(self.frames, stride)
        end = starts[-1] + self.window
        noise = self._noise(end)
        total = torch.zeros(*noise.shape[:2], end, *noise.shape[3:], device=self.place)
        mass = torch.zeros(end, 1, 1, device=self.place)
        weights = blend(self.window).to(self.place)[:, None, None]
        batch = len(noise)
        together = max(1, self.TOGETHER // batch)
        for first in range(0, len(starts), together):
            part = starts[first : first + together]
            x_t, _ = self._window(part, noise, self.conditions.first.repeat(len(part), 1, 1, 1, 1))
            for start, one in zip(part, x_t.split(batch), strict=True):
                total[:, :, start + 1 : start + self.window] += one[:, :, 1:] * weights
                mass[start + 1 : start + self.window] += weights
            if progress is not None:
                progress(first + len(part), len(starts))
        total[:, :, :1], mass[:1] = self.conditions.first, 1.0
        return (total / mass.clamp(min=1e-6))[:, :, : self.frames].cpu()


def _repeated(conditions: Conditions, count: int) -> Conditions:
    """The conditions of the clips, `count` times over (what is not read of them stays)."""
    return replace(
        conditions,
        reference=conditions.reference.repeat(count, 1, 1, 1, 1),
        text=conditions.text.repeat(count, 1, 1),
    )


def _guided(
    generator: Generator, flow: FlowMatching, x_t: Tensor, t: Tensor, given: int, conditions: Conditions,
    identity: Tensor | None, audio: Tensor | None, guidance: Guidance,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x0 with guidance, `c + Σ (s-1)(c - c without that modality)`, and c itself; all passes in one batch.

    With `guidance.hold`, c is `held` to the reference where sound does not act, before guidance is added.
    (Where sound acts is known from its guidance: nothing is held without `focus`, or at an audio scale of 1.)
    """
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
    plain, change_of = x0[0], {index: x0[0] - x0[row] for row, index in enumerate(left_out, 1)}
    result = plain.clone()
    if AUDIO in change_of and guidance.focus:
        places = softened(focused(change_of[AUDIO], guidance.focus))
        if guidance.hold:
            first = conditions.first.repeat(batch // len(conditions.first), 1, 1, 1, 1)
            result = held(result, first, places, guidance.hold)
        change_of[AUDIO] = change_of[AUDIO] * places * strong(change_of[AUDIO], guidance.floor)
    for index, change in change_of.items():
        result += (scales[index] - 1) * change
    return result, plain


def focused(change: Tensor, times: float) -> Tensor:
    """How much of the audio's guidance each place gets: (B,1,1,h,w) in [0,1].

    What sound changes (B,C,F,h,w) is strong at the mouth and a trembling elsewhere, which guidance would
    amplify alike. A place whose mean square is `times` the median place's gets nothing, one of twice
    that all.
    """
    energy = change.square().mean((1, 2), keepdim=True)
    median = energy.flatten(3).median(-1).values[..., None, None].clamp(min=1e-12)
    return (energy / (times * median) - 1).clamp(0, 1)


def strong(change: Tensor, floor: float) -> Tensor:
    """How much of the audio's guidance a place's channel gets: (B,C,1,h,w) in [0,1], Wiener's `e/(e+floor)`.

    change: (B,C,F,h,w) in units of the latents' spread, so that e is the share of a channel's variance that
    sound explains. Where that is next to nothing it is an estimate's error, which guidance makes a speckle.
    """
    if not floor:
        return torch.ones_like(change[:, :, :1])
    energy = change.square().mean(2, keepdim=True)
    return energy / (energy + floor)


def softened(places: Tensor) -> Tensor:
    """Places (B,1,1,h,w) with borders a cell wide: a hard one shows as a step between patches."""
    padded = torch.nn.functional.pad(places.flatten(1, 2), (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 3, 1).unsqueeze(2)


def held(x0: Tensor, first: Tensor, places: Tensor, share: float) -> Tensor:
    """x0 (B,C,F,h,w), drawn to the reference `first` (B,C,1,h,w) by `share` where sound does not act.

    The mean of what eyes and head may do lacks what is sharp in each, and differs little from frame to
    frame. places: (B,1,1,h,w) in [0,1], where sound acts.
    """
    return first + (x0 - first) * (1 - share * (1 - places))
