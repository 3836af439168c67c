"""The paired test against an enumeration by hand, and what its corrections promise."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.tracking.comparison import from_intervals, holm, paired, sign_flip


def by_hand(gains: list[float]) -> float:
    """Every sign pattern, one by one."""
    sums = [sum(s * g for s, g in zip(signs, gains, strict=True)) for signs in _signs(len(gains))]
    return sum(total >= sum(gains) - 1e-9 for total in sums) / len(sums)


def _signs(count: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=count))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=9))
def test_small_samples_are_counted_exactly(gains: list[int]) -> None:
    assert sign_flip(gains) == pytest.approx(by_hand([float(g) for g in gains]), abs=1e-12)


def test_worked_numbers() -> None:
    assert sign_flip([1.0] * 5) == 1 / 32
    assert sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([1.0, 1.0, 0.0]) == 1 / 4
    assert sign_flip([1.0] * 40) == pytest.approx(1 / 4001)


def test_pairs_are_matched_by_test_and_direction_counts() -> None:
    candidate = {"a": 0.9, "b": 0.8, "c": 0.7, "new": 0.0, "lost": None}
    champion = {"a": 0.5, "b": 0.6, "c": 0.6, "old": 1.0, "lost": 0.4}
    found = paired(candidate, champion, higher=True, level=0.95)
    assert found is not None
    assert (found.n, found.method) == (3, "paired")
    assert found.gain == pytest.approx((0.4 + 0.2 + 0.1) / 3)
    assert 0.1 - 1e-9 <= found.low <= found.gain <= found.high <= 0.4 + 1e-9
    assert found.p == 1 / 8
    lower = paired(candidate, champion, higher=False, level=0.95)
    assert lower is not None
    assert (lower.gain, lower.p) == (pytest.approx(-found.gain), 1.0)
    assert paired(candidate, champion, higher=True, level=0.95) == found
    assert paired({"a": 1.0}, {"a": 0.0}, higher=True, level=0.95) is None


def test_intervals_of_two_figures_add_in_quadrature() -> None:
    one, other = {"value": 1.0, "low": 0.7, "high": 1.3}, {"value": 0.5, "low": 0.1, "high": 0.9}
    found = from_intervals(one, other, higher=True, level=0.95)
    assert found is not None
    assert found.low == pytest.approx(0.5 - math.hypot(0.3, 0.4), abs=1e-6)
    assert found.high == pytest.approx(1.0, abs=1e-6)
    assert found.p == pytest.approx(0.025, abs=1e-4)
    assert from_intervals({"value": 1.0}, other, higher=True, level=0.95) is None


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_noise_alone_rarely_wins() -> None:
    import numpy as np

    rng = np.random.default_rng(5)
    hits = sum(sign_flip(rng.normal(size=12)) <= 0.05 for _ in range(400))
    assert hits <= 36  # 5% of 400 is 20; 36 is beyond it by 3.7 standard deviations
