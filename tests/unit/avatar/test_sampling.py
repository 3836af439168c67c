"""Windows over any length, audio slices, and the inputs' examination."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.avatar.data import Statistics, audio_window
from components.avatar.encoders import latent_frames
from components.avatar.generator import Generator
from components.avatar.portrait import InputWarning, check_audio, check_text, frame_portrait
from components.avatar.sampling import (
    Conditions,
    Guidance,
    anchored_windows,
    blend,
    focused,
    held,
    sample,
    softened,
    strong,
    windows,
)
from components.avatar.scheduler.flow import FlowMatching
from components.avatar.transformer import SyncDreamerOutput, SyncDreamerTransformer3DModel
from components.avatar.visual_adapter import VisualAdapter
from components.core.errors import InputError


@given(frames=st.integers(1, 300), window=st.integers(3, 12))
def test_windows_cover_every_latent_once(frames, window):
    made = [0]  # the reference's own latent begins the video
    for start, given_ in windows(frames, window):
        assert start + given_ == len(made)
        made += range(start + given_, start + window)
    assert made == list(range(len(made))) and frames <= len(made) < frames + window


class _Mean(torch.nn.Module):
    """In the transformer's place: hears whether audio is present, continues the last given latent."""

    audio_margin = 0
    config = SimpleNamespace(identity_dim=1)
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, latents, t, text, *, given, audio_present, **_):
        last = latents[torch.arange(len(given)), :, given - 1]
        self.seen.append(last[0].clone())
        sample = last.unsqueeze(2).expand_as(latents).clone()
        return SyncDreamerOutput(sample=sample + audio_present.view(-1, 1, 1, 1, 1))


def test_a_video_begins_with_the_reference_and_goes_on_from_what_guidance_has_not_exaggerated():
    """x0 is predicted as `last + 1` with sound and `last` without: guidance 3 shows last + 3, but the next
    window goes on from last + 1."""
    body, first = _Mean(), torch.full((1, 1, 1, 1, 1), 5.0)
    conditions = Conditions(
        torch.zeros(1, 1, 1, 1, 1), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), [torch.zeros(40, 1)],
        torch.randn(1, 1, 5, 1, 1), torch.ones(1, 1, 1, 1), first,
    )  # fmt: skip
    generator = Generator(body, torch.nn.Identity())
    made = sample(
        generator, FlowMatching(prediction="x0"), conditions, Guidance(audio=3.0), steps=1, window=3,
        prefix_noise=0.0,
    )  # fmt: skip
    assert made.flatten().tolist() == [5, 8, 8, 9, 10]
    assert [float(each) for each in body.seen] == [5, 6, 7]


@given(frames=st.integers(1, 120), window=st.integers(2, 12), data=st.data())
def test_anchored_windows_cover_every_latent(frames, window, data):
    stride = data.draw(st.integers(1, window - 1))
    mass = torch.zeros(frames + window)
    for start in anchored_windows(frames, stride):
        mass[start + 1 : start + window] += blend(window)
    assert (mass[1:frames] > 0).all()


def test_an_anchored_video_starts_from_the_reference_at_every_window():
    """x0 is the reference + 1 with sound and the reference without: guidance 3 shows + 3, whatever the
    length, and whether windows are made one by one or together."""
    first = torch.tensor([5.0, 7.0]).view(2, 1, 1, 1, 1)
    conditions = Conditions(
        torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1, 1), torch.zeros(2, 1, 1), [torch.zeros(40, 1)] * 2,
        torch.randn(2, 1, 9, 1, 1), torch.ones(1, 1, 1, 1), first,
    )  # fmt: skip
    told = []
    for stride in (1, 2):
        made = sample(
            Generator(_Mean(), torch.nn.Identity()), FlowMatching(prediction="x0"), conditions,
            Guidance(audio=3.0), steps=1, window=3, prefix_noise=0.0, stride=stride,
            progress=lambda done, count: told.append((done, count)),
        )  # fmt: skip
        assert made.flatten(1).tolist() == [[5] + [8] * 8, [7] + [10] * 8]
    assert told == [(8, 8), (4, 4)]


