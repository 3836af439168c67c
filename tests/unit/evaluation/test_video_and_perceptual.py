"""FVD's conventions against their sources' own preparation, LPIPS against its formula in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.evaluation.metrics import FrechetVideoDistance
from components.evaluation.metrics.functional import (
    frechet_distance_from_features,
    frechet_video_distance,
    fvd_input,
    lpips_from_features,
    video_window,
)


def frames(count=12, height=40, width=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def common_metrics(video, resolution=224):
    """`preprocess_single` of common_metrics_on_video_quality, on (C,T,H,W) in [0,1]."""
    _, _, h, w = video.shape
    scale = resolution / min(h, w)
    size = (resolution, math.ceil(w * scale)) if h < w else (math.ceil(h * scale), resolution)
    video = torch.nn.functional.interpolate(video, size=size, mode="bilinear", align_corners=False)
    _, _, h, w = video.shape
    left, top = (w - resolution) // 2, (h - resolution) // 2
    return (video[:, :, top : top + resolution, left : left + resolution] - 0.5) * 2


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (50, 50)])
def test_common_metrics_preparation(size):
    clip = frames(10, *size)
    wanted = common_metrics((clip.float() / 255).permute(1, 0, 2, 3))
    found = fvd_input(clip, "common_metrics")
    assert found.shape == (3, 10, 224, 224)
    assert torch.allclose(found, wanted, atol=1e-6)


def test_styleganv_leaves_scaling_to_the_network():
    clip = frames()
    found = fvd_input(clip, "styleganv")
    assert found.dtype == torch.float32 and torch.equal(found, clip.permute(1, 0, 2, 3).float())
    stretched = fvd_input(clip, "tensorflow")
    assert stretched.shape == (3, 12, 224, 224) and float(stretched.abs().max()) <= 1


def test_covariance_of_each_convention():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 30, generator=generator), torch.randn(9, 30, generator=generator) + 1
    biased = float(frechet_distance_from_features(x, y, unbiased=False))
    unbiased = float(frechet_distance_from_features(x, y, unbiased=True))
    assert float(frechet_video_distance(x, y, "styleganv")) == biased != unbiased
    assert float(frechet_video_distance(x, y, "common_metrics")) == unbiased
    metric = FrechetVideoDistance("i3d@bec6519f66ea", "styleganv", frames=128)
    for begin in range(0, 12, 5):
        metric.update(x[begin : begin + 5], real=True)
    metric.update(y, real=False)
    assert float(metric.compute()) == pytest.approx(biased, rel=1e-12)
    assert metric.label == "fvd128_styleganv[i3d@bec6519f66ea]"


def test_refusals():
    with pytest.raises(InputError, match="known are styleganv, common_metrics, tensorflow"):
        fvd_input(frames(), "fvd")
    with pytest.raises(InputError, match="at least 10 frames"):
        fvd_input(frames(9), "styleganv")
    with pytest.raises(InputError, match="uint8"):
        fvd_input(frames().float(), "styleganv")
    with pytest.raises(InputError, match="only 12"):
        video_window(frames(12), 16)
    with pytest.raises(InputError, match="at least 10 frames"):
        FrechetVideoDistance("i3d", frames=8)
    assert len(video_window(frames(20), 16)) == 16
    metric = FrechetVideoDistance("i3d", minimum=10)
    metric.update(torch.randn(4, 8), real=True)
    metric.update(torch.randn(4, 8), real=False)
    with pytest.raises(InputError, match="fewer than the 10 asked for"):
        metric.compute()
    with pytest.raises(InputError, match="NaN"):
        metric.update(torch.full((1, 8), float("nan")), real=True)
    with pytest.raises(InputError, match="features of 9 numbers after 8"):
        metric.update(torch.zeros(1, 9), real=True)


def test_lpips_formula():
    rng = np.random.default_rng(4)
    shapes = [(2, 6, 5, 4), (2, 3, 2, 2)]
    a, b = ([rng.normal(size=s) for s in shapes] for _ in range(2))
    weights = [rng.uniform(size=s[1]) for s in shapes]
    wanted = np.zeros(2)
    for x, y, w in zip(a, b, weights, strict=True):
        unit = [v / np.sqrt((v**2).sum(1, keepdims=True)) for v in (x, y)]
        wanted += ((unit[0] - unit[1]) ** 2 * w[None, :, None, None]).sum(1).mean((1, 2))
    tensors = [[torch.from_numpy(v) for v in side] for side in (a, b, weights)]
    assert lpips_from_features(*tensors).tolist() == pytest.approx(wanted.tolist(), rel=1e-8)
    assert lpips_from_features(tensors[0], tensors[0], tensors[2]).tolist() == [0, 0]
    with pytest.raises(InputError, match="layers"):
        lpips_from_features(tensors[0], tensors[1][:1], tensors[2])
    tensors[0][0][0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        lpips_from_features(*tensors)
