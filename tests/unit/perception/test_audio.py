"""Log-mel frames and the speech encoder's interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.core.files import digest_tree
from components.perception.audio import FEATURES, AudioEncoder, Wav2Vec2, fit_frames, log_mel
from components.perception.audio_training import train, utterance
from components.perception.params import AudioParams

TINY = AudioParams(sentences=12, steps=20, batch=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("audio")
    figures = train(TINY, made, 5)
    assert 0 < figures["viseme_accuracy"] <= 1
    return made


def test_a_tone_lights_its_band_at_its_time() -> None:
    samples = np.zeros(16_000, np.float32)
    t = np.arange(3200) / 16_000
    samples[8000:11_200] = 0.3 * np.sin(2 * np.pi * 1000 * t)
    mel = log_mel(samples)
    assert mel.shape == (100, 40) and mel.dtype == np.float32
    assert mel[:48].max() < 0.01, "silence is 0"
    assert mel[52:68].max(1).min() > 3
    low, high = 2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7600 / 700)
    band = (2595 * np.log10(1 + 1000 / 700) - low) / (high - low) * 41 - 1
    assert abs(int(mel[60].argmax()) - band) <= 1


@given(gain=st.floats(0.2, 3.0), seed=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_gain_does_not_matter(gain: float, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.05, 8000).astype(np.float32)
    assert np.allclose(log_mel(samples), log_mel(samples * np.float32(gain)), atol=1e-3)


@pytest.mark.parametrize("count", [0, 1, 159, 160, 640, 6399])
def test_frames_per_sample(count: int) -> None:
    assert log_mel(np.zeros(count, np.float32)).shape == (count // 160, 40)


def test_fit_frames_cuts_and_pads() -> None:
    mel = np.ones((10, 40), np.float32)
    assert fit_frames(mel, 2).shape == (8, 40)
    padded = fit_frames(mel, 3)
    assert padded.shape == (12, 40) and padded[10:].max() == 0


def test_features_have_a_row_a_frame(folder: Path) -> None:
    encoder = AudioEncoder.load(folder)
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    found = encoder.features(samples, 25)
    assert found.shape == (25, FEATURES) and found.dtype == np.float32
    assert encoder.features(samples, 40).shape == (40, FEATURES), "silence fills a short sound"
    assert encoder.opening(samples, 25).shape == (25,)
    assert len(encoder.visemes(samples, 25)) == 25
    assert encoder.name == "small-audio" and len(encoder.digest) == 12


def test_features_are_local_in_time(folder: Path) -> None:
    """A change of the sound after frame 20 leaves the features of frames well before it alone."""
    encoder = AudioEncoder.load(folder)
    first = np.random.default_rng(1).normal(0, 0.1, 25_600).astype(np.float32)
    second = first.copy()
    second[20 * 640 :] = second[20 * 640 :][::-1]
    a, b = encoder.features(first, 40), encoder.features(second, 40)
    assert np.allclose(a[:14], b[:14], atol=1e-2)
    assert not np.allclose(a[22:], b[22:], atol=1e-2)


def test_training_repeats_to_the_byte(folder: Path, tmp_path: Path) -> None:
    train(TINY, tmp_path, 5)
    assert digest_tree(tmp_path) == digest_tree(folder)


def test_utterances_align_sound_and_labels() -> None:
    one = utterance(3, 0)
    assert len(one.mel) == len(one.visemes) == len(one.targets)
    loud = one.mel.mean(1)
    assert np.corrcoef(loud, one.targets[:, 1])[0, 1] > 0.5


def test_refusals(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        AudioEncoder.load(tmp_path)
    with pytest.raises(InputError, match="frames"):
        AudioEncoder.load(folder).features(np.zeros(100, np.float32), 0)
    with pytest.raises(InputError, match="finite"):
        log_mel(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="samples"):
        log_mel(np.zeros((2, 100)))
    with pytest.raises(InputError, match=r"config\.json"):
        Wav2Vec2(tmp_path)
    (tmp_path / "config.json").write_text('{"name": "small-audio", "visemes": ["sil"]}')
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="does not fit"):
        AudioEncoder.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="does not fit"):
        AudioEncoder.load(tmp_path)