@given(st.integers(1, 1000))
def test_enough_latents_and_not_one_more(frames):
    count = latent_frames(frames)
    assert 4 * (count - 1) + 1 >= frames and (count == 1 or 4 * (count - 2) + 1 < frames)


def test_audio_of_a_window():
    track = torch.arange(1, 18).float()[:, None]  # frames 0 … 16 hold 1 … 17
    assert audio_window(track, 0, 1, 2)[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3]
    assert audio_window(track, 2, 2, 1)[:, 0].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert audio_window(track, 4, 1, 3)[:, 0].tolist() == [11, 12, 13, 14, 15, 16, 17, 0, 0, 0]
    assert audio_window(track, 50, 1, 0).abs().sum() == 0


def test_normalising_is_undone():
    torch.manual_seed(0)
    statistics = Statistics(
        {
            "change_mean": torch.randn(3, 2, 2),
            "change_spread": torch.rand(3, 2, 2) + 0.5,
            "reference_mean": torch.randn(3, 1, 1),
            "reference_spread": torch.rand(3, 1, 1) + 0.5,
            "sensitivity": torch.tensor([1.0, 2.0, 4.0])[:, None, None],
        }
    )
    latents, reference = torch.randn(2, 3, 5, 2, 2), torch.randn(2, 3, 1, 2, 2)
    again = statistics.restore(statistics.normalise(latents, reference), reference)
    torch.testing.assert_close(again, latents)
    weight = statistics.importance()
    assert weight.shape == (3, 1, 2, 2) and float(weight.mean()) == pytest.approx(1)
    kept = statistics.whitened(1.0).tensors["change_spread"]
    torch.testing.assert_close(kept, statistics.tensors["change_spread"])
    plain = statistics.whitened(0.0).tensors["change_spread"]
    torch.testing.assert_close(plain, kept.square().mean().sqrt().expand_as(plain))


def test_inputs_are_examined():
    time = np.arange(32_000) / 16_000
    speech = (np.sin(700 * time) * (np.sin(9 * time) > 0.3) * 0.3).astype(np.float32)
    assert check_audio(speech) is not None
    with pytest.warns(InputWarning, match="silent"):
        check_audio(np.zeros(16_000, np.float32))
    with pytest.raises(InputError, match="finite"):
        check_audio(np.array([np.nan], np.float32))
    with pytest.raises(InputError, match="empty"):
        check_text("  ")
    with pytest.warns(InputWarning, match="vague"):
        check_text("talk")
    with pytest.raises(InputError, match="no face"):
        frame_portrait(np.full((96, 96, 3), 90, np.uint8), 0.5)


def test_what_sounds_beside_the_speech_is_told():
    from components.avatar.sound_check import complaints
    from components.corpus.recordings import recording
    from components.corpus.speech import sentence, synthesise

    rng = np.random.default_rng(0)
    for speech in (synthesise(sentence(1, "train"), 1).samples, recording(0).samples):
        assert complaints(speech) == []
        power = np.sqrt((speech**2).mean())
        noise = rng.normal(0, power * 10 ** (-10 / 20), len(speech)).astype(np.float32)
        (said,) = complaints(speech + noise)
        assert "noisy" in said
        time = np.arange(len(speech)) / 16_000
        chord = sum(np.sin(2 * np.pi * f * k * time) / k for f in (220, 277, 330) for k in (1, 2, 3))
        chord = chord / chord.std() * power * 10 ** (-10 / 20)
        (said,) = complaints((speech + chord).astype(np.float32))
        assert "music" in said
        assert any("clipped" in said for said in complaints(np.clip(speech * 40, -1, 1)))
    assert complaints(np.zeros(40_000, np.float32)) == ["the audio is silent: the mouth will hardly move"]
    assert complaints(np.full(10, 0.1, np.float32)) == []


def test_decoding_in_parts_changes_nothing(monkeypatch):
    from components.avatar import encoders as module
    from components.avatar.vae import PatchVAE

    torch.manual_seed(0)
    vae = PatchVAE(channels=4, width=8, encoder_depth=1, decoder_depth=2, smoothing=0.1).eval()
    torch.nn.init.normal_(vae.decoder.leave.weight, std=0.3)
    settings = module.EncoderSettings(16, False, 4, 0.6)
    made = module.Encoders(vae, None, None, None, settings)
    latents = torch.randn(4, 11, 2, 2)
    whole = made.pictures(latents)
    assert whole.shape == (41, 16, 16, 3)
    monkeypatch.setattr(module, "DECODED_AT_ONCE", 3)
    parts = made.pictures(latents).astype(int)
    assert parts.shape == whole.shape and np.abs(parts - whole).max() <= 1


