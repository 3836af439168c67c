"""Fréchet distance between two Gaussians, exact in float64 also where covariances are singular.

Source: Dowson and Landau 1982, used by Heusel et al. 2017 as FID. The trace of (Σx Σy)^½ is the sum of the
singular values of Fxᵀ Fy for any factors Σ = F Fᵀ, which needs no matrix square root. With fewer samples
than dimensions the factors are the centred samples themselves, so the cost follows N and not D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.core.errors import InputError

WELL_CONDITIONED = 1e-8
"""Smallest eigenvalue of Lᵀ Σy L, relative to the largest, whose root keeps 1e-8 relative accuracy."""


def frechet_distance(mean_x: Tensor, cov_x: Tensor, mean_y: Tensor, cov_y: Tensor) -> Tensor:
    """‖μx − μy‖² + tr Σx + tr Σy − 2 tr (Σx Σy)^½.

    Args:
        mean_x, mean_y: means (D,).
        cov_x, cov_y: symmetric positive semi-definite covariances (D,D), singular ones included.

    Returns:
        A float64 scalar ≥ 0 (rounding below zero is cut off).

    Raises:
        InputError: shapes disagree, a value is not finite, or a covariance has a negative eigenvalue.
    """
    mean_x, cov_x, mean_y, cov_y = (value.detach().double() for value in (mean_x, cov_x, mean_y, cov_y))
    size = mean_x.numel()
    if mean_x.shape != (size,) or mean_y.shape != (size,):
        raise InputError(f"means must both be (D,), got {tuple(mean_x.shape)} and {tuple(mean_y.shape)}")
    if cov_x.shape != (size, size) or cov_y.shape != (size, size):
        raise InputError(
            f"covariances must be ({size},{size}), got {tuple(cov_x.shape)} and {tuple(cov_y.shape)}"
        )
    _finite(mean_x, cov_x, mean_y, cov_y)
    shared = _trace_root(cov_x, cov_y)
    return _combine(mean_x - mean_y, cov_x.trace(), cov_y.trace(), shared)


def frechet_distance_from_features(x: Tensor, y: Tensor, unbiased: bool = True) -> Tensor:
    """Fréchet distance between Gaussians fitted to two sets of features.

    Args:
        x, y: features (N,D) and (M,D), any float dtype; N and M may be smaller than D.
        unbiased: covariances divide by N−1 (NumPy's default, FID); False divides by N (StyleGAN-V's FVD).

    Returns:
        A float64 scalar ≥ 0.

    Raises:
        InputError: fewer than two rows, different D, or a value that is not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InputError(f"features must be (N,D) and (M,D), got {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) < 2 or len(y) < 2:
        raise InputError(f"a covariance needs at least 2 rows on each side, got {len(x)} and {len(y)}")
    x, y = x.detach().double(), y.detach().double()
    _finite(x, y)
    mean_x, mean_y = x.mean(0), y.mean(0)
    degrees = 1 if unbiased else 0
    centred_x = (x - mean_x) / (len(x) - degrees) ** 0.5
    centred_y = (y - mean_y) / (len(y) - degrees) ** 0.5
    if min(len(x), len(y)) > x.shape[1]:
        shared = _trace_root(centred_x.T @ centred_x, centred_y.T @ centred_y)
    else:
        shared = torch.linalg.svdvals(_rows(centred_x) @ _rows(centred_y).T).sum()
    return _combine(mean_x - mean_y, centred_x.square().sum(), centred_y.square().sum(), shared)


def _rows(centred: Tensor) -> Tensor:
    """At most D rows R with RᵀR = AᵀA: the triangular factor replaces more rows than columns."""
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred


def _combine(shift: Tensor, trace_x: Tensor, trace_y: Tensor, shared: Tensor) -> Tensor:
    return (shift.square().sum() + trace_x + trace_y - 2 * shared).clamp(min=0)


def _trace_root(cov_x: Tensor, cov_y: Tensor) -> Tensor:
    lower, failed = torch.linalg.cholesky_ex(cov_x)
    if not failed:
        values = torch.linalg.eigvalsh(lower.T @ cov_y @ lower)
        if values[0] > WELL_CONDITIONED * values[-1]:
            return values.sqrt().sum()
    return torch.linalg.svdvals(_factor(cov_x).T @ _factor(cov_y)).sum()


def _factor(cov: Tensor) -> Tensor:
    """F (D,R) with F Fᵀ = Σ, without the directions whose variance is only rounding noise."""
    values, vectors = torch.linalg.eigh(cov)
    noise = len(cov) * torch.finfo(cov.dtype).eps * values.abs().max()
    if values[0] < -1e3 * noise - 1e-300:
        raise InputError(f"a covariance has the negative eigenvalue {values[0]:.3g}: not a covariance")
    kept = values > noise
    return vectors[:, kept] * values[kept].sqrt()


def _finite(*values: Tensor) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise InputError("Fréchet distance: the input holds NaN or infinite values")
