"""What a pipeline run leaves behind: MLflow runs (a child a stage), durations, the report's facts."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from components.core.files import read_json, write_json
from components.core.paths import Workspace
from components.storage.publish import publish_if_asked
from components.tracking.models import SPECS, log_model
from components.tracking.registry import AVATAR, models_table
from components.tracking.runs import Input, Tracker
from flows import chain, costs, drift
from flows.params import Parameters
from flows.stages import STAGES

PICTURES = ("samples", "videos", "contact_sheets")
"""Subfolders of a stage's artifacts that MLflow keeps beside the figures."""


def without_login(address: str) -> str:
    """An address without the name and password it may hold."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


class Recorder:
    """Writes to MLflow while the flow runs and collects what the report and the summary show."""

    def __init__(self, workspace: Workspace, parameters: Parameters) -> None:
        self.workspace = workspace
        self.parameters = parameters
        self.tracker = Tracker(workspace)
        self.git = git_state(workspace)
        values: dict[str, Any] = {"seed": parameters.seed}
        for name in STAGES:
            values |= parameters.flat(name)
        tags = self.git | {"data": data_digest(workspace)}
        self.parent = self.tracker.start_parent("pipeline", values, tags)
        self.began = time.time()
        self.rows: list[dict[str, Any]] = []
        self.versions: dict[str, str] = {}
        self.decision: dict[str, Any] = {}
        self.failure: dict[str, str] | None = None
        self._durations = workspace.root / "state" / "durations.json"

    def finished(self, name: str, ran: bool, seconds: float) -> None:
        """Notes a stage that ran (a child run with its figures, lineage and model) or was unchanged."""
        inputs, outputs = chain.locked(self.workspace, name)
        digest = "+".join(output.md5 for output in outputs)
        run_id = None if ran else self.tracker.log_unchanged(self.parent, name, digest)
        if run_id is None:
            now = time.time()
            folder = self.workspace.artifacts(STAGES[name].folder)
            verdict = folder / "verdict.json"
            run_id = self.tracker.log_stage(
                self.parent,
                name,
                params={"seed": self.parameters.seed, **self.parameters.flat(name)},
                metrics=folder / "metrics.json",
                history=folder / "history.jsonl",
                inputs=[Input(Path(item.path).name, item.md5, item.path) for item in inputs],
                artifacts=[folder / part for part in PICTURES],
                verdict=read_json(verdict) if verdict.exists() else None,
                digest=digest,
                started=now - seconds,
                ended=now,
                tags={} if ran else {"restored": "true"},
            )
            if ran:
                costs.log_usage(self.tracker, self.workspace, name, run_id)
        if name in SPECS:
            log_model(self.tracker, name, run_id)
        durations = read_json(self._durations) if self._durations.exists() else {}
        if ran:
            durations[name] = round(seconds, 1)
            write_json(self._durations, durations)
        self.rows.append(
            {
                "name": name,
                "status": "ran" if ran else "unchanged",
                "seconds": durations.get(name),
                "run_id": run_id,
            }
        )

    def failed(self, name: str, message: str, seconds: float) -> None:
        """Notes a failed or refused stage; ends the parent run as failed."""
        verdict = self.workspace.artifacts(STAGES[name].folder, "verdict.json")
        now = time.time()
        run_id = self.tracker.log_failure(
            self.parent,
            name,
            message,
            params=self.parameters.flat(name),
            verdict=read_json(verdict) if name.startswith("gate_") and verdict.exists() else None,
            started=now - seconds,
            ended=now,
        )
        self.failure = {"stage": name, "message": message}
        self.rows.append({"name": name, "status": "failed", "seconds": round(seconds, 1), "run_id": run_id})

    def registered(self, versions: dict[str, str], repo: Any) -> None:
        """Notes the registered versions, what they cost and which clips they were trained on."""
        self.versions = dict(versions)
        costs.attach(self.tracker, repo, self.rows, self.versions, self.parameters.operations.prices)
        version = self.tracker.client.get_model_version(AVATAR, versions[AVATAR])
        drift.log_training_clips(self.tracker, self.workspace, version.tags["trained_by"])

    def promoted(self, decision: Any) -> None:
        """Notes what the promotion rules decided."""
        self.decision = (
            decision.model_dump(mode="json") if hasattr(decision, "model_dump") else vars(decision)
        )

    def run_info(self) -> dict[str, Any]:
        """The facts of this run for the report (they are in no versioned artifact)."""
        return {
            "stages": self.rows,
            "parent_run_id": self.parent,
            "mlflow": {
                "address": without_login(os.environ.get("MLFLOW_TRACKING_URI", "")),
                "experiment": self.tracker.experiment_id,
            },
            "total_seconds": round(time.time() - self.began, 1),
            "git": self.git,
            "lock": chain.lock_digest(self.workspace),
            "data": data_digest(self.workspace),
            "models": models_table(self.workspace, self.tracker),
            "versions": self.versions,
            "decision": self.decision,
        }

    def report(self) -> Path:
        """Builds artifacts/report/index.html."""
        from components.evaluation.report import build_report

        info = self.run_info()
        write_json(self.workspace.root / "state" / "run_info.json", info)
        path = build_report(self.workspace, info)
        publish_if_asked(self.workspace)
        return path

    def close(self, status: str) -> None:
        """Ends the parent run (a failed stage has ended it already)."""
        if self.failure is None:
            self.tracker.end_parent(self.parent, status)  # type: ignore[arg-type]

    def summary(self) -> dict[str, Any]:
        """What `syncdreamer run` prints last and remembers for the next time."""
        report = self.workspace.artifacts("report", "index.html").relative_to(self.workspace.root).as_posix()
        champions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return {
            "lock": chain.lock_digest(self.workspace),
            "stages": self.rows,
            "report": report,
            "paths": {
                "models": champions,
                "decision": str(self.decision.get("reason", "")),
                "report": report,
                "metrics": "artifacts/evaluation/metrics.json",
                "videos": "artifacts/evaluation/videos",
                "runs": f"MLflow run {self.parent} (mlflow ui --backend-store-uri sqlite:///state/mlflow/mlflow.db)",
            },
        }


def git_state(workspace: Workspace) -> dict[str, str]:
    """{"git": revision, "git_dirty": "true"|"false"}; empty outside a git checkout."""
    try:
        revision = _git(workspace, "rev-parse", "HEAD")
        dirty = bool(_git(workspace, "status", "--porcelain", "--untracked-files=no"))
    except (subprocess.CalledProcessError, FileNotFoundError):
        return {}
    return {"git": revision, "git_dirty": str(dirty).lower()}


def _git(workspace: Workspace, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=workspace.root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def data_digest(workspace: Workspace) -> str:
    """DVC's digest of data/raw, from data.dvc; "" if it is not tracked."""
    import yaml

    path = workspace.root / "data.dvc"
    if not path.exists():
        return ""
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["outs"][0].get("md5", ""))