def test_noise_gets_no_guidance_and_what_sound_explains_does():
    change = torch.zeros(1, 3, 2, 1, 1)
    change[0, 0], change[0, 1] = 0.6, 0.1  # sound explains .36, .01 and none of the channels' variance
    weights = strong(change, 0.02).flatten().tolist()
    assert weights == pytest.approx([0.36 / 0.38, 0.01 / 0.03, 0.0])
    assert strong(change, 0.0).flatten().tolist() == [1, 1, 1]


def test_what_sound_leaves_alone_is_held_to_the_reference():
    x0, first = torch.full((1, 2, 3, 5, 5), 4.0), torch.full((1, 2, 1, 5, 5), 1.0)
    places = torch.zeros(1, 1, 1, 5, 5)
    places[..., 1:4, 1:4] = 1
    drawn = held(x0, first, softened(places), 0.5)
    assert drawn.shape == x0.shape
    assert drawn[0, 0, 0, 2, 2] == 4, "in the middle of where sound acts nothing is held"
    assert drawn[0, 0, 0, 0, 0] == pytest.approx(1 + 3 * (1 - 0.5 * 8 / 9)), (
        "a corner's cell has one neighbour"
    )
    torch.testing.assert_close(held(x0, first, places, 0.0), x0)
    torch.testing.assert_close(held(x0, first, places * 0, 1.0), first.expand_as(x0))


def test_guidance_is_focused_where_sound_acts():
    change = torch.full((1, 3, 2, 4, 4), 0.1)
    change[..., 1, 1] = 0.1 * 3**0.5  # three times the median's mean square: half
    change[..., 2, 2] = -0.5  # twenty-five times: all
    weights = focused(change, 2.0)[0, 0, 0]
    assert weights[1, 1] == pytest.approx(0.5) and weights[2, 2] == 1 and weights.sum() == pytest.approx(1.5)
    assert focused(torch.zeros(1, 3, 2, 4, 4), 2.0).sum() == 0, "no change, nothing to amplify"


def _small(frames: int = 10) -> tuple[Generator, Conditions]:
    torch.manual_seed(0)
    body = SyncDreamerTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=24, in_channels=8, out_channels=8,
        text_dim=16, freq_dim=32, ffn_dim=64, num_layers=2, reference_channels=8, identity_dim=32,
        audio_dim=12, audio_window=3, audio_context=2, continues=True,
    )  # fmt: skip
    still = (1, 8, 1, 8, 8)
    conditions = Conditions(
        torch.randn(still), torch.randn(1, 17, 20), torch.randn(1, 6, 16), [torch.randn(37, 12)],
        torch.randn(1, 8, frames, 8, 8), torch.ones(8, 1, 8, 8), torch.randn(still),
    )  # fmt: skip
    return Generator(body, VisualAdapter(20, 32, heads=4)).eval(), conditions


def _sampled(generator: Generator, conditions: Conditions) -> torch.Tensor:
    flow, guidance = FlowMatching(3.0, "preconditioned", 1.5), Guidance(2.0, 4.0, 2.0, 2.0)
    return sample(generator, flow, conditions, guidance, steps=2, window=6, prefix_noise=0.1)


def test_sampling_follows_the_generator_to_another_device():
    """Without an accelerator: the meta device refuses to mix with the CPU as one would. The end is reached,
    where nothing can be brought back from it."""
    generator, conditions = _small()
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor") as told:
        _sampled(generator.to("meta"), conditions)
    assert "made[:, :, : self.frames].cpu()" in str(told.traceback[-1].statement)


def test_sampling_in_bf16_comes_close_to_float32():
    generator, conditions = _small()
    exact = _sampled(generator, conditions)
    rough = _sampled(generator.to(torch.bfloat16), conditions)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean() < 1e-3 * exact.square().mean()
