"""LPIPS from the feature maps of a network (Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from components.core.errors import InputError

EPSILON = 1e-10


def lpips_from_features(a: Sequence[Tensor], b: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the spatial mean of w · (â − b̂)², â of unit length along the channels.

    Args:
        a, b: one (N,C,h,w) a layer. weights: one (C,) ≥ 0 a layer.

    Returns:
        (N,) float64 ≥ 0, 0 for identical pictures.

    Raises:
        InputError: the layers disagree in number or shape, or a value is not finite.
    """
    if not len(a) == len(b) == len(weights) or not len(a):
        raise InputError(f"LPIPS needs as many layers on each side, got {len(a)}, {len(b)}, {len(weights)}")
    total = torch.zeros(len(a[0]), dtype=torch.float64, device=a[0].device)
    for index, (x, y, weight) in enumerate(zip(a, b, weights, strict=True)):
        if x.shape != y.shape or x.ndim != 4 or weight.shape != x.shape[1:2]:
            raise InputError(
                f"LPIPS layer {index}: {tuple(x.shape)}, {tuple(y.shape)} and weights {tuple(weight.shape)}"
            )
        gap = (_unit(x) - _unit(y)).square()
        total = total + torch.einsum("nchw,c->n", gap, weight.double().to(gap.device)) / gap[0, 0].numel()
    if not bool(torch.isfinite(total).all()):
        raise InputError("LPIPS: a picture holds NaN or infinite values")
    return total


def _unit(features: Tensor) -> Tensor:
    features = features.detach().double()
    return features / (features.norm(dim=1, keepdim=True) + EPSILON)
