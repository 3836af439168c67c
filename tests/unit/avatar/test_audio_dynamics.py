"""The Audio Dynamics Encoder and the rhythm cues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.avatar.audio_dynamics import AudioDynamicsEncoder, group_by_latent, rhythm_cues


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 23), dim=st.integers(1, 9), window=st.integers(0, 4), scale=st.floats(0.01, 50))
def test_weights_lie_in_the_unit_interval_and_scale_the_features(frames, dim, window, scale):
    torch.manual_seed(0)
    features = torch.randn(2, frames, dim) * scale
    weighted, weights = AudioDynamicsEncoder(dim, window)(features)
    assert weighted.shape == features.shape and weights.shape == (2, frames)
    assert ((weights >= 0) & (weights <= 1)).all()
    torch.testing.assert_close(weighted, features * weights[..., None])


@pytest.mark.parametrize("window", [0, 1, 3])
def test_a_weight_sees_its_window_and_nothing_else(window):
    torch.manual_seed(1)
    encoder = AudioDynamicsEncoder(5, window)
    features = torch.randn(1, 31, 5)
    _, before = encoder(features)
    changed = features.clone()
    changed[:, 15] += 3
    _, after = encoder(changed)
    moved = (before != after)[0].nonzero().flatten().tolist()
    assert moved == list(range(15 - window, 15 + window + 1))


def test_ends_are_padded_with_zeros():
    torch.manual_seed(2)
    encoder = AudioDynamicsEncoder(4, 3)
    features = torch.randn(1, 6, 4)
    longer = torch.nn.functional.pad(features, (0, 0, 5, 5))
    torch.testing.assert_close(encoder(features)[1], encoder(longer)[1][:, 5:-5])


def test_a_weight_by_hand():
    encoder = AudioDynamicsEncoder(1, 1, hidden=1)
    with torch.no_grad():
        first, _, last = encoder.temporal
        first.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        first.bias.zero_()
        last.weight.fill_(0.5)
        last.bias.zero_()
    _, weights = encoder(torch.tensor([[[1.0], [0.0], [2.0]]]))
    hidden = torch.nn.functional.gelu(torch.tensor([2.0, 7.0, 4.0]))
    torch.testing.assert_close(weights[0], torch.sigmoid(0.5 * hidden))


def test_a_wrong_shape_is_told():
    with pytest.raises(ValueError, match=r"\(B,T,4\)"):
        AudioDynamicsEncoder(4)(torch.zeros(2, 4))


def test_a_latent_listens_to_its_own_frames_and_some_around():
    margin, context = 5, 2
    first_frame = -3 - margin  # latent 0 is frame 0 padded three times
    frames = torch.arange(first_frame, first_frame + 4 * 3 + 2 * margin).float()
    groups = group_by_latent(frames[None, :, None], margin, context)
    assert groups.shape == (1, 3, 8, 1)
    assert groups[0, 0, :, 0].tolist() == [-5, -4, -3, -2, -1, 0, 1, 2]
    assert groups[0, 2, :, 0].tolist() == [4 * 2 - 5 + i for i in range(8)]


@pytest.mark.parametrize("length", [9, 13, 21])
def test_audio_that_does_not_make_whole_latents_is_refused(length):
    with pytest.raises(ValueError, match="whole latents"):
        group_by_latent(torch.zeros(1, length, 2), 5, 2)


def test_rhythm_cues_follow_loudness_and_pitch():
    rate, frames = 16_000, 50
    time = np.arange(frames * 640) / rate
    tone = np.sin(2 * np.pi * 150 * time) * (time >= 1.0) * 0.5
    cues = rhythm_cues(tone.astype(np.float32), frames)
    assert cues.shape == (frames, 5) and np.isfinite(cues).all()
    assert cues[40, 0] == pytest.approx(1.0, abs=0.02) and cues[10, 0] <= -0.9
    assert cues[:, 1].argmax() == 25
    assert cues[40, 4] == pytest.approx(0.0, abs=0.05) and cues[10, 4] == 0
    np.testing.assert_allclose(cues[:, 2] ** 2 + cues[:, 3] ** 2, 1, atol=1e-5)


def test_silence_and_short_sound_have_cues():
    assert np.isfinite(rhythm_cues(np.zeros(100, np.float32), 7)).all()
    assert rhythm_cues(np.zeros(0, np.float32), 3).shape == (3, 5)
