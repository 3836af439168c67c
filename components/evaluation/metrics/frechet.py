"""Fréchet distance over batches and ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from components.core.errors import InputError
from components.evaluation.metrics.functional.frechet import frechet_distance_from_features


class FrechetDistance(Metric):
    """Fréchet distance between the features of real and of generated items.

    Keeps the features (N,D) themselves, so any batch size and any number of ranks give the same value and
    sets smaller than D stay exact. `network` names what made the features; a stand-in network's figure must
    never be printed as FID or FVD.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, network: str, unbiased: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.unbiased = unbiased
        self.add_state("real", [], dist_reduce_fx="cat", persistent=True)
        self.add_state("generated", [], dist_reduce_fx="cat", persistent=True)

    def update(self, features: Tensor, *, real: bool) -> None:
        """Adds features (N,D) of real or of generated items."""
        if features.ndim != 2:
            raise InputError(f"features must be (N,D), got {tuple(features.shape)}")
        (self.real if real else self.generated).append(features.detach())

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            InputError: one side has fewer than two rows.
        """
        for name, rows in (("real", self.real), ("generated", self.generated)):
            if not (isinstance(rows, Tensor) or rows):
                raise InputError(f"Fréchet distance: no {name} features were given")
        return frechet_distance_from_features(
            dim_zero_cat(self.real).to(torch.float64),
            dim_zero_cat(self.generated).to(torch.float64),
            self.unbiased,
        )
