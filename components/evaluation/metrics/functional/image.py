"""PSNR and SSIM of pictures. A video's figure is the mean over frames, unlike the figure of pooled errors."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from components.core.errors import InputError

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
BLOCK = 64
"""Outputs computed by one matrix product: the band of an 11-tap filter is dense inside such a block."""


def psnr(pred: Tensor, target: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB: 10·log10(range² / MSE).

    Args:
        pred, target: (N,3,H,W), any float dtype, values spanning `data_range`.

    Returns:
        (N,) float64; infinite for identical pictures, NaN where a picture holds NaN.

    Raises:
        InputError: shapes differ or are not (N,3,H,W).
    """
    pred, target = _pictures(pred, target)
    error = (pred - target).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def ssim(pred: Tensor, target: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity of each picture, mean over the RGB channels.

    Wang et al. 2004: Gaussian window of 11 taps, σ = 1.5, biased covariances, only positions where the whole
    window lies inside the picture. Packages that pad the border differ in the third decimal.

    Args:
        pred, target: (N,3,H,W) with H, W ≥ 11, any float dtype, values spanning `data_range`.

    Returns:
        (N,) float64 in [-1, 1]; 1 for identical pictures, NaN where a picture holds NaN.

    Raises:
        InputError: shapes differ, are not (N,3,H,W), or a side is shorter than the window.
    """
    pred, target = _pictures(pred, target)
    if min(pred.shape[-2:]) < WINDOW:
        raise InputError(f"SSIM needs pictures of at least {WINDOW}×{WINDOW}, got {tuple(pred.shape[-2:])}")
    return torch.stack([_ssim_picture(a, b, data_range) for a, b in zip(pred, target, strict=True)])


def _ssim_picture(a: Tensor, b: Tensor, data_range: float) -> Tensor:
    return torch.stack([_ssim_plane(x, y, data_range) for x, y in zip(a, b, strict=True)]).mean()


def _ssim_plane(a: Tensor, b: Tensor, data_range: float) -> Tensor:
    """One channel at a time: the five fields of a 256² plane stay in the cache (5× faster than in one go)."""
    mean_a, mean_b, square_a, square_b, product = _smooth(torch.stack([a, b, a * a, b * b, a * b]))
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    means, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    covariance = product - means
    variances = square_a + square_b - squares
    return ((2 * means + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))).mean()


def _smooth(fields: Tensor) -> Tensor:
    """Gaussian over valid positions (K,H,W) → (K,H−10,W−10), as products with blocks of a banded matrix."""
    count, height, width = fields.shape
    rows, columns = height - WINDOW + 1, width - WINDOW + 1
    flat = fields.reshape(count * height, width)
    across = flat.new_empty(count * height, columns)
    for begin in range(0, columns, BLOCK):
        size = min(BLOCK, columns - begin)
        across[:, begin : begin + size] = flat[:, begin : begin + size + WINDOW - 1] @ _band(
            size, flat.device
        )
    across = across.view(count, height, columns)
    smooth = across.new_empty(count, rows, columns)
    for begin in range(0, rows, BLOCK):
        size = min(BLOCK, rows - begin)
        band = _band(size, flat.device).T
        for field, out in zip(across, smooth, strict=True):
            torch.mm(band, field[begin : begin + size + WINDOW - 1], out=out[begin : begin + size])
    return smooth


@lru_cache(maxsize=64)
def _band(size: int, device: torch.device) -> Tensor:
    """(size+10, size) float64: column i holds the Gaussian's taps in rows i…i+10."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    taps = torch.exp(-offsets.square() / (2 * SIGMA**2))
    taps /= taps.sum()
    band = torch.zeros(size + WINDOW - 1, size, dtype=torch.float64)
    for column in range(size):
        band[column : column + WINDOW, column] = taps
    return band.to(device)


def _pictures(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if pred.shape != target.shape:
        raise InputError(f"pictures of different sizes: {tuple(pred.shape)} and {tuple(target.shape)}")
    if pred.ndim != 4 or pred.shape[1] != 3:
        raise InputError(f"pictures must be (N,3,H,W), got {tuple(pred.shape)}")
    return pred.detach().double(), target.detach().double()
