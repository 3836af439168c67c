"""PSNR and SSIM over batches and ranks: the mean over pictures of each picture's figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from components.core.errors import InputError
from components.evaluation.metrics.functional.image import psnr, ssim


class _MeanOverPictures(Metric):
    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor
    function: Callable[[Tensor, Tensor, float], Tensor]

    def __init__(self, data_range: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_range = data_range
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum", persistent=True)
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum", persistent=True)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Adds pictures (N,3,H,W)."""
        values = type(self).function(pred, target, self.data_range).double()
        self.total += values.sum()
        self.count += len(values)

    def compute(self) -> Tensor:
        """Mean over all pictures, float64 scalar.

        Raises:
            InputError: no picture was given.
        """
        if not int(self.count):
            raise InputError(f"{type(self).__name__}: no picture was given")
        return self.total / self.count


class PeakSignalNoiseRatio(_MeanOverPictures):
    """Mean of per-picture PSNR in dB (not of the pooled error); infinite if one pair is identical."""

    function = staticmethod(psnr)


class StructuralSimilarity(_MeanOverPictures):
    """Mean of per-picture SSIM, Wang's valid window."""

    function = staticmethod(ssim)
