"""How far a manifest is from the last accepted version of it, score by score and class by class.

Scores are compared by the population stability index over the accepted version's deciles (below 0.1 little,
above 0.25 much), classes by half the sum of the differences of their shares (0 the same, 1 disjoint). The
accepted version is a small file of shares and edges; its SHA-256 stands in params.yaml, so that what a
gate compares with is versioned and a change of it runs the gate again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file, read_json, write_json
from components.core.paths import Workspace, inside
from components.gates.checks import Check, of_threshold
from components.gates.params import Drift

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SCORES = (
    "duration", "face_size", "face_rate", "blur", "exposure", "yaw", "voice_rate", "sync_confidence",
)  # fmt: skip
CLASSES = ("framing", "delivery", "split", "source")
"""Of the kept clips; of all clips also `outcome` and the reject reasons."""
DECILES = 10
LEAST_SHARE = 1e-4
"""Empty bins count as this much: the index has a logarithm."""


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """What is remembered of a manifest: deciles of scores, shares of classes, counts."""
    import numpy as np

    kept = table[table["decision"] == "keep"]
    scores = {}
    for name in SCORES:
        values = _numbers(kept, name)
        if len(values):
            edges = np.unique(np.quantile(values, np.linspace(0, 1, DECILES + 1)[1:-1]).round(6))
            scores[name] = {"edges": edges.tolist(), "shares": _shares(values, edges).round(6).tolist()}
    classes = {name: _classes(kept[name]) for name in CLASSES if name in kept}
    classes |= {"outcome": _classes(table["outcome"]), "reasons": _classes(_reasons(table))}
    return {"clips": len(table), "kept": len(kept), "scores": scores, "classes": classes}


def distances(accepted: dict[str, Any], table: pd.DataFrame) -> dict[str, float]:
    """`psi_SCORE` and `balance_CLASS` of a manifest against an accepted summary; NaN where a score or class
    that was there is gone."""
    import numpy as np

    kept = table[table["decision"] == "keep"]
    found: dict[str, float] = {}
    for name, told in accepted["scores"].items():
        values, edges = _numbers(kept, name), np.array(told["edges"])
        if not len(values):
            found[f"psi_{name}"] = float("nan")
            continue
        then = np.clip(np.array(told["shares"]), LEAST_SHARE, None)
        now = np.clip(_shares(values, edges), LEAST_SHARE, None)
        found[f"psi_{name}"] = round(float(((now - then) * np.log(now / then)).sum()), 6)
    for name, shares in accepted["classes"].items():
        if name not in ("outcome", "reasons") and name not in kept:
            found[f"balance_{name}"] = float("nan")
            continue
        rows = {"outcome": lambda: table["outcome"], "reasons": lambda: _reasons(table)}
        seen = _classes(rows[name]() if name in rows else kept[name])
        apart = sum(abs(seen.get(key, 0.0) - shares.get(key, 0.0)) for key in {*seen, *shares})
        found[f"balance_{name}"] = round(apart / 2, 6)
    return found


def checks(params: Drift, table: pd.DataFrame, workspace: Workspace) -> tuple[pd.DataFrame, list[Check]]:
    """A table of one row with every distance, and a check of each.

    Raises:
        InputError: the accepted version is missing, or is not the one that params.yaml names.
    """
    import pandas as pd

    path = inside(workspace.root, params.baseline)
    if not path.exists():
        raise InputError(f"{params.baseline} is missing; `syncdreamer gates accept` writes it")
    if digest_file(path) != params.sha256:
        raise InputError(
            f"{params.baseline} is not the accepted version that params.yaml names (gate_clips.drift): "
            "restore it, or accept the current manifest with `syncdreamer gates accept`"
        )
    found = distances(read_json(path), table)
    made = []
    for name in found:
        bound = params.scores if name.startswith("psi_") else params.classes
        made.append(of_threshold(f"drift_{name}", name, bound, table="drift"))
    return pd.DataFrame([found]), made


def accept(table: pd.DataFrame, path: Path) -> str:
    """Writes a manifest's summary as the accepted version; returns its SHA-256."""
    return digest_file(write_json(path, summary(table)))


def _numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    import pandas as pd

    if name not in table:
        return pd.Series(dtype="float64").to_numpy()
    return pd.to_numeric(table[name], errors="coerce").astype("float64").dropna().to_numpy()


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.bincount(np.searchsorted(edges, values, "right"), minlength=len(edges) + 1) / len(values)


def _classes(column: pd.Series) -> dict[str, float]:
    shares = column.astype("string").fillna("").value_counts(normalize=True)
    return {str(name): round(float(share), 6) for name, share in sorted(shares.items())}


def _reasons(table: pd.DataFrame) -> pd.Series:
    return table["reasons"].astype("string").fillna("").str.split(";").explode()
