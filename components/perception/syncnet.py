"""SyncNet (Chung and Zisserman, 2016): the published architecture and the published scoring procedure.

The state dict has the names of github.com/joonson/syncnet_python, so `syncnet_v2.model` loads unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from components.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

WINDOW_FRAMES = 5
WINDOW_MFCC = 20
MFCC_PER_FRAME = 4
VSHIFT = 15


@dataclass(frozen=True)
class SyncScores:
    """confidence (Sync-C, median − least distance), distance (Sync-D, least), offset in frames.

    offset > 0: the sound comes that many frames early against the picture; < 0: late.
    agreement is median − distance as the clip stands, without shifting: the confidence if the offset is 0,
    about nothing if picture and sound do not belong together. It ranks clips by how well they are in sync.
    """

    confidence: float
    distance: float
    offset: int
    agreement: float


class SyncNet(nn.Module):
    """Two towers to a common 1,024-D space: 5 mouth frames, and 20 MFCC frames (0.2 s).

    13,631,616 parameters, 102 state-dict keys.
    """

    def __init__(self, size: int = 1024) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block2d(1, 64, 3, 1),
            nn.MaxPool2d((1, 1), (1, 1)),
            *_block2d(64, 192, 3, 1),
            nn.MaxPool2d((3, 3), (1, 2)),
            *_block2d(192, 384, 3, 1),
            *_block2d(384, 256, 3, 1),
            *_block2d(256, 256, 3, 1),
            nn.MaxPool2d((3, 3), (2, 2)),
            *_block2d(256, 512, (5, 4), 0),
        )
        self.netfcaud = _head(size)
        self.netfclip = _head(size)
        self.netcnnlip = nn.Sequential(
            *_block3d(3, 96, (5, 7, 7), (1, 2, 2), 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block3d(256, 256, (1, 3, 3), 1, (0, 1, 1)),
            *_block3d(256, 256, (1, 3, 3), 1, (0, 1, 1)),
            *_block3d(256, 256, (1, 3, 3), 1, (0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block3d(256, 512, (1, 6, 6), 1, 0),
        )

    def forward_aud(self, mfcc: torch.Tensor) -> torch.Tensor:
        """(B,1,13,20) MFCC → (B,1024), not normalised."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def forward_lip(self, frames: torch.Tensor) -> torch.Tensor:
        """(B,3,5,224,224) BGR in 0…255 → (B,1024), not normalised."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))

    @classmethod
    def from_file(cls, path: Path) -> SyncNet:
        """The network with published weights (`syncnet_v2.model`, a state dict), in eval mode.

        Raises:
            InputError: the file is missing, or does not hold exactly the network's tensors.
        """
        from components.perception.weights import load_published

        return load_published(cls(), path, "a SyncNet state dict")


def _block2d(inputs: int, outputs: int, kernel: int | tuple[int, int], pad: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=pad), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _block3d(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int, int],
    stride: int | tuple[int, int, int],
    pad: int | tuple[int, int, int],
) -> list[nn.Module]:
    return [
        nn.Conv3d(inputs, outputs, kernel, stride=stride, padding=pad),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    ]


def _head(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, size))


def shift_distances(
    video: torch.Tensor, audio: torch.Tensor, vshift: int = VSHIFT, *, padding: str = "zero"
) -> torch.Tensor:
    """Mean distance of picture and sound at each shift: (2·vshift+1,), index j = sound moved by j − vshift.

    Args:
        video, audio: (T,D) embeddings of windows that start at the same frames.
        padding: "zero" is the reference: beyond the ends the sound is a zero vector: this alone
            gives constant embeddings a confidence above 0. "valid" averages over windows that exist.

    Raises:
        InputError: the shapes differ, a value is not finite, or (valid) windows are not more than vshift.
    """
    if video.ndim != 2 or video.shape != audio.shape or not len(video):
        raise InputError(
            f"embeddings must be two equal (T,D), T ≥ 1; got {tuple(video.shape)}, {tuple(audio.shape)}"
        )
    if padding not in ("zero", "valid"):
        raise InputError(f"padding must be 'zero' or 'valid', got {padding!r}")
    if not (bool(torch.isfinite(video).all()) and bool(torch.isfinite(audio).all())):
        raise InputError("sync: an embedding is NaN or infinite")
    if padding == "zero":
        padded = F.pad(audio, (0, 0, vshift, vshift))
        rows = [F.pairwise_distance(video, padded[j : j + len(video)]) for j in range(2 * vshift + 1)]
        return torch.stack([row.mean() for row in rows])
    if len(video) <= vshift:
        raise InputError(f"{len(video)} windows are too few for shifts of ±{vshift} frames")
    total = len(video)
    means = []
    for shift in range(-vshift, vshift + 1):
        first, last = max(0, -shift), min(total, total - shift)
        means.append(F.pairwise_distance(video[first:last], audio[first + shift : last + shift]).mean())
    return torch.stack(means)


def sync_scores(
    video: torch.Tensor | ArrayLike,
    audio: torch.Tensor | ArrayLike,
    vshift: int = VSHIFT,
    *,
    padding: str = "zero",
) -> SyncScores:
    """Sync-C, Sync-D and offset of window embeddings (T,D), any float dtype; see `shift_distances`.

    With the default padding this is `evaluate` of the reference to the last digit: embeddings not
    normalised, `pairwise_distance` with eps 1e-6, mean over time, lower median of 2·vshift+1 values.
    """
    distances = shift_distances(torch.as_tensor(video), torch.as_tensor(audio), vshift, padding=padding)
    least, index = torch.min(distances, 0)
    median = torch.median(distances)
    return SyncScores(
        confidence=float(median - least),
        distance=float(least),
        offset=vshift - int(index),
        agreement=float(median - distances[vshift]),
    )
