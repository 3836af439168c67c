"""Ears: log-mel frames, the small speech encoder with its viseme head, and official wav2vec 2.0.

Time grid: mel frame n is centred in samples [160 n, 160 (n+1)), so picture frame t at 25 fps covers mel
frames 4 t … 4 t + 3.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOP = 160
WINDOW = 400
FFT = 512
MELS = 40
MEL_PER_FRAME = SAMPLE_RATE // HOP // FPS
FLOOR = 1e-4
FEATURES = 32


@lru_cache(maxsize=1)
def _mel_matrix() -> NDArray[np.float32]:
    """(FFT/2+1, MELS) triangles, equally spaced in mel (HTK) from 60 Hz to 7.6 kHz."""
    edges = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7600 / 700), MELS + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    bins = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def checked_samples(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Samples as (N,) float32.

    Raises:
        InputError: not one-dimensional, or not finite.
    """
    array = np.asarray(samples, np.float32)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputError(f"samples must be (N,) finite numbers, got shape {array.shape}")
    return array


def levelled(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Samples at a common loudness: RMS 0.1 over the louder frames, amplified 30-fold at most."""
    array = checked_samples(samples)
    frames = array[: len(array) // HOP * HOP].reshape(-1, HOP)
    if not len(frames):
        return array
    power = (frames.astype(np.float64) ** 2).mean(1)
    loud = power[power >= 0.1 * power.max()]
    return (array * min(0.1 / max(float(np.sqrt(loud.mean())), 1e-9), 30.0)).astype(np.float32)


def log_mel(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N // 160, 40) float32 at 100 Hz: log10 of mel power over the floor, 0 (silence) … about 6.

    The loudness is levelled first, so that gain does not matter.

    Raises:
        InputError: the samples are not a finite (N,) array.
    """
    array = levelled(samples)
    count = len(array) // HOP
    if not count:
        return np.zeros((0, MELS), np.float32)
    side = (WINDOW - HOP) // 2
    padded = np.pad(array, (side, side + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    spectrum = np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32), FFT)
    power = (np.abs(spectrum) ** 2).astype(np.float32) @ _mel_matrix()
    return np.log10(1 + power / (FLOOR * FFT)).astype(np.float32)


def fit_frames(mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Cuts or pads (with silence) a mel (N,40) to 4 · frames rows."""
    wanted = frames * MEL_PER_FRAME
    return np.pad(mel[:wanted], ((0, max(0, wanted - len(mel))), (0, 0)))


def _network(visemes: int) -> Any:
    """Dilated convolutions over mel frames, ±0.16 s of context, to 32 features and a viseme head."""
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv1d(MELS, 96, 5, padding=2),
                nn.GELU(),
                nn.Conv1d(96, 96, 5, padding=4, dilation=2),
                nn.GELU(),
                nn.Conv1d(96, 96, 5, padding=8, dilation=4),
                nn.GELU(),
                nn.Conv1d(96, FEATURES, 1),
            )
            self.visemes = nn.Conv1d(FEATURES, visemes, 1)
            self.opening = nn.Conv1d(FEATURES, 2, 1)

        def forward(self, mel):  # type: ignore[no-untyped-def]  # (B,40,N) → (B,32,N)
            return self.body(mel)

    return Network()


class AudioEncoder:
    """Speech → what the mouth does: (frames,32) at 25 Hz. A small net in the place of wav2vec 2.0.

    Features are the last layer before the viseme and opening heads, averaged over the four mel frames of a
    picture frame and divided by their spread over training.
    """

    def __init__(self, network: Any, config: dict[str, Any], digest: str) -> None:
        self.network = network.eval()
        self.config = config
        self.digest = digest
        self.name: str = config["name"]

    @classmethod
    def load(cls, folder: Path) -> AudioEncoder:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: a file is missing or does not fit.
        """
        from components.perception.weights import load_model

        return cls(*load_model(folder, lambda config: _network(len(config["visemes"]))))

    def _run(
        self, samples: NDArray[np.floating], frames: int, head: str | None = None
    ) -> NDArray[np.float32]:
        import torch

        if frames < 1:
            raise InputError(f"frames must be at least 1, got {frames}")
        mel = torch.from_numpy(fit_frames(log_mel(samples), frames)).T[None]
        with torch.inference_mode():
            features = self.network(mel)
            if head is not None:
                features = getattr(self.network, head)(features)
            return features[0].reshape(features.shape[1], frames, MEL_PER_FRAME).mean(2).T.numpy()

    def features(self, samples: NDArray[np.floating], frames: int) -> NDArray[np.float32]:
        """(frames,32) float32, about unit variance, of samples (N,) at 16 kHz; silence fills up."""
        mean, spread = (np.asarray(self.config[key], np.float32) for key in ("mean", "spread"))
        return (self._run(samples, frames) - mean) / spread

    def opening(self, samples: NDArray[np.floating], frames: int) -> NDArray[np.float32]:
        """(frames,) the lip opening that the sound suggests, 0 shut … 1 wide."""
        return self._run(samples, frames, "opening")[:, 0].clip(0, 1)

    def visemes(self, samples: NDArray[np.floating], frames: int) -> list[str]:
        """The most probable viseme of each picture frame."""
        scores = self._run(samples, frames, "visemes")
        return [self.config["visemes"][i] for i in scores.argmax(1)]


class Wav2Vec2:
    """Official wav2vec 2.0 (base-960h as the published avatar models use it) from a local folder.

    The CNN features are interpolated linearly (align_corners) to the video's frame count before the
    transformer; the hidden states of all layers are stacked.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").exists():
            raise InputError(
                f"wav2vec2 folder {folder} has no config.json; give a transformers checkpoint folder"
            )
        from transformers import Wav2Vec2Model

        self.network = Wav2Vec2Model.from_pretrained(str(folder), local_files_only=True).eval()
        self.name = "wav2vec2"

    def features(self, samples: NDArray[np.floating], frames: int) -> NDArray[np.float32]:
        """(frames, layers, width) float32: hidden states after each transformer layer."""
        import torch
        from torch.nn import functional as F

        array = checked_samples(samples)
        array = (array - array.mean()) / np.sqrt(array.var() + 1e-7)
        net = self.network
        layers: list[Any] = []

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            layers.append(output[0] if isinstance(output, tuple) else output)

        hooks = [layer.register_forward_hook(keep) for layer in net.encoder.layers]
        with torch.inference_mode():
            extracted = net.feature_extractor(torch.from_numpy(array)[None].to(net.device))
            extracted = F.interpolate(extracted, size=frames, mode="linear", align_corners=True)
            hidden, _ = net.feature_projection(extracted.transpose(1, 2))
            net.encoder(hidden)
        for hook in hooks:
            hook.remove()
        return torch.stack(layers, dim=2)[0].float().cpu().numpy()
