"""DVC from Python: the order of the stages, what is out of date, running one, fetching the input."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import (
    EXIT_GATE,
    EXIT_INPUT,
    EXIT_TEMPORARY,
    GateRefused,
    InputError,
    SyncDreamerError,
    TemporaryFailure,
)
from components.core.files import read_json
from components.core.paths import Workspace
from components.core.progress import say

if TYPE_CHECKING:
    from dvc.repo import Repo


INPUT = "data/raw"
AGAIN = "again"
"""File in a stage's state: its input changed while it ran, so that it has to run whatever dvc.lock says."""


class Interrupted(SyncDreamerError):
    """A person or the system stopped the stage."""

    exit_code = 130


@dataclass(frozen=True)
class Digest:
    """A dependency or output as dvc.lock records it."""

    path: str
    md5: str


def open_repo(workspace: Workspace) -> Repo:
    """The workspace's DVC repository.

    Raises:
        InputError: the folder is no DVC repository.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        return Repo(str(workspace.root))
    except NotDvcRepoError as error:
        raise InputError(f"{workspace.root} is no DVC repository; `dvc init` makes it one") from error


def stage_order(repo: Repo) -> list[str]:
    """Names of the stages of dvc.yaml, each after what it depends on."""
    import networkx as nx

    return [stage.name for stage in nx.dfs_postorder_nodes(repo.index.graph) if getattr(stage, "name", None)]


def fetch_input(repo: Repo, workspace: Workspace) -> None:
    """Checks that data/raw is there, pulling it from the DVC remote when it is not.

    Raises:
        InputError: it is neither here nor in the remote, or it holds no file.
    """
    from dvc.exceptions import DvcException

    if not workspace.raw.exists():
        try:
            repo.pull(targets=[str(workspace.root / "data.dvc")])
        except DvcException as error:
            raise InputError(f"data/raw is missing and could not be pulled: {error}") from error
    if not any(path.is_file() for path in workspace.raw.rglob("*")):
        raise InputError("data/raw is empty: put sources there, or remove the folder to pull the demo corpus")


def up_to_date(repo: Repo, workspace: Workspace, until: str | None = None) -> bool:
    """Whether no stage (up to `until`) would run: inputs, outputs and parameters are as in dvc.lock."""
    if any(workspace.state("stages").glob(f"*/{AGAIN}")):
        return False
    if until is None:
        return not repo.status()
    return not repo.status(targets=[f"{workspace.root / 'dvc.yaml'}:{until}"], with_deps=True)


def reproduce(repo: Repo, workspace: Workspace, name: str) -> bool:
    """Runs one stage if anything it depends on changed; True when it ran.

    DVC works in a thread: in the main one it ignores SIGINT while a stage runs. It notes what a stage
    depended on when the stage ends: a file that came while the stage read data/raw would count as read, and
    be missed for good. So the stage runs again until data/raw was the same before and after.

    Raises:
        GateRefused, InputError, TemporaryFailure, Interrupted, SyncDreamerError: as the stage's exit status
            says, with the stage's own message.
    """
    from dvc.exceptions import ReproductionError

    result = workspace.state("stages", name) / "result.json"
    result.unlink(missing_ok=True)
    result.with_name("usage.json").unlink(missing_ok=True)  # a stage restored from the cache used nothing now
    try:
        with ThreadPoolExecutor(1) as thread:
            target = f"{workspace.root / 'dvc.yaml'}:{name}"  # whatever folder this process is in
            once = partial(repo.reproduce, targets=[target], single_item=True)
            if not _reads_input(repo, name):
                return bool(thread.submit(once).result())
            again = result.with_name(
                AGAIN
            )  # outlives an interruption: dvc.lock calls what was made up to date
            ran = False
            while True:
                before, forced = _listing(workspace.raw), again.exists()
                ran |= bool(thread.submit(once, force=forced, run_cache=not forced).result())
                if not ran or _listing(workspace.raw) == before:
                    again.unlink(missing_ok=True)
                    return ran
                say(f"data/raw changed while {name} ran: once more")
                again.touch()
    except ReproductionError as error:
        cause = str(error.__cause__ or error)
        found = {"exit": 1, "message": cause}
        outcome: dict[str, Any] = read_json(result) if result.exists() else found
        raise _failure(name, int(outcome["exit"]), str(outcome["message"])) from error


def _reads_input(repo: Repo, name: str) -> bool:
    stages = [stage for stage in repo.index.stages if getattr(stage, "name", None) == name]
    return any(dependency.def_path == INPUT for stage in stages for dependency in stage.deps)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """Every file below with its size and time of change."""
    found = [(str(path), path.stat()) for path in folder.rglob("*") if path.is_file()]
    return sorted((name, state.st_size, state.st_mtime_ns) for name, state in found)


def _failure(name: str, status: int, message: str) -> SyncDreamerError:
    kinds: dict[int, type[SyncDreamerError]] = {
        EXIT_GATE: GateRefused,
        EXIT_INPUT: InputError,
        EXIT_TEMPORARY: TemporaryFailure,
        130: Interrupted,
    }
    return kinds.get(status, SyncDreamerError)(f"{name}: {message}")


def lock_digest(workspace: Workspace) -> str:
    """SHA-256 of dvc.lock, or "" when there is none: names one state of all data, parameters and outputs."""
    path = workspace.root / "dvc.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def locked(workspace: Workspace, name: str) -> tuple[list[Digest], list[Digest]]:
    """A stage's dependencies and outputs with their digests, from dvc.lock."""
    import yaml

    path = workspace.root / "dvc.lock"
    stages: dict[str, Any] = (
        yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.exists() else {}
    )
    entry = stages.get(name, {})

    def digests(kind: str) -> list[Digest]:
        return [Digest(item["path"], item.get("md5", "")) for item in entry.get(kind, [])]

    return digests("deps"), digests("outs")
