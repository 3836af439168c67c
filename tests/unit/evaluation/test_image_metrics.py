"""PSNR, SSIM and copula similarity against scikit-image, SciPy and hand numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from components.core.errors import InputError
from components.evaluation.metrics import PeakSignalNoiseRatio, StructuralSimilarity
from components.evaluation.metrics.functional import copula_similarity, psnr, ssim


def pictures(height, width, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(a, 5, 1, 2)
    b = (smooth + 0.1 * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return smooth.to(dtype), b.to(dtype)


def test_psnr_by_hand_and_identical_pictures():
    target = torch.zeros(2, 3, 4, 4)
    pred = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 0.01)])
    assert psnr(pred, target).tolist() == pytest.approx([20.0, 40.0], rel=1e-6)
    assert math.isinf(float(psnr(target, target)[0]))
    # the per-frame mean (30) is not the PSNR of the pooled error (22.97)
    metric = PeakSignalNoiseRatio()
    metric.update(pred, target)
    assert float(metric.compute()) == pytest.approx(30.0, rel=1e-6)


def test_psnr_matches_scikit_image():
    a, b = pictures(20, 31)
    wanted = [
        peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1.0) for x, y in zip(b, a, strict=True)
    ]
    assert psnr(a, b).tolist() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (64, 64), (75, 139), (160, 74)])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_ssim_matches_scikit_image_on_the_valid_region(size, scale):
    a, b = pictures(*size)
    wanted = []
    for x, y in zip(a, b, strict=True):
        _, field = structural_similarity(
            (x * scale).numpy(), (y * scale).numpy(), data_range=scale, channel_axis=0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True,
        )  # fmt: skip
        wanted.append(field[:, 5:-5, 5:-5].mean())
    assert ssim(a * scale, b * scale, data_range=scale).tolist() == pytest.approx(wanted, abs=1e-9)


def test_ssim_of_constant_pictures_by_hand():
    a, b = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.75)
    wanted = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert float(ssim(a, b)) == pytest.approx(wanted, abs=1e-9)
    assert float(ssim(a, a)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_float_dtype(dtype):
    a, b = pictures(32, 32, dtype=dtype)
    assert torch.equal(ssim(a, b), ssim(a.double(), b.double()))
    assert torch.equal(psnr(a, b), psnr(a.double(), b.double()))


def test_nan_stays_missing_and_sizes_are_checked():
    a, b = pictures(16, 16)
    a[1, 0, 3, 3] = float("nan")
    assert torch.isnan(ssim(a, b)).tolist() == [False, True]
    assert torch.isnan(psnr(a, b)).tolist() == [False, True]
    with pytest.raises(InputError, match="different sizes"):
        ssim(a, b[:, :, :-1])
    with pytest.raises(InputError, match="at least 11"):
        ssim(a[:, :, :8], b[:, :, :8])
    with pytest.raises(InputError, match=r"\(N,3,H,W\)"):
        psnr(a[0], b[0])


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_streaming_ssim(batch):
    a, b = (torch.cat([x, y]) for x, y in zip(pictures(24, 24, 1), pictures(24, 24, 2), strict=True))
    metric = StructuralSimilarity()
    for begin in range(0, 4, batch):
        metric.update(a[begin : begin + batch], b[begin : begin + batch])
    assert float(metric.compute()) == pytest.approx(float(ssim(a, b).mean()), rel=1e-12)
    restored = StructuralSimilarity()
    restored.load_state_dict(metric.state_dict())
    assert float(restored.compute()) == float(metric.compute())


def copula_by_scipy(a, b):
    """One picture (3,H,W), patch by patch with SciPy's ranks and normal quantile."""
    values = []
    for row in range(0, a.shape[1] - 7, 8):
        for column in range(0, a.shape[2] - 7, 8):
            z = []
            for picture in (a, b):
                patch = picture[:, row : row + 8, column : column + 8].reshape(3, -1)
                ranks = np.mean([rankdata(channel, method="ordinal") for channel in patch], axis=0)
                z.append(norm.ppf(ranks / 65))
            values.append(max(0.0, 1 - np.linalg.norm(z[0] - z[1]) / 8))
    return np.mean(values)


def test_copula_similarity_matches_scipy():
    a, b = pictures(27, 41)
    b = (b * 20).round() / 20  # ties
    wanted = [copula_by_scipy(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    assert copula_similarity(a, b).tolist() == pytest.approx(wanted, abs=1e-9)


def test_copula_similarity_is_blind_to_monotone_brightness():
    a, _ = pictures(16, 16)
    assert copula_similarity(a, a.clamp(0, 1) ** 2 / 3).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    with pytest.raises(InputError, match="NaN"):
        copula_similarity(a, torch.full_like(a, float("nan")))
