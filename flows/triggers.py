"""Events that start a run: each trigger has a fingerprint of what it watches; a new one starts a run.

What was handled is remembered in state/operations/triggers.json only when the run that was started for it has
ended, and a run is made under a key of its own, so a kill at any point neither loses an event nor doubles it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from components.core.errors import InputError, TemporaryFailure
from components.core.files import read_json, to_json, write_json
from components.core.paths import Workspace, inside
from components.core.progress import say
from flows.operations import (
    Deployment,
    DriftTrigger,
    FilesTrigger,
    RequestTrigger,
    RevisionTrigger,
    S3Trigger,
    Trigger,
)


def fingerprint(trigger: Trigger, workspace: Workspace) -> str:
    """What the trigger sees now; "" where there is nothing to run for.

    Raises:
        TemporaryFailure: the S3 service is away or refuses.
        InputError: the path leaves the workspace.
    """
    if isinstance(trigger, FilesTrigger):
        return _files(inside(workspace.root, trigger.path), trigger.pattern)
    if isinstance(trigger, S3Trigger):
        return _digest(sorted((key, size, etag) for key, size, etag in objects(trigger)))
    if isinstance(trigger, RevisionTrigger):
        from flows.record import data_digest

        return data_digest(workspace)
    if isinstance(trigger, RequestTrigger):
        from components.tracking.requests import RETRAIN, pending

        return _digest([request.name for request in pending(workspace, RETRAIN)])
    assert isinstance(trigger, DriftTrigger)
    path = workspace.root / "state" / "drift" / "verdict.json"
    verdict = read_json(path) if path.exists() else {"passed": True}
    return "" if verdict["passed"] else _digest([verdict["subjects"]])


def _files(folder: Path, pattern: str) -> str:
    rows = []
    for path in sorted(folder.glob(pattern)):
        try:
            facts = path.stat()
        except FileNotFoundError:  # gone between the two
            continue
        if path.is_file():
            rows.append((path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns))
    return _digest(rows) if rows else ""


def _digest(value: Any) -> str:
    return hashlib.sha256(to_json(value, indent=None).encode()).hexdigest()[:32] if value else ""


def _bucket(trigger: S3Trigger) -> tuple[Any, str, str]:
    """(client, bucket, prefix)."""
    import boto3
    from botocore.config import Config

    place = urlparse(trigger.url)
    settings = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 3})
    client = boto3.client("s3", endpoint_url=trigger.endpoint, config=settings)
    return client, place.netloc, place.path.lstrip("/")


def objects(trigger: S3Trigger) -> list[tuple[str, int, str]]:
    """(key, bytes, ETag) of every object below the prefix.

    Raises:
        TemporaryFailure: the service is away or refuses; the message has no credentials.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client, bucket, prefix = _bucket(trigger)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [item for page in pages for item in page.get("Contents", [])]
    except (BotoCoreError, ClientError) as error:
        raise TemporaryFailure(f"{trigger.url} cannot be listed: {type(error).__name__}: {error}") from error
    return [(item["Key"], item["Size"], item["ETag"]) for item in found if not item["Key"].endswith("/")]


def fetch(trigger: S3Trigger, workspace: Workspace) -> int:
    """Brings objects that are not here yet into `trigger.into` below data/raw; returns how many.

    A file that is here is never replaced: an object that changed under its name is told and left.

    Raises:
        TemporaryFailure: the service is away. InputError: a key would leave the folder.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if trigger.into is None:
        return 0
    folder = inside(workspace.raw, trigger.into)
    client, bucket, prefix = _bucket(trigger)
    cut = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
    fetched = 0
    for key, size, _ in objects(trigger):
        target = inside(folder, key.removeprefix(cut))
        if target.exists():
            if target.stat().st_size != size:
                say(f"{trigger.url}: {key} has changed; {target.name} is kept (nothing raw is ever replaced)")
            continue
        partial = workspace.state("operations", "fetch") / hashlib.sha256(key.encode()).hexdigest()
        try:
            client.download_file(bucket, key, str(partial))
        except (BotoCoreError, ClientError) as error:
            raise TemporaryFailure(f"{trigger.url}: {key} could not be fetched: {error}") from error
        if partial.stat().st_size != size:
            raise TemporaryFailure(f"{trigger.url}: {key} came with another size; it is tried again")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(target)
        fetched += 1
    if fetched:
        say(f"{trigger.url}: {fetched} new files in data/raw/{trigger.into}")
    return fetched


@dataclass
class Watched:
    """One trigger of one deployment. key: names it in the memory."""

    deployment: str
    trigger: Trigger
    key: str


class Watch:
    """Looks at the triggers and starts runs.

    start(deployment, reason, key) makes a run (the same key again: the same run) and returns its id;
    ended(id) says whether it is over; idle(deployment) whether nothing of it runs or waits, nor is paused.
    """

    def __init__(
        self,
        workspace: Workspace,
        deployments: tuple[Deployment, ...],
        start: Callable[[str, str, str], str],
        ended: Callable[[str], bool],
        idle: Callable[[str], bool],
    ) -> None:
        self.workspace = workspace
        self.start, self.ended, self.idle = start, ended, idle
        self.watched = [
            Watched(each.name, trigger, f"{each.name}/{_digest(trigger.model_dump())[:12]}")
            for each in deployments
            for trigger in each.triggers
        ]
        self._path = workspace.state("operations") / "triggers.json"
        self._seen: dict[str, str] = {}

    def look(self) -> list[str]:
        """One look at everything; returns the reasons for which runs were started."""
        memory: dict[str, Any] = read_json(self._path) if self._path.exists() else {}
        started = []
        for each in self.watched:
            entry = memory.setdefault(each.key, {"handled": "", "number": 0, "run": None, "at": ""})
            if entry["run"] and self.ended(entry["run"]):
                entry |= {"handled": entry["at"], "run": None}
                write_json(self._path, memory)
            if entry["run"]:
                continue
            reason = self._fire(each, entry, memory)
            if reason:
                started.append(reason)
        return started

    def _fire(self, each: Watched, entry: dict[str, Any], memory: dict[str, Any]) -> str:
        try:
            now = fingerprint(each.trigger, self.workspace)
        except (TemporaryFailure, InputError) as error:
            say(f"trigger {each.trigger.kind} of {each.deployment}: {error}")
            return ""
        settled = self._seen.get(each.key) == now  # twice the same: nobody is still copying
        self._seen[each.key] = now
        if not now or now == entry["handled"] or not settled or not self.idle(each.deployment):
            return ""
        if now != entry["at"]:
            entry |= {"number": entry["number"] + 1, "at": now}
            write_json(self._path, memory)
        reason = f"{each.trigger.kind} trigger"
        entry["run"] = self.start(each.deployment, reason, f"{each.key}/{entry['number']}/{now}")
        write_json(self._path, memory)
        return f"{each.deployment}: {reason}"
