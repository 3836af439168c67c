"""DVC's experiments as MLflow runs: one a commit, under the experiment's name, however it was run.

`dvc exp run`, the queue and parallel workers know nothing of MLflow. What an experiment changed and reached
lies in its commit and in DVC's cache; from there it is written to MLflow once.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import append_jsonl, write_json
from components.core.paths import Workspace
from flows import chain

if TYPE_CHECKING:
    from dvc.repo import Repo

    from components.tracking import Tracker

CURVES = "artifacts/curves"
TAG, REVISION, BASELINE = "dvc.experiment", "dvc.rev", "dvc.baseline"


@dataclass(frozen=True)
class Experiment:
    """name and rev are DVC's; run_id is MLflow's; new: it was written now."""

    name: str
    rev: str
    baseline: str
    run_id: str
    new: bool


def record_experiments(workspace: Workspace, tracker: Tracker | None = None) -> list[Experiment]:
    """Writes every experiment of the repository that MLflow does not have yet.

    Raises:
        InputError: the workspace is no git repository.
    """
    from dvc.scm import NoSCMError, SCMError

    from components.tracking import Tracker

    repo = chain.open_repo(workspace)
    try:
        listed = repo.experiments.ls(all_commits=True)
    except (NoSCMError, SCMError) as error:
        raise InputError(f"experiments need a git repository: {error}") from error
    found = sorted((name, rev, base) for base, rows in listed.items() for name, rev in rows if rev)
    tracker = tracker or Tracker(workspace)
    experiments = []
    for name, rev, base in found:
        known = tracker.find_stage(name, rev)
        run_id = known or _write(tracker, repo, name, rev, base)
        experiments.append(Experiment(name, rev, base, run_id, new=known is None))
    repo.close()
    return experiments


def _write(tracker: Tracker, repo: Repo, name: str, rev: str, base: str) -> str:
    """One run: parameters of the commit, final metrics of every stage, curves with their steps."""
    import yaml
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(repo.root_dir, rev=rev)
    with tempfile.TemporaryDirectory(prefix="syncdreamer-experiment-") as place:
        folder = Path(place)
        metrics: dict[str, Any] = {}
        for path in _found(files, "artifacts/*/metrics.json"):
            metrics |= _prefixed(path, _fetched(files, path, folder))
        for path in _found(files, f"{CURVES}/*.csv"):
            _append_history(folder / "history.jsonl", path, _fetched(files, path, folder))
        write_json(folder / "metrics.json", metrics)
        with files.open("params.yaml") as file:
            params = yaml.safe_load(file)
        return tracker.log_stage(
            None,
            name,
            params=params,
            metrics=folder / "metrics.json",
            history=folder / "history.jsonl",
            digest=rev,
            tags={TAG: name, REVISION: rev, BASELINE: base},
        )


def _found(files: Any, pattern: str) -> list[str]:
    return sorted(str(path).lstrip("/") for path in files.glob(pattern))


def _fetched(files: Any, path: str, folder: Path) -> Path:
    """A copy of one file of the commit, from DVC's cache (or its remote)."""
    copy = folder / path.replace("/", "_")
    files.get_file(path, str(copy))
    return copy


def _prefixed(path: str, copy: Path) -> dict[str, float]:
    from components.core.files import read_json
    from components.tracking.runs import metric_values

    stage = Path(path).parent.name
    return {f"{stage}.{name}": value for name, value in metric_values(read_json(copy)).items()}


def _append_history(history: Path, path: str, copy: Path) -> None:
    from components.evaluation.curves import read_csv

    for row in read_csv(copy):
        step = int(row.pop("step"))
        append_jsonl(history, {"step": step, **{f"{Path(path).stem}.{key}": row[key] for key in row}})
