"""Runs: one parent a pipeline run, one child a stage; lineage as data-set inputs."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.core.errors import InputError
from components.core.files import read_json, read_jsonl, to_json
from components.core.paths import Workspace
from components.tracking.store import EXPERIMENT, connect, experiment_id, flatten, hide, told

if TYPE_CHECKING:
    from mlflow import MlflowClient

Status = Literal["FINISHED", "FAILED", "KILLED"]
METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100
LONGEST_TAG = 4000
STAGE_TAG, DIGEST_TAG = "syncdreamer.stage", "syncdreamer.digest"


@dataclass(frozen=True)
class Input:
    """Something a stage read: name, DVC digest (md5), path relative to the workspace."""

    name: str
    digest: str
    path: str


class Tracker:
    """Writes runs of one experiment. Every call is a few milliseconds on SQLite; import of MLflow is seconds,
    and the first use of a new SQLite file creates its tables (seconds).
    """

    def __init__(self, workspace: Workspace, experiment: str = EXPERIMENT) -> None:
        self.workspace = workspace
        self.client: MlflowClient = connect(workspace)
        with told():
            self.experiment_id = experiment_id(self.client, workspace, experiment)

    def start_parent(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> str:
        """Begins the run of a whole pipeline; returns its id.

        tags: by custom `git`, `git_dirty`, `lock` (digest of dvc.lock), `data` (digest of data.dvc).
        """
        with told():
            run = self.client.create_run(self.experiment_id, run_name=name, tags=_tags(tags or {}))
            self._params(run.info.run_id, params)
        return str(run.info.run_id)

    def end_parent(self, run_id: str, status: Status = "FINISHED") -> None:
        """Ends it (or any other run)."""
        with told():
            self.client.set_terminated(run_id, status)

    def log_stage(
        self,
        parent: str | None,
        stage: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Path | None = None,
        history: Path | None = None,
        inputs: Iterable[Input] = (),
        artifacts: Sequence[Path] = (),
        verdict: Mapping[str, Any] | None = None,
        digest: str = "",
        status: Status = "FINISHED",
        message: str = "",
        started: float | None = None,
        ended: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Writes one finished stage as a child run; returns its id.

        metrics: metrics.json, flat name → number or evaluation's `{"metrics": [{"name", "value", …}]}`.
        history: history.jsonl, one object a line with `step` and numbers.
        artifacts: files or folders to keep (pictures, clips, reports); those not there are passed over.
        verdict: a gate's verdict.json as read. digest: DVC's digest of the stage's outputs.
        started, ended: seconds since the epoch.

        Raises:
            InputError: metrics.json is not JSON.
            TemporaryFailure: the tracking server is away.
        """
        now = time.time()
        began, end = started or now, ended or now
        own = {STAGE_TAG: stage, DIGEST_TAG: digest, **(tags or {})}
        if parent:
            own["mlflow.parentRunId"] = parent
        if message:
            own["message"] = message
        if verdict:
            own |= _verdict_tags(verdict)
        with told():
            run = self.client.create_run(
                self.experiment_id, run_name=stage, tags=_tags(own), start_time=round(began * 1000)
            )
            run_id = str(run.info.run_id)
            self._params(run_id, params or {})
            self._metrics(run_id, _read_metrics(metrics), _read_history(history), round(end * 1000))
            self._inputs(run_id, inputs)
            for path in artifacts:
                if path.is_dir():
                    self.client.log_artifacts(run_id, str(path), path.name)
                elif path.exists():
                    self.client.log_artifact(run_id, str(path))
            if verdict:
                self.client.log_text(run_id, to_json(verdict), "verdict.json")
            if message:
                self.client.log_text(run_id, hide(message), "message.txt")
            self.client.set_terminated(run_id, status, round(end * 1000))
        return run_id

    def log_failure(self, parent: str, stage: str, message: str, **more: Any) -> str:
        """Writes a stage that failed or was refused, and ends the parent as failed; returns the child's id.

        more: as for `log_stage` (a gate's `verdict`, `params`, `started` …).
        """
        run_id = self.log_stage(parent, stage, status="FAILED", message=message, **more)
        with told():
            self.client.set_tag(parent, "failed_stage", stage)
            self.client.set_tag(parent, "message", hide(message)[:LONGEST_TAG])
        self.end_parent(parent, "FAILED")
        return run_id

    def log_unchanged(self, parent: str, stage: str, digest: str) -> str | None:
        """Links the parent to the run that made the stage's present outputs; None if no run is known.

        None means that the outputs were restored (DVC cache, other machine): the caller logs the stage anew.
        """
        run_id = self.find_stage(stage, digest)
        if run_id:
            with told():
                self.client.set_tag(parent, f"unchanged.{stage}", run_id)
        return run_id

    def find_stage(self, stage: str, digest: str) -> str | None:
        """The newest finished run that made these outputs of a stage."""
        query = f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{DIGEST_TAG}` = '{digest}' and status = 'FINISHED'"
        with told():
            runs = self.client.search_runs(
                [self.experiment_id], query, max_results=1, order_by=["attributes.start_time DESC"]
            )
        return str(runs[0].info.run_id) if runs else None

    def _params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(name, value[:6000]) for name, value in flatten(params).items()]
        for begin in range(0, len(rows), PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=rows[begin : begin + PARAMS_A_BATCH])

    def _metrics(
        self, run_id: str, final: Mapping[str, float], history: list[tuple[str, float, int]], when: int
    ) -> None:
        from mlflow.entities import Metric

        last = max((step for _, _, step in history), default=0)
        rows = [Metric(_metric_name(name), value, when, step) for name, value, step in history]
        rows += [Metric(_metric_name(name), value, when, last) for name, value in final.items()]
        for begin in range(0, len(rows), METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=rows[begin : begin + METRICS_A_BATCH])

    def _inputs(self, run_id: str, inputs: Iterable[Input]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        rows = []
        for one in inputs:
            source = to_json({"path": one.path, "digest": one.digest}, indent=None)
            entity = Dataset(name=one.name, digest=one.digest, source_type="dvc", source=source)
            rows.append(DatasetInput(entity, [InputTag("mlflow.data.context", "input")]))
        if rows:
            self.client.log_inputs(run_id, rows)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST_TAG] for name, value in flatten(tags).items() if value}


def _metric_name(name: str) -> str:
    """`fid_proxy[net@1a2b]` → `fid_proxy_net_1a2b`: MLflow takes letters, digits, `_-. :/` only."""
    return re.sub(r"[^\w./ :-]+", "_", name).strip("_")


def _verdict_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    findings = verdict.get("expectations", ())
    counts = {s: sum(f.get("status") == s for f in findings) for s in ("pass", "warn", "fail")}
    return {
        "gate": str(verdict.get("gate", "")),
        "gate.passed": str(bool(verdict.get("passed"))).lower(),
        "gate.expectations": ", ".join(f"{number} {name}" for name, number in counts.items()),
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def metric_values(content: Any) -> dict[str, float]:
    """The numbers of a metrics.json of either kind by name; intervals as `<name>_low`, `<name>_high`."""
    if not isinstance(content, Mapping):
        return {}
    rows = content.get("metrics")
    if not isinstance(rows, list):
        return {name: number for name, value in content.items() if (number := _number(value)) is not None}
    values: dict[str, float] = {}
    for row in rows:
        for field, suffix in (("value", ""), ("low", "_low"), ("high", "_high"), ("control", "_control")):
            number = _number(row.get(field))
            if number is not None:
                values[f"{row['name']}{suffix}"] = number
    return values


def _read_metrics(path: Path | None) -> dict[str, float]:
    return metric_values(read_json(path)) if path is not None and path.exists() else {}


def _read_history(path: Path | None) -> list[tuple[str, float, int]]:
    if path is None or not path.exists():
        return []
    rows = []
    for index, row in enumerate(read_jsonl(path)):
        if not isinstance(row, dict):
            raise InputError(f"{path} line {index + 1}: not a JSON object")
        step = row.get("step", index)
        rows += [
            (name, number, int(step))
            for name, value in row.items()
            if name != "step" and (number := _number(value)) is not None and math.isfinite(number)
        ]
    return rows
