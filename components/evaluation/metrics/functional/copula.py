"""Copula-based similarity: how alike two pictures order their pixels, blind to monotone brightness."""

from __future__ import annotations

import torch
from torch import Tensor

from components.core.errors import InputError

PATCH = 8


def copula_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Mean over 8×8 patches of max(0, 1 − ‖z_a − z_b‖/√n), n = 64 pixels a patch.

    z are the normal scores Φ⁻¹(r / (n+1)) of ranks r = 1…n: ordinal ranks (ties in reading order) in each
    channel, averaged over channels. The definition of the package `CopulaSimilarity` (the supplement's
    reference 8), with the exact normal quantile in place of its approximation. Rows and columns that do not
    fill a patch are left out.

    Args:
        a, b: (N,3,H,W) with H, W ≥ 8, any float dtype and scale.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        InputError: shapes differ, are not (N,3,H,W) or smaller than a patch, or a value is NaN.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise InputError(f"pictures must both be (N,3,H,W), got {tuple(a.shape)} and {tuple(b.shape)}")
    if min(a.shape[-2:]) < PATCH:
        raise InputError(
            f"copula similarity needs at least {PATCH}×{PATCH} pixels, got {tuple(a.shape[-2:])}"
        )
    if bool(torch.isnan(a).any()) or bool(torch.isnan(b).any()):
        raise InputError("copula similarity: a picture holds NaN")
    gap = (_scores(a.detach()) - _scores(b.detach())).square().mean(-1).sqrt()
    return (1 - gap).clamp(min=0).mean(-1)


def _scores(pictures: Tensor) -> Tensor:
    """Normal scores (N, patches, n)."""
    parts = pictures.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    flat = parts.permute(0, 2, 3, 1, 4, 5).flatten(4).flatten(1, 2)
    order = flat.argsort(dim=-1, stable=True)
    ranks = order.argsort(dim=-1, stable=True).double() + 1
    return torch.special.ndtri(ranks.mean(2) / (PATCH * PATCH + 1))
