"""A workspace whose SQLite store has its tables already (making them takes seconds), and a fake pair."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.core.files import write_json, write_text
from components.core.paths import Workspace
from components.tracking.evidence import GATES

METRICS = {
    "aperture_correlation_own": 0.6,
    "aperture_correlation_other": 0.03,
    "sync_wins": 0.95,
    "identity_top1": 0.8,
    "face_rate": 0.99,
    "enhancer_action_kept": 0.95,
    "enhancer_reward_gain": 0.15,
    "enhancer_well_formed": 1.0,
}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all tables."""
    import os

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from components.tracking.store import connect

    root = tmp_path_factory.mktemp("store")
    connect(Workspace(root)).search_experiments()
    return root / "state" / "mlflow" / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = Workspace(tmp_path / "checkout")
    shutil.copy(migrated, workspace.state("mlflow") / "mlflow.db")
    return workspace


@pytest.fixture
def train(workspace: Workspace) -> Callable[..., dict[str, str]]:
    """Pretends to train and evaluate, then registers: returns the versions."""
    from components.tracking.registry import register_pair

    def make(
        avatar: str = "a",
        enhancer: str = "e",
        gates: dict[str, bool] | None = None,
        drop: str = "",
        seed: int = 0,
        **metrics: float,
    ) -> dict[str, str]:
        outputs(workspace, avatar, enhancer, gates or {}, {**METRICS, **metrics}, drop, seed)
        return register_pair(workspace, lock_digest=f"lock-{avatar}-{enhancer}", git="0123abc")

    return make


def outputs(
    workspace: Workspace,
    avatar: str,
    enhancer: str,
    gates: dict[str, bool],
    metrics: dict[str, float],
    drop: str = "",
    seed: int = 0,
) -> None:
    """Writes the artifacts that registration reads; the models' content is just their name."""
    write_text(workspace.artifacts("train_stage2", "pipeline", "config.json"), f'{{"name": "{avatar}"}}')
    write_text(workspace.artifacts("enhancer_grpo", "model", "config.json"), f'{{"name": "{enhancer}"}}')
    for name in GATES:
        write_json(workspace.artifacts("gates", name, "verdict.json"), {"passed": gates.get(name, True)})
    rows: list[dict[str, Any]] = [
        {"name": name, "value": value, "low": value - 0.05, "high": value + 0.05, "n": 16, "network": "test"}
        for name, value in metrics.items()
        if name != drop
    ]
    content: dict[str, Any] = {"schema": 1, "protocol": {"frames": 125}, "metrics": rows}
    content["items"] = items(metrics, seed)
    content["cases"] = cases(metrics, seed)
    write_json(workspace.artifacts("evaluation", "metrics.json"), content)


def items(metrics: dict[str, float], seed: int = 0) -> list[dict[str, Any]]:
    """16 single clips, all with the mean's figure; the enhancer's are of cases, as in evaluation."""
    own = {name: value for name, value in metrics.items() if not name.startswith("enhancer")}
    own["sync_wins"] = metrics["sync_wins"]
    return [
        {"identity": f"p{n}", "reference": f"{n:016x}-0", "sound": f"{n:016x}-0", "seed": seed + n, **own}
        for n in range(16)
    ]


def cases(metrics: dict[str, float], seed: int = 0) -> list[dict[str, Any]]:
    """64 single cases of the enhancer, all with the mean's figure."""
    own = {name: value for name, value in metrics.items() if name.startswith("enhancer")}
    role = {"seen": "5", "instruction": "please nod", "action": "nod", "seed": seed}
    return [{"index": n, "picture": f"{n % 20:016x}", **role, **own} for n in range(64)]


def manifest(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    """Writes the manifest of curation: clip_id, and of the rest what a row does not say."""
    import pandas as pd

    from components.core.files import write_parquet

    table = pd.DataFrame(
        [
            {
                "source": "demo", "file": f"demo/{row['clip_id'][:16]}.mp4", "decision": "keep",
                "reasons": "",
                "source_video": f"demo/{row['clip_id'][:16]}", "split": "train", "identity": "p1",
                "duplicate_of": None, "licence": "CC0-1.0", "consent": True, "framing": "close-up",
                "delivery": "speech", "duration": 6.0,
            } | row
            for row in rows
        ]
    )  # fmt: skip
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), table)
