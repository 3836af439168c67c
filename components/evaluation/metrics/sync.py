"""Sync-C, Sync-D and offset over clips and ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from components.core.errors import InputError
from components.perception.syncnet import sync_scores


class SyncScore(Metric):
    """Means over clips of confidence, distance and absolute offset (frames); `network` names the features."""

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    totals: Tensor
    count: Tensor

    def __init__(self, network: str, vshift: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.vshift = vshift
        self.add_state("totals", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum", persistent=True)
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum", persistent=True)

    def update(self, video: Tensor, audio: Tensor) -> None:
        """Adds one clip by its embeddings video (T,D) and audio (T,D)."""
        scores = sync_scores(video, audio, vshift=self.vshift)
        self.totals += torch.tensor(
            [float(scores.confidence), float(scores.distance), abs(float(scores.offset))],
            dtype=torch.float64,
            device=self.totals.device,
        )
        self.count += 1

    def compute(self) -> dict[str, Tensor]:
        """`confidence`, `distance`, `absolute_offset`: float64 scalars.

        Raises:
            InputError: no clip was given.
        """
        if not int(self.count):
            raise InputError("SyncScore: no clip was given")
        confidence, distance, offset = self.totals / self.count
        return {"confidence": confidence, "distance": distance, "absolute_offset": offset}
