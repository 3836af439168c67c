"""Correlation, separation and bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.errors import InputError

FEWEST_FRAMES = 8
"""A correlation over fewer frames is declared missing."""


@dataclass(frozen=True)
class Interval:
    """A figure with its interval and the number of units behind it; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


MISSING = Interval(None, None, None, 0)


def correlation(a: NDArray, b: NDArray) -> float:
    """Pearson's r of two series (T,) over the frames where both are finite; NaN (missing) if it is undefined.

    Undefined: fewer than 8 common frames, or one side does not vary (a still picture, silence).

    Raises:
        InputError: the lengths differ.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"series of different lengths: {a.shape} and {b.shape}")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < FEWEST_FRAMES:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 1e-12 else math.nan


def auc(positive: Sequence[float] | NDArray, negative: Sequence[float] | NDArray) -> float:
    """Probability that a positive scores above a negative (ties count half); NaN if a side is empty."""
    positive, negative = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64))
    if not len(positive) or not len(negative):
        return math.nan
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def mean_interval(values: Sequence[float] | NDArray, seed: int, resamples: int, level: float) -> Interval:
    """Mean of one figure a clip with its percentile bootstrap interval; NaN (missing) is left out."""
    array = np.asarray(values, np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return MISSING
    rows = resampled(len(array), seed, resamples)
    return draws_interval(float(array.mean()), array[rows].mean(1), level, len(array))


def statistic_interval(
    count: int, statistic: Callable[[NDArray[np.int64]], float], seed: int, resamples: int, level: float
) -> Interval:
    """The same for any statistic of a choice of `count` units, given by their indices."""
    if count < 1:
        return MISSING
    value = statistic(np.arange(count))
    if not math.isfinite(value):
        return Interval(None, None, None, count)
    draws = np.array([statistic(rows) for rows in resampled(count, seed, resamples)])
    return draws_interval(value, draws[np.isfinite(draws)], level, count)


def resampled(count: int, seed: int, resamples: int) -> NDArray[np.int64]:
    """Indices (resamples, count) of units drawn with replacement; the same seed draws the same."""
    return np.random.default_rng(seed).integers(0, count, size=(resamples, count))


def draws_interval(value: float, draws: NDArray, level: float, n: int) -> Interval:
    """A figure with the percentile interval of its draws; none for fewer than two units."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if n > 1 else (math.nan, math.nan)
    return Interval(value, _finite(float(low)), _finite(float(high)), n)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


EXACT = 12
"""Up to this many pairs every assignment of signs is tried; beyond, random ones."""


def sign_flip_test(differences: Sequence[float] | NDArray, seed: int, draws: int = 9_999) -> float:
    """Two-sided p of "the mean difference of pairs is 0": how often signs by chance give one as large.

    NaN (a missing partner) is left out; NaN is returned for fewer than two pairs. With n pairs p is never
    below 2/2ⁿ, so few pairs cannot be significant however large their difference.
    """
    array = np.asarray(differences, np.float64)
    array = array[np.isfinite(array)]
    if len(array) < 2:
        return math.nan
    observed = abs(float(array.sum())) - 1e-12 * float(np.abs(array).sum())  # rounding makes no tie a loss
    if len(array) <= EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(array))[:, None] >> np.arange(len(array))) & 1)
        return float((np.abs(signs @ array) >= observed).mean())
    signs = np.random.default_rng(seed).choice((-1, 1), size=(draws, len(array)))
    return float((1 + (np.abs(signs @ array) >= observed).sum()) / (1 + draws))


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for having tested all of them (Holm's step-down); NaN stays NaN, uncounted."""
    array = np.asarray(values, np.float64)
    adjusted = np.full(len(array), math.nan)
    known = np.flatnonzero(np.isfinite(array))
    order = known[np.argsort(array[known], kind="stable")]
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, float((len(order) - place) * array[index])))
        adjusted[index] = running
    return adjusted.tolist()
