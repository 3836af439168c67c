"""Fréchet distances over batches and ranks: of pictures (FID) and of videos (FVD)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from components.core.errors import InputError
from components.evaluation.metrics.functional.frechet import frechet_distance_from_features
from components.evaluation.metrics.functional.video import FEWEST_FRAMES, convention_named


class FrechetDistance(Metric):
    """Fréchet distance between the features of real and of generated items.

    Keeps the features (N,D) themselves, so any batch size and any number of ranks give the same value and
    sets smaller than D stay exact. `network` names what made the features; a stand-in network's figure must
    never be printed as FID or FVD.

    Args:
        minimum: fewest items a side; few bias the distance upwards, so ask for what you compare with.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, network: str, unbiased: bool = True, minimum: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.unbiased = unbiased
        self.minimum = minimum
        self.add_state("real", [], dist_reduce_fx="cat", persistent=True)
        self.add_state("generated", [], dist_reduce_fx="cat", persistent=True)

    def update(self, features: Tensor, *, real: bool) -> None:
        """Adds features (N,D) of real or of generated items.

        Raises:
            InputError: not (N,D), another D than before, or a value that is not finite.
        """
        if features.ndim != 2:
            raise InputError(f"features must be (N,D), got {tuple(features.shape)}")
        known = [rows for rows in (*self.real, *self.generated) if len(rows)]
        if known and known[0].shape[1] != features.shape[1]:
            raise InputError(f"features of {features.shape[1]} numbers after {known[0].shape[1]}")
        if not bool(torch.isfinite(features).all()):
            raise InputError("Fréchet distance: a feature is NaN or infinite; leave that item out by name")
        wide = torch.promote_types(features.dtype, torch.float32)
        (self.real if real else self.generated).append(features.detach().to(wide))

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            InputError: one side has fewer rows than `minimum` (at least two).
        """
        sides = []
        for name, rows in (("real", self.real), ("generated", self.generated)):
            if not (isinstance(rows, Tensor) or rows):
                raise InputError(f"Fréchet distance: no {name} features were given")
            sides.append(dim_zero_cat(rows).to(torch.float64))
            if len(sides[-1]) < self.minimum:
                found = f"{len(sides[-1])} {name} items"
                raise InputError(f"Fréchet distance: {found} are fewer than the {self.minimum} asked for")
        return frechet_distance_from_features(sides[0], sides[1], self.unbiased)

    def _sync_dist(
        self, dist_sync_fn: Callable = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        """Gathers as torchmetrics does, but a rank that got no item still has the others' D and dtype.

        torchmetrics sends a tensor of no dimension for it, on which the other ranks' gathering fails.
        """
        held = [rows for rows in (*self.real, *self.generated) if rows.ndim == 2]
        mine = [max((r.shape[1] for r in held), default=0), int(any(r.dtype == torch.float64 for r in held))]
        facts = dist_sync_fn(
            torch.tensor(mine, device=self.device), group=process_group or self.process_group
        )
        width, double = torch.stack(list(facts)).amax(0).tolist()
        dtype = torch.float64 if double else torch.float32
        for name in ("real", "generated"):
            rows = [part.to(dtype) for part in getattr(self, name)]
            setattr(self, name, rows or [torch.zeros(0, width, dtype=dtype, device=self.device)])
        super()._sync_dist(dist_sync_fn, process_group)


class FrechetVideoDistance(FrechetDistance):
    """FVD over windows of `frames` frames (16 and 128 are the published ones) by a named convention.

    `update` takes the I3D features (N,400) of windows that `functional.fvd_input` prepared.

    Raises:
        InputError: the convention is unknown, or the window is too short for I3D.
    """

    def __init__(
        self, network: str, convention: str = "styleganv", frames: int = 16, minimum: int = 2, **kwargs: Any
    ) -> None:
        if frames < FEWEST_FRAMES:
            raise InputError(f"FVD needs windows of at least {FEWEST_FRAMES} frames, got {frames}")
        unbiased = convention_named(convention).unbiased
        super().__init__(network, unbiased=unbiased, minimum=minimum, **kwargs)
        self.convention = convention
        self.frames = frames

    @property
    def label(self) -> str:
        """What a figure is called: window, convention and network belong to it."""
        return f"fvd{self.frames}_{self.convention}[{self.network}]"
