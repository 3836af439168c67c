"""SyncNet: the published architecture and scoring procedure, against a plain NumPy version of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.perception.sync import OfficialSync, mfcc
from components.perception.syncnet import SyncNet, shift_distances, sync_scores

BLOCKS = {"netcnnaud": (0, 4, 8, 11, 14, 18), "netcnnlip": (0, 4, 8, 11, 14, 18)}


def published_keys() -> set[str]:
    """The 102 names of `syncnet_v2.model`."""
    keys = set()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    for tower, places in BLOCKS.items():
        for place in places:
            keys |= {f"{tower}.{place}.{n}" for n in ("weight", "bias")}
            keys |= {f"{tower}.{place + 1}.{n}" for n in norm}
    for head in ("netfcaud", "netfclip"):
        keys |= {f"{head}.{place}.{n}" for place in (0, 3) for n in ("weight", "bias")}
        keys |= {f"{head}.1.{n}" for n in norm}
    return keys


def reference(video: np.ndarray, audio: np.ndarray, vshift: int = 15) -> tuple[float, float, int]:
    """`calc_pdist` and `evaluate` of syncnet_python, with loops and NumPy."""
    padded = np.concatenate([np.zeros((vshift, audio.shape[1])), audio, np.zeros((vshift, audio.shape[1]))])
    table = np.zeros((2 * vshift + 1, len(video)))
    for i, row in enumerate(video):
        for j in range(2 * vshift + 1):
            table[j, i] = np.sqrt(np.sum((row - padded[i + j] + 1e-6) ** 2))
    means = table.mean(1)
    return float(np.median(means) - means.min()), float(means.min()), vshift - int(means.argmin())


def test_architecture_is_the_published_one() -> None:
    model = SyncNet()
    assert sum(p.numel() for p in model.parameters()) == 13_631_616
    assert set(model.state_dict()) == published_keys()
    assert len(model.state_dict()) == 102
    model.eval()
    with torch.inference_mode():
        assert model.forward_aud(torch.zeros(2, 1, 13, 20)).shape == (2, 1024)
        assert model.forward_lip(torch.zeros(1, 3, 5, 224, 224)).shape == (1, 1024)


@given(seed=st.integers(0, 10_000), frames=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_scores_equal_the_reference(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    video, audio = rng.normal(size=(2, frames, 12))
    scores = sync_scores(video, audio)
    confidence, distance, offset = reference(video, audio)
    assert scores.confidence == pytest.approx(confidence, abs=1e-9)
    assert scores.distance == pytest.approx(distance, abs=1e-9)
    assert scores.offset == offset


@pytest.mark.parametrize("late", [-15, -7, -1, 0, 1, 4, 15])
@pytest.mark.parametrize("padding", ["zero", "valid"])
def test_planted_offsets_are_found(late: int, padding: str) -> None:
    rng = np.random.default_rng(late + 50)
    long = rng.normal(size=(160, 32)).astype(np.float32)
    scores = sync_scores(long[30:130], long[30 - late : 130 - late], padding=padding)
    assert scores.offset == -late, "sound that comes late has a negative offset"
    assert scores.distance < 1
    assert (scores.agreement == pytest.approx(scores.confidence)) == (late == 0)


def test_constant_embeddings_get_confidence_from_zero_padding_alone() -> None:
    """Same vector everywhere, one unit apart per window of 100 and 10 long: C is due to the zeros only."""
    video = torch.full((100, 4), 0.0)
    video[:, 0] = 10.0
    audio = video.clone()
    audio[:, 1] = 5.0
    scores = sync_scores(video, audio)
    assert scores.distance == pytest.approx(5.0, abs=1e-4)
    # The median of 31 shifts is that of ±8 frames: 8 of 100 windows meet a zero vector (distance 10).
    assert scores.confidence == pytest.approx(0.08 * (10 - 5), abs=1e-3)
    assert sync_scores(video, audio, padding="valid").confidence == pytest.approx(0.0, abs=1e-6)


def test_shift_distances_by_hand() -> None:
    video = torch.tensor([[0.0], [1.0], [2.0]])
    audio = torch.tensor([[1.0], [2.0], [4.0]])
    # shift −1: |1−1|, |2−2|; shift 0: 1, 1, 2; shift +1: |0−2|, |1−4|
    expected = torch.tensor([0.0, 4 / 3, 2.5])
    assert torch.allclose(shift_distances(video, audio, 1, padding="valid"), expected, atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(InputError, match="two equal"):
        sync_scores(np.zeros((4, 2)), np.zeros((5, 2)))
    with pytest.raises(InputError, match="too few"):
        sync_scores(np.zeros((4, 2)), np.zeros((4, 2)), padding="valid")
    with pytest.raises(InputError, match="NaN"):
        sync_scores(np.full((4, 2), np.nan), np.zeros((4, 2)))
    with pytest.raises(InputError, match="padding"):
        sync_scores(np.zeros((4, 2)), np.zeros((4, 2)), padding="mirror")


def test_weights_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        SyncNet.from_file(tmp_path / "none.model")
    torch.save({"something": torch.zeros(1)}, tmp_path / "wrong.model")
    with pytest.raises(InputError, match="not a SyncNet state dict"):
        SyncNet.from_file(tmp_path / "wrong.model")
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    model = OfficialSync(tmp_path / "syncnet_v2.model")
    faces = np.random.default_rng(0).integers(0, 255, (8, 224, 224, 3), dtype=np.uint8)
    scores = model.score(faces, np.random.default_rng(1).normal(0, 0.1, 8 * 640).astype(np.float32))
    assert np.isfinite([scores.confidence, scores.distance]).all()
    assert model.name == "syncnet_v2"
    with pytest.raises(InputError, match="224"):
        model.score(faces[:, :100], np.zeros(6400, np.float32))
    with pytest.raises(InputError, match="silent"):
        model.score(faces, np.zeros(8 * 640, np.float32))
    with pytest.raises(InputError, match="NaN"):
        model.score(faces, np.full(8 * 640, np.nan, np.float32))


def test_mfcc_shape_and_energy() -> None:
    """25 ms frames every 10 ms, the tail padded as python_speech_features pads it; c0 is the log energy."""
    t = np.arange(16_000) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    found = mfcc(tone)
    assert found.shape == (1 + int(np.ceil((16_000 - 400) / 160)), 13)
    louder = mfcc(tone * 2)
    assert np.allclose(louder[5:90, 0] - found[5:90, 0], np.log(4), atol=1e-3)
    assert np.allclose(louder[5:90, 1:], found[5:90, 1:], atol=1e-2)


def speech_features(samples: np.ndarray) -> np.ndarray:
    """`python_speech_features.mfcc` with its defaults at 16 kHz, in its own loops."""
    from scipy.fftpack import dct

    signal = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    count = 1 + int(np.ceil((len(signal) - 400) / 160))
    signal = np.concatenate([signal, np.zeros((count - 1) * 160 + 400 - len(signal))])
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700.0), 28)
    bins = np.floor(513 * (700 * (10 ** (mels / 2595.0) - 1)) / 16000)
    bank = np.zeros((26, 257))
    for j in range(26):
        for i in range(int(bins[j]), int(bins[j + 1])):
            bank[j, i] = (i - bins[j]) / (bins[j + 1] - bins[j])
        for i in range(int(bins[j + 1]), int(bins[j + 2])):
            bank[j, i] = (bins[j + 2] - i) / (bins[j + 2] - bins[j + 1])
    rows = []
    for k in range(count):
        power = np.abs(np.fft.rfft(signal[160 * k : 160 * k + 400], 512)) ** 2 / 512
        row = dct(np.log(bank @ power), type=2, norm="ortho")[:13] * (
            1 + 11 * np.sin(np.pi * np.arange(13) / 22)
        )
        row[0] = np.log(power.sum())
        rows.append(row)
    return np.array(rows)


def test_mfcc_matches_python_speech_features() -> None:
    samples = np.random.default_rng(3).integers(-9000, 9000, 4000).astype(np.int16)
    found = mfcc(samples.astype(np.float32) / 32768)
    assert np.allclose(found, speech_features(samples.astype(np.float64)), atol=1e-3)
