"""Is a gain more than chance? Paired tests over the same frozen clips and seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

RESAMPLES = 4000
EXACT_UP_TO = 16
"""Up to so many differing clips, all 2ⁿ sign patterns are counted; above, `RESAMPLES` are drawn."""
Method = Literal["paired", "intervals"]


@dataclass(frozen=True)
class Evidence:
    """A gain (positive is better) with its interval and the probability of as large a gain by chance.

    method: paired, the same clips one by one (sign-flip test and bootstrap); intervals, only the two figures'
    own intervals are known, taken as independent. n: clips compared, 0 for intervals.
    """

    gain: float
    low: float
    high: float
    p: float
    n: int
    method: Method


def paired(
    candidate: Mapping[str, float | None],
    champion: Mapping[str, float | None],
    *,
    higher: bool,
    level: float,
) -> Evidence | None:
    """The mean gain over the clips that both have; None if fewer than two are common.

    A clip that only one model has a figure for is left out: such a clip is a miss of the other model, which
    the figures that count misses as zero (face_rate, sync_wins) show.

    p is one-sided: the share of sign patterns of the differences whose mean is at least as large (exact, or
    by random signs with the observed pattern counted in). The interval is the percentile bootstrap of clips.
    Both depend on the data alone: the same comparison gives the same numbers.
    """
    import numpy as np

    sign = 1.0 if higher else -1.0
    pairs = [
        (a, b) for name in sorted(candidate) if (a := candidate[name]) is not None
        and (b := champion.get(name)) is not None
    ]  # fmt: skip
    if len(pairs) < 2:
        return None
    gains = sign * np.array([a - b for a, b in pairs])
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(gains.tobytes()).digest()[:8], "big"))
    means = gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))].mean(1)
    tail = (1 - level) / 2
    low, high = (float(value) for value in np.quantile(means, [tail, 1 - tail]))
    return Evidence(float(gains.mean()), low, high, sign_flip(gains), len(gains), "paired")


def sign_flip(gains: Sequence[float] | Any) -> float:
    """One-sided p of the mean of paired gains under random signs (ties keep their zero)."""
    import numpy as np

    values = np.asarray(gains, np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    total = values.sum()
    slack = 1e-12 * np.abs(values).sum()
    if len(values) <= EXACT_UP_TO:
        codes = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(((1 - 2 * codes) @ values >= total - slack).mean())
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(values.tobytes()).digest()[:8], "big"))
    signs = rng.choice([-1.0, 1.0], (RESAMPLES, len(values)))
    return float((1 + (signs @ values >= total - slack).sum()) / (1 + RESAMPLES))


def from_intervals(
    candidate: Mapping[str, Any], champion: Mapping[str, Any], *, higher: bool, level: float
) -> Evidence | None:
    """The gain of two figures of which only value and 95% interval are known; None without an interval.

    Independence is assumed and normality, which is cautious for figures of the same clips.
    """
    new, old = _known(candidate), _known(champion)
    if new is None or old is None:
        return None
    sign = 1.0 if higher else -1.0
    gain = sign * (new[0] - old[0])
    spread = math.hypot(new[1], old[1])
    if spread == 0:
        return Evidence(gain, gain, gain, 0.0 if gain > 0 else 1.0, 0, "intervals")
    half = _quantile(1 - (1 - level) / 2) * spread
    return Evidence(
        gain, gain - half, gain + half, 0.5 * math.erfc(gain / spread / math.sqrt(2)), 0, "intervals"
    )


def _known(figure: Mapping[str, Any]) -> tuple[float, float] | None:
    numbers = [figure.get(name) for name in ("value", "low", "high")]
    if any(isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x) for x in numbers):
        return None
    value, low, high = (float(x) for x in numbers if x is not None)
    return value, (high - low) / (2 * 1.959964)


def _quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjustment: with k chances to win by luck, the smallest p counts k-fold, the next k−1-fold …"""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, (name, p) in enumerate(sorted(values.items(), key=lambda pair: pair[1])):
        largest = max(largest, min(1.0, (len(values) - place) * p))
        adjusted[name] = largest
    return adjusted
