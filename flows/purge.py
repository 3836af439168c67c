"""`syncdreamer forget … --purge`: erases withdrawn material wherever this checkout can reach, and says what.

Looked through by content, not by the present revision: raw files, stage artifacts, state, every object of the
DVC cache and of each DVC remote (old revisions included), MLflow's pictures, the report. Tables that name a
clip and its scores stay: they are the record of what was done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_file, read_json, read_parquet
from components.core.paths import Workspace, inside
from components.curation.erase import erase_state
from components.tracking.takedown import Withdrawal
from flows import chain

CAPTION = ".txt"
PICTURES = ("contact_sheets", "samples", "videos")
SHOWING = ("curate", "evaluate")
"""Stages whose MLflow runs keep pictures of clips."""
_NEVER = {"promotions", "lineage", "requests", "keys", "mlflow", "prefect"}


@dataclass
class Erasure:
    """What was erased, what was left and why, and which places could not be reached."""

    erased: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """What to look for.

    clips: ids. digests: SHA-256 of whole files. files: these below data/raw. md5: DVC's names of those that
    are still there (others are found by their path in an older revision).
    """

    clips: frozenset[str]
    digests: frozenset[str]
    files: frozenset[str]
    md5: frozenset[str]

    def names(self, path: str) -> bool:
        """Whether a file is named after a withdrawn clip (`<clip>.png`, `<clip>-<key>.safetensors`)."""
        name = PurePosixPath(path).name
        return any(name == c or name.startswith((f"{c}.", f"{c}-")) for c in self.clips)

    def holds(self, stream: Any) -> bool:
        """Whether a tar file has a member of a withdrawn clip."""
        try:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                return any(self.names(member.name) for member in archive)
        except tarfile.TarError:
            return False


def purge(workspace: Workspace, withdrawal: Withdrawal) -> Erasure:
    """Erases what was withdrawn; nothing else changes but `data.dvc`, which names the input that is left.

    A place that cannot be reached (a remote that is away) is noted as failed and the rest is erased all the
    same: run the command again for it.
    """
    found = Erasure()
    target = _raw(workspace, withdrawal, found)
    found.erased += erase_state(workspace, sorted(target.digests))
    _state(workspace, target, found)
    _artifacts(workspace, target, found)
    _dvc(workspace, target, found)
    _mlflow(workspace, withdrawal, found)
    models = [f"{s.name} {s.version}" for s in withdrawal.marked]
    if models:
        found.left.append(f"models that learnt from it (marked, not promoted again): {', '.join(models)}")
    found.left.append("other clones, backups, and published reports or videos: nothing here knows of them")
    return found


def _raw(workspace: Workspace, withdrawal: Withdrawal, found: Erasure) -> Target:
    """Erases raw files that go as a whole, with their captions."""
    stone = withdrawal.stone
    whole = set(stone.files)
    digests: set[str] = set()
    files: set[str] = set()
    md5: set[str] = set()
    raw = workspace.raw.resolve()
    for path, digest in _inventory(workspace):
        if digest[:16] in whole:
            digests.add(digest)
            files |= {p.relative_to(raw).as_posix() for p in (path, path.with_suffix(CAPTION))}
            if path.exists():
                md5.add(hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
                caption = path.with_suffix(CAPTION)
                if caption.exists():
                    md5.add(hashlib.md5(caption.read_bytes(), usedforsecurity=False).hexdigest())
                    _unlink(workspace, caption, found)
                _unlink(workspace, path, found)
        elif any(clip_id[:16] == digest[:16] for clip_id in stone.clips):
            name = path.relative_to(workspace.root.resolve()).as_posix()
            found.left.append(
                f"{name}: other clips of the file stay; cut the withdrawn part out of it by hand"
            )
    return Target(frozenset(stone.clips), frozenset(digests), frozenset(files), frozenset(md5))


def _inventory(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    path = workspace.artifacts("ingest", "inventory.parquet")
    if path.exists():
        table = read_parquet(path)
        for file, digest in sorted(set(zip(table["file"], table["sha256"], strict=True))):
            yield inside(workspace.raw, file), digest
    elif workspace.raw.exists():
        for file in sorted(p for p in workspace.raw.rglob("*") if p.is_file()):
            yield file.resolve(), digest_file(file)


def _unlink(workspace: Workspace, path: Path, found: Erasure) -> None:
    size = path.stat().st_size
    if path.is_dir():
        size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        shutil.rmtree(path)
    else:
        path.unlink()
    root = workspace.root.resolve()
    resolved = path.absolute()
    name = resolved.relative_to(root) if resolved.is_relative_to(root) else resolved
    found.erased.append(f"{Path(name).as_posix()} ({size} bytes)")


def _state(workspace: Workspace, target: Target, found: Erasure) -> None:
    state = workspace.root.resolve() / "state"
    places = [p for p in state.iterdir() if p.name not in _NEVER] if state.exists() else []
    for path in sorted(p for place in places for p in place.rglob("*") if target.names(p.name)):
        if path.exists():
            _unlink(workspace, path, found)


def _artifacts(workspace: Workspace, target: Target, found: Erasure) -> None:
    root = workspace.root.resolve() / "artifacts"
    for path in sorted(root.rglob("*")) if root.exists() else ():
        if not path.is_file():
            continue
        if target.names(path.name):
            _unlink(workspace, path, found)
        elif path.suffix == ".tar":
            with path.open("rb") as stream:
                doomed = target.holds(stream)
            if doomed:
                _unlink(workspace, path, found)
    metrics = root / "evaluation" / "metrics.json"
    for stem in _shown(read_json(metrics), target) if metrics.exists() else ():
        for path in sorted((root / "evaluation").glob(f"*/{stem}_*")):
            _unlink(workspace, path, found)
    report = root / "report"
    if report.exists():
        _unlink(workspace, report, found)


def _shown(metrics: Any, target: Target) -> list[str]:
    """Stems (`03`) of the evaluation's videos and posters that show a withdrawn clip."""
    items = metrics.get("items", []) if isinstance(metrics, dict) else []
    parts = ("reference", "sound", "other")
    return [f"{item['index']:02d}" for item in items if {item.get(p) for p in parts} & target.clips]


