"""Whether new clips look like the clips a model was trained on: an index of change and its significance.

The population stability index (PSI) of a score is Σ (q - p)·ln(q / p) over bins, p the share of the reference
in a bin and q that of the new clips; bins are quantiles of the reference, classes are bins of their own. The
usual bounds (.1 some, .25 much) are for large samples: of two samples of the same population, n and m in
size, the index is about (bins - 1)·(1/n + 1/m) by chance. So an index counts only where shuffling the two
samples together rarely gives as much (a permutation test, corrected for the number of comparisons by Holm).
Beside it is the largest distance of the two cumulative distributions (Kolmogorov-Smirnov, KS).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from components.gates.drift_params import DriftParams
from components.gates.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HALF_A_CLIP = 0.5
"""Added to every bin's count on both sides: an empty bin has no logarithm."""
KEPT = "keep"
FEW = "too few new clips"


@dataclass(frozen=True)
class Change:
    """What happened to one column. psi ≥ 0; ks in [0, 1] (None for classes); p, p_adjusted in (0, 1].

    counts: bin or class → (reference, new).
    """

    name: str
    kind: str
    reference: int
    new: int
    psi: float
    ks: float | None
    p: float
    p_adjusted: float
    mean_before: float | None
    mean_now: float | None
    counts: dict[str, tuple[int, int]]

    def index(self, alpha: float) -> float:
        """The PSI if it is significant, else 0: what the gate judges."""
        return self.psi if self.p_adjusted < alpha else 0.0


def psi(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """PSI of bin counts (bins,) or (…, bins) each, Jeffreys' half a clip added to every bin."""
    import numpy as np

    p, q = np.asarray(before, float) + HALF_A_CLIP, np.asarray(now, float) + HALF_A_CLIP
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    return ((q - p) * np.log(q / p)).sum(-1)


def compare(reference: pd.DataFrame, new: pd.DataFrame, params: DriftParams, seed: int = 0) -> list[Change]:
    """The change of every column of `params` that both tables have, in the order of `params`.

    Scores are compared between kept clips, classes between all. A column with fewer than `minimum_clips`
    values on a side, or with one value only, is left out.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for name in params.scores:
        before, now = _values(reference, name), _values(new, name)
        if min(len(before), len(now)) < params.minimum_clips:
            continue
        edges = np.unique(np.quantile(before, np.linspace(0, 1, params.bins + 1)[1:-1]))
        # A score with few distinct values: a value equal to an edge belongs to the bin on its right.
        counts = [
            np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1)
            for v in (before, now)
        ]
        if (counts[0] + counts[1] > 0).sum() < 2:
            continue
        labels = [f"< {edge:.4g}" for edge in edges] + [f"≥ {edges[-1]:.4g}"]
        found.append(
            _test(counts[0], counts[1], labels, params.permutations, random)
            | {"name": name, "kind": "score", "ks": ks_distance(before, now)}
            | {"mean_before": float(before.mean()), "mean_now": float(now.mean())}
        )
    for name in params.classes:
        if name not in reference or name not in new:
            continue
        before_, now_ = (table[name].dropna().astype(str) for table in (reference, new))
        labels = sorted(set(before_) | set(now_))
        if min(len(before_), len(now_)) < params.minimum_clips or len(labels) < 2:
            continue
        counts = [
            values.value_counts().reindex(labels, fill_value=0).to_numpy() for values in (before_, now_)
        ]
        found.append(
            _test(counts[0], counts[1], labels, params.permutations, random)
            | {"name": name, "kind": "class", "ks": None, "mean_before": None, "mean_now": None}
        )
    adjusted = holm([row["p"] for row in found])
    return [Change(**row, p_adjusted=p) for row, p in zip(found, adjusted, strict=True)]


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    import numpy as np

    if name not in table:
        return np.zeros(0)
    rows = table[table["decision"] == KEPT] if "decision" in table else table
    values = rows[name].astype("float64").to_numpy()
    return values[np.isfinite(values)]


def _test(
    before: np.ndarray, now: np.ndarray, labels: list[str], permutations: int, random: np.random.Generator
) -> dict[str, Any]:
    import numpy as np

    observed = float(psi(before, now))
    both = before + now
    shuffled = random.multivariate_hypergeometric(both, int(now.sum()), size=permutations, method="marginals")
    as_much = int(np.count_nonzero(psi(both - shuffled, shuffled) >= observed - 1e-12))
    return {
        "reference": int(before.sum()),
        "new": int(now.sum()),
        "psi": observed,
        "p": (as_much + 1) / (permutations + 1),
        "counts": {label: (int(b), int(n)) for label, b, n in zip(labels, before, now, strict=True)},
    }


def ks_distance(before: np.ndarray, now: np.ndarray) -> float:
    """Largest distance between the two empirical distribution functions, in [0, 1]."""
    import numpy as np

    at = np.concatenate([before, now])
    first = np.searchsorted(np.sort(before), at, side="right") / len(before)
    second = np.searchsorted(np.sort(now), at, side="right") / len(now)
    return float(np.abs(first - second).max())


def holm(values: list[float]) -> list[float]:
    """p values corrected for their number (Holm's step-down): the whole family errs with the level given."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - rank)))
        adjusted[index] = highest
    return adjusted


def judge_drift(
    changes: list[Change], params: DriftParams, subjects: dict[str, str], quarantine: str
) -> Verdict:
    """The gate's verdict over `changes`, by Great Expectations.

    subjects: what was compared → its digest. quarantine: the report, where other gates name their table.
    """
    import pandas as pd

    from components.gates.checks import of_threshold
    from components.gates.gate import judge
    from components.gates.params import Threshold
    from components.gates.suites import Suite

    bound = Threshold(maximum=params.fail, warn_maximum=params.warn)
    row = {f"psi_{change.name}": change.index(params.alpha) for change in changes}
    checks = [of_threshold(f"drift_{change.name}", f"psi_{change.name}", bound) for change in changes]
    findings = judge(Suite({"metrics": pd.DataFrame([row])}, checks))[0] if checks else []
    return Verdict(
        gate="drift",
        passed=all(finding.status != "fail" for finding in findings),
        expectations=tuple(findings),
        subjects=subjects,
        quarantine=quarantine,
        quarantined=0,
    )


def as_rows(changes: list[Change]) -> list[dict[str, Any]]:
    """Plain rows for JSON; figures rounded to six digits."""
    rows = [asdict(change) for change in changes]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and math.isfinite(value):
                row[name] = round(value, 6)
    return rows
