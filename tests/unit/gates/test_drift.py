"""Drift: the index by hand, the distance against SciPy, the rate of false alarms, and what is found."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.gates.drift import as_rows, compare, holm, ks_distance, psi
from components.gates.drift_params import DriftParams


def test_index_by_hand() -> None:
    # Shares with half a clip added to each bin: 10.5/21, 10.5/21 and 15.5/21, 5.5/21.
    p, q = (0.5, 0.5), (15.5 / 21, 5.5 / 21)
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert psi(np.array([10, 10]), np.array([15, 5])) == pytest.approx(expected, abs=1e-12)
    assert psi(np.array([10, 10]), np.array([100, 100])) == pytest.approx(0.0, abs=1e-12)


def test_an_empty_bin_has_an_index() -> None:
    assert np.isfinite(psi(np.array([50, 0]), np.array([0, 50])))


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=8), st.lists(st.integers(0, 60), min_size=8, max_size=8)
)
def test_the_index_is_symmetric_and_never_negative(before: list[int], now: list[int]) -> None:
    first, second = np.array(before), np.array(now[: len(before)])
    assert psi(first, second) >= 0
    assert psi(first, second) == pytest.approx(psi(second, first))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40),
    st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40),
)
def test_the_distance_is_scipys_with_ties_too(before: list[float], now: list[float]) -> None:
    expected = stats.ks_2samp(before, now, method="auto").statistic
    assert ks_distance(np.array(before), np.array(now)) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    # .01·3 = .03; max(.03, .02·2) = .04; max(.04, .5) = .5; ordered back.
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def clips(random: np.random.Generator, size: int, **more: object) -> pd.DataFrame:
    table = {
        "blur": random.gamma(4, 150, size),
        "yaw": random.exponential(4, size),
        "sync_confidence": random.normal(7, 1, size),
        "sync_offset": random.integers(-1, 2, size),
        "framing": random.choice(["close-up", "upper body", "full body"], size, p=[0.8, 0.15, 0.05]),
        "decision": ["keep"] * size,
    }
    return pd.DataFrame(table | more)


def test_blurred_clips_and_another_framing_are_found_and_nothing_else() -> None:
    random = np.random.default_rng(3)
    before = clips(random, 300)
    now = clips(random, 60, blur=random.gamma(4, 50, 60), framing=["full body"] * 60)
    params = DriftParams()
    found = {change.name: change.index(params.alpha) for change in compare(before, now, params)}
    assert set(found) == {"blur", "yaw", "sync_confidence", "sync_offset", "framing"}
    assert found["blur"] > params.fail and found["framing"] > params.fail
    assert found["yaw"] == found["sync_confidence"] == found["sync_offset"] == 0


def test_small_samples_of_the_same_population_rarely_alarm_though_their_index_is_large() -> None:
    params = DriftParams(permutations=1500)
    alarms, large = 0, 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        changes = compare(clips(random, 90), clips(random, 25), params, seed)
        alarms += any(change.index(params.alpha) > params.warn for change in changes)
        large += any(change.psi > params.fail for change in changes)
    assert large > 30  # the textbook bound alone would cry wolf
    assert alarms <= 3  # P(more than 3 of 40 | rate .01) < .001


def test_rejected_clips_count_for_the_decision_only() -> None:
    random = np.random.default_rng(5)
    before, now = clips(random, 100), clips(random, 100)
    now.loc[:59, "decision"] = "reject"
    now.loc[:59, "blur"] = 0.0
    params = DriftParams()
    found = {change.name: change for change in compare(before, now, params)}
    assert found["decision"].index(params.alpha) > params.fail
    assert found["blur"].index(params.alpha) == 0 and found["blur"].new == 40
    assert found["decision"].counts == {"keep": (100, 40), "reject": (0, 60)}


def test_too_few_clips_or_missing_values_leave_a_column_out() -> None:
    random = np.random.default_rng(1)
    before, now = clips(random, 100), clips(random, 30)
    now.loc[5:, "yaw"] = None
    names = [change.name for change in compare(before, now, DriftParams(minimum_clips=20))]
    assert "yaw" not in names and "blur" in names
    assert compare(before, now, DriftParams(minimum_clips=40)) == []


def test_the_same_seed_gives_the_same_rows() -> None:
    random = np.random.default_rng(1)
    before, now = clips(random, 100), clips(random, 30)
    assert as_rows(compare(before, now, DriftParams(), 4)) == as_rows(compare(before, now, DriftParams(), 4))


def test_an_alpha_that_no_shuffle_can_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="too few permutations"):
        DriftParams(permutations=100)
    with pytest.raises(ValueError, match="above fail"):
        DriftParams(warn=0.5, fail=0.2)
