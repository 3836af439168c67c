"""What each stage cost, kept with its MLflow run and, summed over what led to a model, with its version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from components.core.files import read_json, to_json
from components.core.paths import Workspace
from components.tracking.registry import STAGES as MODEL_STAGES
from components.tracking.runs import Tracker
from components.tracking.store import told
from flows.operations import Prices
from flows.usage import Usage

if TYPE_CHECKING:
    from dvc.repo import Repo

PREFIX = "usage."
TAG = "usage"
TOTALS = ("seconds", "cpu_seconds", "gpu_seconds", "cost")


def log_usage(tracker: Tracker, workspace: Workspace, stage: str, run_id: str) -> None:
    """Writes what the stage that just ran used to its run, as metrics `usage.…`."""
    from mlflow.entities import Metric

    path = workspace.state("stages", stage) / "usage.json"
    if not path.exists():
        return
    usage = Usage.model_validate(read_json(path)).model_dump()
    with told():
        now = tracker.client.get_run(run_id).info.start_time
        rows = [Metric(PREFIX + name, float(value), now, 0) for name, value in usage.items()]
        tracker.client.log_batch(run_id, metrics=rows)


def attach(
    tracker: Tracker, repo: Repo, runs: Iterable[dict[str, Any]], versions: dict[str, str], prices: Prices
) -> dict[str, dict[str, Any]]:
    """Tags each model version with the use and cost of every stage that led to it; returns them by model.

    runs: rows with `name` (stage) and `run_id` (the run that made its present outputs, be it an earlier one).
    A stage without figures (restored from a cache or made elsewhere) is listed under `not_measured`.
    """
    measured = {row["name"]: _usage(tracker, row["run_id"]) for row in runs}
    found = {}
    for model, version in versions.items():
        found[model] = summary(measured, upstream(repo, MODEL_STAGES[model]), prices)
        with told():
            tracker.client.set_model_version_tag(model, version, TAG, to_json(found[model], None))
            tracker.client.set_model_version_tag(
                model, version, "cost", f"{found[model]['total']['cost']:.4f} {prices.currency}"
            )
    return found


def summary(measured: dict[str, Usage | None], stages: Iterable[str], prices: Prices) -> dict[str, Any]:
    """Use and cost by stage, their sum, the largest peak, and the stages without figures."""
    rows = {}
    missing = []
    for stage in stages:
        usage = measured.get(stage)
        if usage is None:
            missing.append(stage)
        else:
            rows[stage] = usage.model_dump() | {"cost": round(usage.cost(prices), 6)}
    total = {name: round(sum(row[name] for row in rows.values()), 6) for name in TOTALS}
    total["peak_memory_mb"] = max((row["peak_memory_mb"] for row in rows.values()), default=0.0)
    return {"stages": rows, "total": total, "currency": prices.currency, "not_measured": missing}


def upstream(repo: Repo, stage: str) -> list[str]:
    """The stages that lead to `stage`, itself last, in the order of dvc.yaml."""
    import networkx as nx

    graph = repo.index.graph
    (end,) = [node for node in graph if getattr(node, "name", None) == stage]
    return [node.name for node in nx.dfs_postorder_nodes(graph, end) if getattr(node, "name", None)]


def _usage(tracker: Tracker, run_id: str) -> Usage | None:
    with told():
        metrics = tracker.client.get_run(run_id).data.metrics
    values = {name: metrics[PREFIX + name] for name in Usage.model_fields if PREFIX + name in metrics}
    return Usage.model_validate(values) if PREFIX + "seconds" in metrics else None


def costs_table(workspace: Workspace) -> list[dict[str, Any]]:
    """Every registered version that has figures: model, version, and what `attach` noted; newest first."""
    import json

    tracker = Tracker(workspace)
    rows = []
    for model in MODEL_STAGES:
        with told():
            versions = tracker.client.search_model_versions(f"name = '{model}'")
        for version in sorted(versions, key=lambda v: -int(v.version)):
            if TAG in version.tags:
                rows.append({"model": model, "version": str(version.version)} | json.loads(version.tags[TAG]))
    return rows
