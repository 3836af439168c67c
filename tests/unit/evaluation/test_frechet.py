"""Fréchet distance against SciPy's matrix square root and hand numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.evaluation.metrics import FrechetDistance
from components.evaluation.metrics.functional import frechet_distance, frechet_distance_from_features


def by_square_root(mean_x, cov_x, mean_y, cov_y):
    """The textbook route, in extended steps that stay accurate when a covariance is singular."""
    half = scipy.linalg.sqrtm(np.asarray(cov_x)).real
    root = scipy.linalg.sqrtm(half @ cov_y @ half).real
    return float(((mean_x - mean_y) ** 2).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(root))


def by_eigenvalues(x, y, degrees=1):
    """tr √(ΣxΣy) from the small N×N problem, for N < D, with NumPy alone."""
    a = (x - x.mean(0)) / np.sqrt(len(x) - degrees)
    b = (y - y.mean(0)) / np.sqrt(len(y) - degrees)
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * shared


def test_one_dimension_by_hand():
    # (3−1)² + (2−5)² with standard deviations 2 and 5
    value = frechet_distance(
        torch.tensor([3.0]), torch.tensor([[4.0]]), torch.tensor([1.0]), torch.tensor([[25.0]])
    )
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(13.0, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 24))
def test_covariances_match_the_matrix_square_root(seed, size):
    rng = np.random.default_rng(seed)
    x, y = (
        rng.normal(size=(4 * size, size)),
        rng.normal(1, 3, size=(5 * size, size)) @ rng.normal(size=(size, size)),
    )
    wanted = by_square_root(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    arguments = [torch.from_numpy(v) for v in (x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))]
    assert float(frechet_distance(*arguments)) == pytest.approx(wanted, rel=1e-6)
    features = frechet_distance_from_features(torch.from_numpy(x), torch.from_numpy(y))
    assert float(features) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("rows", [(2, 3), (5, 40), (40, 5), (20, 20), (64, 30), (30, 64)])
@pytest.mark.parametrize("unbiased", [True, False])
def test_few_rows(rows, unbiased):
    rng = np.random.default_rng(sum(rows))
    x, y = rng.normal(size=(rows[0], 32)), rng.normal(0.5, 2, size=(rows[1], 32))
    wanted = by_eigenvalues(x, y, 1 if unbiased else 0)
    value = frechet_distance_from_features(torch.from_numpy(x), torch.from_numpy(y), unbiased)
    assert float(value) == pytest.approx(wanted, rel=1e-9)
    covs = [torch.from_numpy(np.cov(v.T, ddof=1 if unbiased else 0)) for v in (x, y)]
    means = [torch.from_numpy(v.mean(0)) for v in (x, y)]
    assert float(frechet_distance(means[0], covs[0], means[1], covs[1])) == pytest.approx(wanted, rel=1e-6)


def test_singular_diagonal_by_hand():
    zero = torch.zeros(3)
    value = frechet_distance(
        zero, torch.diag(torch.tensor([4.0, 0, 1])), zero, torch.diag(torch.tensor([9.0, 2, 0]))
    )
    assert float(value) == pytest.approx((2 - 3) ** 2 + 2 + 1, rel=1e-12)


def test_identical_sets_are_at_no_distance():
    x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    assert float(frechet_distance_from_features(x, x)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(1, 4), torch.zeros(5, 4), "at least 2 rows"),
        (torch.zeros(5, 4), torch.zeros(5, 3), r"\(N,D\) and \(M,D\)"),
        (torch.full((5, 4), float("nan")), torch.zeros(5, 4), "NaN"),
    ],
)
def test_bad_features_are_refused(x, y, words):
    with pytest.raises(InputError, match=words):
        frechet_distance_from_features(x, y)


def test_not_a_covariance_is_refused():
    zero = torch.zeros(2)
    with pytest.raises(InputError, match="negative eigenvalue"):
        frechet_distance(zero, torch.diag(torch.tensor([1.0, -1.0])), zero, torch.eye(2))


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_streaming_gives_the_same_value(batch):
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(50, 64, generator=generator), torch.randn(50, 64, generator=generator) + 1
    metric = FrechetDistance(network="toy")
    for begin in range(0, 50, batch):
        metric.update(x[begin : begin + batch], real=True)
        metric.update(y[begin : begin + batch], real=False)
    assert float(metric.compute()) == float(frechet_distance_from_features(x, y))
    restored = FrechetDistance(network="toy")
    restored.load_state_dict(metric.state_dict())
    assert float(restored.compute()) == float(metric.compute())
    metric.reset()
    with pytest.raises(InputError, match="no real features"):
        metric.compute()
