"""The Audio Dynamics Encoder: which moments of the sound matter, and rhythm cues to judge them by.

Main paper: `w_t = f_temp(A[t-k : t+k]) in [0,1]`, `Ã_t = w_t · A_t`, k = 3, on Wav2Vec2-like features
A (T,d) at the video's frame rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from components.core.media import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RHYTHM_CUES = ("log_rms", "onset", "beat_sin", "beat_cos", "log_f0")


class AudioDynamicsEncoder(nn.Module):
    """Weighs each audio frame by its surroundings.

    Args:
        dim: width of a frame's features (rhythm cues included, if they were appended).
        window: k; a weight sees frames t-k … t+k, with zeros beyond the ends.
        hidden: width of the temporal MLP.
    """

    def __init__(self, dim: int, window: int = 3, hidden: int | None = None) -> None:
        super().__init__()
        if dim < 1 or window < 0:
            raise ValueError(f"dim must be positive and window not negative, got {dim} and {window}")
        self.dim, self.window = dim, window
        span = 2 * window + 1
        self.temporal = nn.Sequential(
            nn.Linear(span * dim, hidden or max(16, dim)), nn.GELU(), nn.Linear(hidden or max(16, dim), 1)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B,T,dim) → weighted features (B,T,dim) and weights (B,T) in [0,1].

        Raises:
            ValueError: the input is not (B,T,dim).
        """
        if features.ndim != 3 or features.shape[-1] != self.dim:
            raise ValueError(f"audio features must be (B,T,{self.dim}), got {tuple(features.shape)}")
        padded = nn.functional.pad(features, (0, 0, self.window, self.window))
        around = padded.unfold(1, 2 * self.window + 1, 1).flatten(2)
        weights = torch.sigmoid(self.temporal(around).squeeze(-1))
        return features * weights.unsqueeze(-1), weights


def group_by_latent(features: Tensor, margin: int, context: int) -> Tensor:
    """Frame features → the tokens that each latent frame listens to, by the 4k+1 rule.

    A latent frame j covers video frames 4j-3 … 4j (latent 0 covers frame 0, padded three times). Its
    tokens are those four and `context` more on either side.

    Args:
        features: (B, 4F+2·margin, D), starting `margin` frames before the first latent's first frame.
        margin: frames given on either side, at least `context`.
        context: frames of context wanted on either side.

    Returns:
        (B, F, 4+2·context, D).

    Raises:
        ValueError: the length is not 4F+2·margin, or the margin is too small.
    """
    frames = features.shape[1] - 2 * margin
    if frames < 4 or frames % 4 or margin < context:
        raise ValueError(
            f"{features.shape[1]} audio frames do not make whole latents of 4 with a margin of {margin}"
            f" and a context of {context}"
        )
    begin = margin - context
    inner = features[:, begin : begin + frames + 2 * context]
    return inner.unfold(1, 4 + 2 * context, 4).transpose(2, 3)


def rhythm_cues(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Rhythm of the sound at the video's frame rate, to be appended to audio features.

    Args:
        samples: (N,) float32 in [-1,1] at 16 kHz.
        frames: number of video frames T.

    Returns:
        (T, 5) float32, columns `RHYTHM_CUES`, each roughly in [-1,1]: log RMS relative to the clip's
        loudest, onset strength, sine and cosine of the beat's phase, log-f0 about 150 Hz (0 unvoiced).
    """
    import numpy as np

    hop = SAMPLE_RATE // FPS
    sound = np.zeros(frames * hop, np.float64)
    count = min(len(samples), len(sound))
    sound[:count] = samples[:count]
    rms = np.sqrt((sound.reshape(frames, hop) ** 2).mean(1))
    level = np.log10(np.maximum(rms, 1e-4 * max(rms.max(), 1e-4)) / max(rms.max(), 1e-4)) / 2 + 1
    onset = np.maximum(np.diff(level, prepend=level[:1]), 0)
    phase = _beat_phase(onset)
    pitch = _log_f0(sound, frames, hop)
    return np.stack([level, onset, np.sin(phase), np.cos(phase), pitch], 1).astype(np.float32)


def _beat_phase(onset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phase (T,) rad of the strongest periodicity of the onsets between 40 and 200 beats a minute."""
    import numpy as np

    times = np.arange(len(onset)) / FPS
    tempi = np.linspace(40, 200, 81) / 60
    power = np.exp(-2j * np.pi * tempi[:, None] * times[None]) @ (onset - onset.mean())
    best = int(np.abs(power).argmax())
    return 2 * np.pi * tempi[best] * times + np.angle(power[best])


def _log_f0(sound: NDArray[np.float64], frames: int, hop: int) -> NDArray[np.float64]:
    """log2(f0/150 Hz) (T,) by the autocorrelation's peak between 60 and 400 Hz; 0 where it is unclear."""
    import numpy as np

    size = 1024
    padded = np.pad(sound, (size // 2, size))
    window = np.hanning(size)
    starts = np.arange(frames) * hop + hop // 2
    pieces = np.stack([padded[start : start + size] for start in starts]) * window
    spectrum = np.fft.rfft(pieces, 2 * size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :size]
    low, high = SAMPLE_RATE // 400, SAMPLE_RATE // 60
    lags = correlation[:, low:high]
    peak = lags.argmax(1)
    strength = lags.max(1) / np.maximum(correlation[:, 0], 1e-9)
    voiced = (strength > 0.3) & (correlation[:, 0] > 1e-3)
    return np.where(voiced, np.log2(SAMPLE_RATE / (peak + low) / 150), 0.0)
