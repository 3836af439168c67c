"""Correlation, AUC and intervals against NumPy, scikit-learn and hand numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.core.errors import InputError
from components.evaluation.statistics import auc, correlation, mean_interval, statistic_interval


def test_correlation_matches_numpy_over_common_frames():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(size=40)
    a[3], b[7] = math.nan, math.inf
    kept = [i for i in range(40) if i not in (3, 7)]
    assert correlation(a, b) == pytest.approx(np.corrcoef(a[kept], b[kept])[0, 1], abs=1e-12)


def test_correlation_is_missing_rather_than_a_number_that_looks_fine():
    still, moving = np.ones(50), np.arange(50.0)
    assert math.isnan(correlation(still, moving))  # a still picture
    assert math.isnan(correlation(moving, np.zeros(50)))  # silence
    assert math.isnan(correlation(moving[:7], moving[:7]))  # too few frames
    assert math.isnan(correlation(np.full(50, math.nan), moving))  # no face
    with pytest.raises(InputError, match="different lengths"):
        correlation(moving, moving[:-1])


def test_auc_matches_scikit_learn_with_ties():
    rng = np.random.default_rng(1)
    positive, negative = rng.integers(0, 9, 30) + 2.0, rng.integers(0, 9, 50)
    wanted = roc_auc_score([1] * 30 + [0] * 50, [*positive, *negative])
    assert auc(positive, negative) == pytest.approx(wanted, abs=1e-12)
    assert math.isnan(auc([], negative))


def test_mean_interval_covers_and_leaves_missing_out():
    values = [*np.random.default_rng(2).normal(5, 1, 100), math.nan, math.inf]
    interval = mean_interval(values, seed=1, resamples=2000, level=0.95)
    assert interval.n == 100
    assert interval.value == pytest.approx(np.mean(values[:100]))
    assert interval.low < interval.value < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 10, rel=0.3)
    assert interval == mean_interval(values, seed=1, resamples=2000, level=0.95)


def test_nothing_measured_is_missing():
    empty = mean_interval([math.nan], seed=1, resamples=100, level=0.95)
    assert (empty.value, empty.n) == (None, 0)
    single = mean_interval([0.5], seed=1, resamples=100, level=0.95)
    assert (single.value, single.low, single.n) == (0.5, None, 1)


def test_statistic_of_units():
    values = np.arange(20.0)
    interval = statistic_interval(20, lambda rows: float(np.median(values[rows])), 3, 500, 0.9)
    assert interval.value == 9.5
    assert interval.low < 9.5 < interval.high


def test_sign_flips_by_hand_and_against_scipy():
    import scipy.stats

    from components.evaluation.statistics import sign_flip_test

    assert sign_flip_test([1.0, 1.0, 1.0], 0) == 0.25  # 2 of 8 assignments
    assert sign_flip_test([1.0, -1.0], 0) == 1.0
    assert math.isnan(sign_flip_test([1.0, math.nan], 0))
    differences = np.random.default_rng(5).normal(0.4, 1, 10)
    exact = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    ).pvalue
    assert sign_flip_test(differences, 0) == pytest.approx(exact, abs=1e-12)
    many = np.random.default_rng(6).normal(0.3, 1, 40)
    sampled = scipy.stats.permutation_test(
        (many,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1, vectorized=True
    ).pvalue
    assert sign_flip_test(many, 3) == pytest.approx(sampled, abs=0.015)


def test_holm_by_hand():
    from components.evaluation.statistics import holm

    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    first, second = holm([math.nan, 0.2])
    assert math.isnan(first) and second == 0.2
    assert holm([0.9, 0.8]) == [1.0, 1.0]
