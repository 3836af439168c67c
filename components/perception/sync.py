"""Lip sync: the small model that stands in for SyncNet, and SyncNet itself from official weights.

Both score a track of mouth pictures against sound, over windows of 5 frames and 0.2 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE
from components.perception.audio import MEL_PER_FRAME, MELS, fit_frames, log_mel
from components.perception.syncnet import VSHIFT, WINDOW_FRAMES, SyncNet, SyncScores, sync_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from components.perception.faces import Face, FaceDetector

NAME = "small-sync"
MOUTH = 48
INPUT = 32
EMBEDDING = 64
LENGTH = 10.0
"""Length of the small model's embeddings, which gives its figures SyncNet's size; no more is meant."""
STRIDE = 3
SHORTEST = VSHIFT + WINDOW_FRAMES
"""Fewest frames that can be scored."""


def small_network() -> Any:
    """A frame encoder, a mel encoder, and 5-frame windows over both: under 0.4 M parameters.

    What stays the same over a clip (the person, the voice, the light) is taken away as the mean over time.
    """
    from torch import nn
    from torch.nn import functional as F

    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frame = nn.Sequential(*stage(3, 16), *stage(16, 32), *stage(32, 64), nn.Flatten())
            self.frame_out = nn.Linear(64 * 16, 96)
            self.picture = nn.Sequential(
                nn.Conv1d(96, 128, WINDOW_FRAMES), nn.ReLU(), nn.Conv1d(128, EMBEDDING, 1)
            )
            self.mel = nn.Sequential(
                nn.Conv1d(MELS, 128, MEL_PER_FRAME, stride=MEL_PER_FRAME), nn.ReLU(), nn.Conv1d(128, 96, 1)
            )
            self.sound = nn.Sequential(
                nn.Conv1d(96, 160, WINDOW_FRAMES), nn.ReLU(), nn.Conv1d(160, EMBEDDING, 1)
            )

        def video(self, mouths: torch.Tensor) -> torch.Tensor:  # (B,T,3,32,32) in [-1,1] → (B,T-4,64)
            batch, frames = mouths.shape[:2]
            seen = self.frame_out(self.frame(mouths.flatten(0, 1))).view(batch, frames, -1)
            seen = seen - seen.mean(1, keepdim=True)
            return F.normalize(self.picture(seen.transpose(1, 2)).transpose(1, 2), dim=2)

        def audio(self, mel: torch.Tensor) -> torch.Tensor:  # (B,4T,40) → (B,T-4,64)
            heard = self.mel(mel.transpose(1, 2))
            heard = heard - heard.mean(2, keepdim=True)
            return F.normalize(self.sound(heard).transpose(1, 2), dim=2)

    return Network()


def mouth_pixels(mouths: NDArray[np.uint8]) -> Any:
    """(T,h,w,3) uint8 → (T,3,32,32) float in [-1,1], area-averaged."""
    import cv2
    import torch

    if mouths.ndim != 4 or mouths.shape[3] != 3 or mouths.dtype != np.uint8:
        raise InputError(f"mouths must be (T,h,w,3) uint8, got {mouths.dtype} {mouths.shape}")
    small = np.stack([cv2.resize(m, (INPUT, INPUT), interpolation=cv2.INTER_AREA) for m in mouths])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


def mouth_track(
    frames: NDArray[np.uint8], detector: FaceDetector, faces: Sequence[Face] | None = None
) -> NDArray[np.uint8] | None:
    """Mouth pictures (T,48,48,3) uint8 of a clip (T,H,W,3), or None when no face can be followed.

    `faces` (one a frame, from `faces.track_face`) saves a second search.
    """
    from components.perception.faces import mouth_crop, track_face

    track = faces if faces is not None else track_face(frames, detector, stride=STRIDE)
    if track is None:
        return None
    return np.stack([mouth_crop(frame, face, MOUTH) for frame, face in zip(frames, track, strict=True)])


class SyncModel:
    """Scores how well mouths fit sound. `name` tells which network measured."""

    def __init__(self, network: Any, config: dict[str, Any], digest: str) -> None:
        self.network = network.eval()
        self.config = config
        self.digest = digest
        self.name: str = config["name"]

    @classmethod
    def load(cls, folder: Path) -> SyncModel:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: a file is missing or does not fit.
        """
        from components.perception.weights import load_model

        return cls(*load_model(folder, lambda _: small_network()))

    def embeddings(self, mouths: NDArray[np.uint8], samples: NDArray[np.floating]) -> tuple[Any, Any]:
        """Window embeddings of picture and sound, two tensors (T−4,64) of length 10; T: the shorter of both.

        Raises:
            InputError: fewer than 20 frames or less than 0.8 s of sound.
        """
        import torch

        frames = min(len(mouths), len(samples) * FPS // SAMPLE_RATE)
        if frames < SHORTEST:
            raise InputError(f"sync needs {SHORTEST} frames with sound, got {frames}")
        mel = torch.from_numpy(fit_frames(log_mel(samples), frames))
        with torch.inference_mode():
            video = self.network.video(mouth_pixels(mouths[:frames])[None])[0]
            audio = self.network.audio(mel[None])[0]
        return video * LENGTH, audio * LENGTH

    def score(self, mouths: NDArray[np.uint8], samples: NDArray[np.floating]) -> SyncScores:
        """Sync of mouths (T,h,w,3) uint8 at 25 fps with samples (N,) at 16 kHz, for offsets of ±15 frames.

        Distances average over windows that exist ("valid"), not over zero padding as the reference does:
        embeddings here are of one length, so a zero vector would be nearer than any wrong window.

        Raises:
            InputError: fewer than 20 frames or less than 0.8 s of sound.
        """
        video, audio = self.embeddings(mouths, samples)
        # A clip of 20 frames has 16 windows: shifts stay below that.
        return sync_scores(video, audio, min(VSHIFT, len(video) - 1), padding="valid")

    def score_clip(
        self, frames: NDArray[np.uint8], samples: NDArray[np.floating], detector: FaceDetector
    ) -> SyncScores | None:
        """The same from whole frames (T,H,W,3); None when no face can be followed."""
        mouths = mouth_track(frames, detector)
        return None if mouths is None else self.score(mouths, samples)


class OfficialSync:
    """SyncNet with published weights, on the published crop's geometry, scored as the reference does.

    Args:
        path: `syncnet_v2.model`.
    """

    name = "syncnet_v2"

    def __init__(self, path: Path) -> None:
        from components.core.files import digest_file

        self.network = SyncNet.from_file(path)
        self.digest = digest_file(path)[:12]

    def score(self, faces: NDArray[np.uint8], samples: NDArray[np.floating]) -> SyncScores:
        """Scores of face crops (T,224,224,3) uint8 RGB (see `syncnet_crops`) and samples (N,) at 16 kHz.

        Raises as `embeddings`.
        """
        return sync_scores(*self.embeddings(faces, samples))

    def embeddings(
        self, faces: NDArray[np.uint8], samples: NDArray[np.floating]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Window embeddings of picture and sound, (T−5,1024) each, of the same input as `score`.

        Raises:
            InputError: the crops are not 224 px, there are fewer than six frames with sound, or the sound is
                silent (its embeddings are constant, and zero padding alone would give it a confidence).
        """
        import torch

        if faces.shape[1:] != (224, 224, 3):
            raise InputError(f"SyncNet takes crops of (T,224,224,3), got {faces.shape}")
        windows = min(len(faces), len(samples) // 640) - WINDOW_FRAMES
        if windows < 1:
            raise InputError("SyncNet needs six frames with sound")
        if silent(samples):
            raise InputError("the sound is silent: lip sync is not defined")
        coefficients = torch.from_numpy(mfcc(samples)).T
        pixels = torch.from_numpy(faces[..., ::-1].copy()).permute(3, 0, 1, 2).float()
        seen, heard = [], []
        with torch.inference_mode():
            for begin in range(0, windows, 16):
                chosen = range(begin, min(begin + 16, windows))
                seen.append(self.network.forward_lip(torch.stack([pixels[:, i : i + 5] for i in chosen])))
                mel = torch.stack([coefficients[None, :, 4 * i : 4 * i + 20] for i in chosen])
                heard.append(self.network.forward_aud(mel))
        return torch.cat(seen), torch.cat(heard)


SILENCE = 1e-4
"""Largest amplitude (−80 dB of full scale) of a sound that counts as silent."""


def silent(samples: NDArray[np.floating]) -> bool:
    """Whether samples (N,) in [-1,1] hold no sound worth scoring.

    Raises:
        InputError: a sample is not finite.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError("a sample of the sound is NaN or infinite")
    return peak <= SILENCE


def syncnet_crops(frames: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Crops (T,224,224,3) as the reference cuts them: filtered box, rows y−s … y+1.8 s, columns x±1.4 s."""
    import cv2
    from scipy.signal import medfilt

    centres = np.array([face.centre for face in faces])
    half = medfilt(np.array([face.size / 2 for face in faces]), 13)
    xs, ys = medfilt(centres[:, 0], 13), medfilt(centres[:, 1], 13)
    crops = []
    for frame, s, x, y in zip(frames, half, xs, ys, strict=True):
        pad = int(s * 1.8)
        padded = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
        top, left = y + pad, x + pad
        crop = padded[int(top - s) : int(top + s * 1.8), int(left - s * 1.4) : int(left + s * 1.4)]
        crops.append(cv2.resize(crop, (224, 224)))
    return np.stack(crops)


def mfcc(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N,13) MFCC at 100 Hz as `python_speech_features.mfcc` computes them from int16-scale samples.

    Pre-emphasis 0.97, rectangular frames of 25 ms, 512-point power spectrum, 26 mel bands from 0 Hz,
    orthonormal DCT-II, lifter 22, first coefficient replaced by the log of the frame's energy.
    """
    from scipy.fft import dct

    signal = np.asarray(samples, np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    size, step, fft = 400, 160, 512
    count = 1 if len(signal) <= size else 1 + int(np.ceil((len(signal) - size) / step))
    padded = np.concatenate([signal, np.zeros((count - 1) * step + size - len(signal))])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::step][:count]
    power = np.abs(np.fft.rfft(windows, fft)) ** 2 / fft
    energy = np.maximum(power.sum(1), np.finfo(float).eps)
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = np.floor((fft + 1) * 700 * (10 ** (np.linspace(0, top, 28) / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.maximum(edges[1:-1] - edges[:-2], 1)
    falling = (edges[2:] - bins) / np.maximum(edges[2:] - edges[1:-1], 1)
    bank = np.where(bins < edges[1:-1], rising, falling)
    bank = np.where((bins >= edges[:-2]) & (bins < edges[2:]), bank, 0)
    bands = power @ bank
    coefficients = dct(
        np.log(np.where(bands == 0, np.finfo(float).eps, bands)), type=2, axis=1, norm="ortho"
    )[:, :13]
    coefficients *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    coefficients[:, 0] = np.log(energy)
    return coefficients.astype(np.float32)