def _dvc(workspace: Workspace, target: Target, found: Erasure) -> None:
    """The cache and every remote, whatever revision an object belongs to; then `data.dvc`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from dvc.exceptions import DvcException

    try:
        repo = chain.open_repo(workspace)
    except InputError as error:
        found.left.append(f"DVC cache and remotes: {error}")
        return
    places = [("DVC cache", repo.cache.local)]
    for name in sorted(repo.config["remote"]):
        try:
            places.append((f"DVC remote {name}", repo.cloud.get_remote_odb(name)))
        except DvcException as error:
            found.failed.append(f"DVC remote {name}: {error}")
    for label, store in places:
        try:
            count, size = _objects(store, target)
        except (OSError, DvcException, BotoCoreError, ClientError) as error:
            found.failed.append(f"{label}: {error}")
            continue
        if count:
            found.erased.append(f"{label}: {count} objects ({size} bytes)")
            if label != "DVC cache" and Path(str(store.path)).is_relative_to(workspace.root.resolve()):
                found.left.append(f"{label} lies in this repository: git's history still holds the objects")
    if target.md5 and (workspace.root / "data.dvc").exists():
        repo.commit("data.dvc", force=True)
        found.erased.append(
            "data.dvc: names the input without them; commit it together with tombstones.jsonl"
        )
    repo.close()


def _objects(store: Any, target: Target) -> tuple[int, int]:
    """Erases what shows withdrawn material from one object store; returns (objects, bytes)."""
    known = {oid: path for path in store.fs.find(store.path) if (oid := _oid(path))}
    doomed = {oid for oid in target.md5 if oid in known}
    archives: set[str] = set()
    for oid in sorted(oid for oid in known if oid.endswith(".dir")):
        with store.fs.open(known[oid], "rb") as stream:
            entries = json.loads(stream.read())
        doomed |= {e["md5"] for e in entries if target.names(e["relpath"]) or e["relpath"] in target.files}
        archives |= {e["md5"] for e in entries if e["relpath"].endswith(".tar")}
        doomed |= _videos(store, known, entries, target)
    for oid in sorted(archives & known.keys() - doomed):
        with store.fs.open(known[oid], "rb") as stream:
            if target.holds(stream):
                doomed.add(oid)
    size = 0
    for oid in sorted(doomed & known.keys()):
        size += int(store.fs.info(known[oid])["size"])
        store.fs.remove(known[oid])
    return len(doomed & known.keys()), size


def _videos(store: Any, known: dict[str, str], entries: Iterable[dict[str, str]], target: Target) -> set[str]:
    """Objects of an evaluation's videos and posters that show a withdrawn clip."""
    by_path = {entry["relpath"]: entry["md5"] for entry in entries}
    metrics = known.get(by_path.get("metrics.json", ""))
    if metrics is None or not any(path.startswith("videos/") for path in by_path):
        return set()
    with store.fs.open(metrics, "rb") as stream:
        stems = _shown(json.loads(stream.read()), target)
    return {
        md5
        for path, md5 in by_path.items()
        if path.startswith(("videos/", "posters/")) and PurePosixPath(path).name.split("_")[0] in stems
    }


def _oid(path: str) -> str:
    """`…/files/md5/ab/cdef` → `abcdef`; "" for anything else."""
    parts = PurePosixPath(path).parts
    name = "".join(parts[-2:]) if len(parts) > 1 and len(parts[-2]) == 2 else ""
    return name if len(name.removesuffix(".dir")) == 32 else ""


def _mlflow(workspace: Workspace, withdrawal: Withdrawal, found: Erasure) -> None:
    """Pictures kept with runs: contact sheets and videos mix people, so those of all such runs go."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from components.tracking.runs import STAGE_TAG, Tracker
    from components.tracking.store import told

    tracker = Tracker(workspace)
    stages = SHOWING if withdrawal.clips else ()
    for stage in stages:
        with told():
            runs = tracker.client.search_runs([tracker.experiment_id], f"tags.`{STAGE_TAG}` = '{stage}'")
        for run in runs:
            with told():
                kept = {item.path for item in tracker.client.list_artifacts(run.info.run_id)}
            for name in sorted(kept.intersection(PICTURES)):
                with told():
                    get_artifact_repository(run.info.artifact_uri).delete_artifacts(name)
                found.erased.append(f"MLflow run {run.info.run_id} ({stage}): {name}")
