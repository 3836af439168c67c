"""Speed of the metrics against the usual routes, in one process on one core; ratios are printed and asserted.

CPU seconds, shortest of runs that take turns: other processes on the machine then matter least.

Fréchet at D=2048 at least 4× SciPy's sqrtm, at N=512 at least 40×; SSIM at 256² at least 2× torchmetrics;
Inception features at least 1.4× the same graph as it is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from components.evaluation.metrics.functional import frechet_distance, frechet_distance_from_features, ssim
from components.perception.inception import FidInception, folded

D = 2048


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def race(usual: Callable[[], Any], ours: Callable[[], Any], times: int) -> tuple[float, float, Any, Any]:
    """The shortest of `times` runs of each, which take turns, and what the last ones returned."""
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(times):
        for side, run in enumerate((usual, ours)):
            begin = time.process_time()
            results[side] = run()
            seconds[side].append(time.process_time() - begin)
    return min(seconds[0]), min(seconds[1]), *results


def by_square_root(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """pytorch-fid's `calculate_frechet_distance`: sqrtm of the product, an offset if it is singular."""
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    if not np.isfinite(root).all():
        offset = np.eye(len(cov_x)) * 1e-6
        root = scipy.linalg.sqrtm((cov_x + offset) @ (cov_y + offset))
    traces = np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(np.real(root))
    return float(((mean_x - mean_y) ** 2).sum() + traces)


def report(name: str, usual: float, ours: float, floor: float) -> None:
    print(f"\n{name}: usual {usual:.3f} s, ours {ours:.3f} s, {usual / ours:.1f}× (asked {floor}×)")
    assert usual / ours >= floor


def test_frechet_of_covariances() -> None:
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.2, 2, D)
    x, y = rng.normal(size=(4096, D)) * scale, rng.normal(0.1, 1.2, size=(4096, D)) * scale[::-1]
    stats = [v for z in (x, y) for v in (z.mean(0), np.cov(z, rowvar=False))]
    tensors = [torch.from_numpy(v) for v in stats]
    usual, ours, wanted, value = race(
        lambda: by_square_root(*stats), lambda: frechet_distance(*tensors), times=1
    )
    assert float(value) == pytest.approx(wanted, rel=1e-6)
    report(f"Fréchet of two {D}×{D} covariances", usual, ours, 4)


def test_frechet_of_few_features() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(512, D)), rng.normal(0.1, 1.2, size=(512, D))
    tensors = torch.from_numpy(x), torch.from_numpy(y)

    def slow() -> float:
        return by_square_root(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))

    usual, ours, wanted, value = race(slow, lambda: frechet_distance_from_features(*tensors), times=1)
    # Singular covariances: sqrtm itself is only good to some digits here.
    assert float(value) == pytest.approx(wanted, rel=1e-3)
    report(f"Fréchet of 512 × {D} features", usual, ours, 40)


def test_ssim() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    generator = torch.Generator().manual_seed(2)
    a = torch.rand(8, 3, 256, 256, generator=generator)
    b = (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)
    usual, ours, theirs, mine = race(
        lambda: structural_similarity_index_measure(a, b, data_range=1.0, reduction="none"),
        lambda: ssim(a, b),
        times=5,
    )
    assert torch.allclose(mine, theirs.double(), atol=5e-3)  # theirs keeps a padded border, in float32
    report("SSIM of 8 pictures of 256²", usual, ours, 2)


def test_inception_features() -> None:
    torch.manual_seed(3)
    network = FidInception().eval()
    fast = folded(network)
    pictures = torch.randn(8, 3, 299, 299)
    lasting = pictures.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        usual, ours, wanted, found = race(lambda: network(pictures), lambda: fast(lasting), times=4)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)
    report("Inception features of 8 pictures, random weights", usual, ours, 1.4)
