"""Voices in a sound track: where speech is, how loud, whether clipped, how many speakers."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.media import SAMPLE_RATE
from components.perception.audio import checked_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EMBED_SECONDS = 1.6
EMBED_HOP_SECONDS = 0.4
SAME_SPEAKER = 0.72
"""Mean cosine of speaker embeddings above which two stretches are one voice (see `speaker_change`)."""
CLIPPED = 0.985


def _package_file(package: str, *parts: str) -> Path:
    """A data file inside an installed package, without importing the package."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0]).joinpath(*parts) if folders else None
    if path is None or not path.exists():
        raise InputError(f"package {package} with {'/'.join(parts)} is not installed; install the lock file")
    return path


@lru_cache(maxsize=1)
def _vad() -> Any:
    from silero_vad.sequence_vad import SileroVADSequence

    return SileroVADSequence(str(_package_file("silero_vad", "data", "silero_vad_16k_sequence.onnx")))


def speech_segments(samples: NDArray[np.floating], threshold: float = 0.5) -> list[tuple[float, float]]:
    """Stretches of speech as (start, end) in seconds, by silero-vad's bundled network.

    Args:
        samples: (N,) at 16 kHz.
        threshold: speech probability that opens a stretch.
    """
    from silero_vad.sequence_vad import get_speech_timestamps_sequence

    array = checked_samples(samples)
    if not len(array):
        return []
    found = get_speech_timestamps_sequence(array, _vad(), threshold=threshold, sampling_rate=SAMPLE_RATE)
    return [(item["start"] / SAMPLE_RATE, item["end"] / SAMPLE_RATE) for item in found]


def envelope(samples: NDArray[np.floating], frames: int, fps: float = 25) -> NDArray[np.float32]:
    """RMS of the sound in each picture frame's time: (frames,) float32; 0 beyond the sound's end."""
    array = checked_samples(samples).astype(np.float64)
    edges = np.round(np.arange(frames + 1) * SAMPLE_RATE / fps).astype(int)
    total = np.concatenate([[0.0], np.cumsum(array**2)])
    bounded = np.minimum(edges, len(array))
    power = (total[bounded[1:]] - total[bounded[:-1]]) / np.maximum(np.diff(edges), 1)
    return np.sqrt(np.maximum(power, 0)).astype(np.float32)


def clipping_rate(samples: NDArray[np.floating]) -> float:
    """Share of samples in flat tops: runs of three or more within 1.5% of the largest magnitude.

    Found by the flatness, not by full scale, so a clipped sound that was later made quieter, or went
    through a lossy codec, is still seen.
    """
    array = np.abs(checked_samples(samples))
    if not len(array) or array.max() < 1e-3:
        return 0.0
    # A lossy codec rounds flat tops: compare with a high percentile rather than the one largest sample.
    top = float(np.quantile(array, 0.999))
    high = array >= CLIPPED * top
    starts = np.flatnonzero(np.diff(np.concatenate([[0], high.view(np.int8), [0]])))
    runs = starts[1::2] - starts[::2]
    return float(runs[runs >= 3].sum() / len(array))


@lru_cache(maxsize=1)
def _speaker_network() -> Any:
    """The GE2E speaker encoder (three LSTM layers of 256) with Resemblyzer's bundled weights."""
    import torch
    from torch import nn

    class SpeakerEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
            self.linear = nn.Linear(256, 256)

        def forward(self, mel: torch.Tensor) -> torch.Tensor:  # (B,160,40) → (B,256), unit length
            _, (hidden, _) = self.lstm(mel)
            return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    stored = torch.load(_package_file("resemblyzer", "pretrained.pt"), map_location="cpu", weights_only=True)
    network = SpeakerEncoder()
    wanted = network.state_dict()
    network.load_state_dict({key: stored["model_state"][key] for key in wanted})
    return network.eval()


@lru_cache(maxsize=1)
def _speaker_filters() -> NDArray[np.float32]:
    """(201,40) triangles of Slaney's mel scale with unit area: librosa's default, without its slow import."""
    linear, step = 200 / 3, np.log(6.4) / 27
    top = 15 + np.log(SAMPLE_RATE / 2 / 1000) / step
    mels = np.linspace(0, top, 42)
    edges = np.where(mels < 15, mels * linear, 1000 * np.exp(step * (mels - 15)))
    bins = np.fft.rfftfreq(400, 1 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


def _speaker_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resemblyzer's front end: linear mel power (T,40) at 100 Hz of a sound brought up to −30 dBFS."""
    level = 10 * np.log10(max(float(np.mean(samples.astype(np.float64) ** 2)), 1e-12))
    if level < -30:
        samples = samples * 10 ** ((-30 - level) / 20)
    padded = np.pad(samples.astype(np.float32), 200)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(windows * hann.astype(np.float32), axis=1)) ** 2
    return power.astype(np.float32) @ _speaker_filters()


def speaker_embeddings(
    samples: NDArray[np.floating], hop_s: float = EMBED_HOP_SECONDS
) -> NDArray[np.float32]:
    """(W,256) unit-length speaker embeddings of windows of 1.6 s every `hop_s`; one window if it is short."""
    import torch

    array = checked_samples(samples)
    size, hop = int(EMBED_SECONDS * 100), max(1, int(hop_s * 100))
    mel = _speaker_mel(array)
    if len(mel) < size:
        mel = np.pad(mel, ((0, size - len(mel)), (0, 0)))
    windows = np.stack([mel[i : i + size] for i in range(0, len(mel) - size + 1, hop)])
    with torch.inference_mode():
        return _speaker_network()(torch.from_numpy(windows)).numpy()


def speaker_change(samples: NDArray[np.floating], segments: Sequence[tuple[float, float]]) -> int:
    """How many speakers take turns in the speech `segments` (seconds): 0 without speech, else 1, 2, …

    Windows of 1.6 s of joined speech are embedded (GE2E) and clustered by average link; clusters closer
    than `SAME_SPEAKER` are one voice, and a cluster counts from 0.8 s of windows on. Overlapping speakers
    count by who dominates.
    """
    array = checked_samples(samples)
    parts = [array[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in segments]
    speech = np.concatenate(parts) if parts else array[:0]
    if len(speech) < SAMPLE_RATE // 4:
        return 0
    vectors = speaker_embeddings(speech, hop_s=0.2)
    if len(vectors) < 2:
        return 1
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(vectors, "average", metric="cosine"), 1 - SAME_SPEAKER, "distance")
    sizes = np.bincount(labels)
    return max(1, int((sizes >= 4).sum()))
