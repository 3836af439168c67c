"""When a trained pair is registered and moved: the rules themselves are tracking's."""

from __future__ import annotations

from typing import Any

from components.core.errors import SyncDreamerError
from components.core.paths import Workspace
from components.core.progress import say
from flows import chain


def register_pair(workspace: Workspace) -> dict[str, Any]:
    """Registers the avatar and the enhancer of artifacts/ as a pair, with its lineage and its cards.

    The same content again keeps its versions. Returns them, e.g. {"syncdreamer-avatar": "3",
    "syncdreamer-enhancer": "3"}. What was asked to be trained anew and now was is filed as done.
    """
    from components.tracking import cards, credentials, registry, takedown, tombstones, trace
    from components.tracking.requests import RETRAIN, fulfil, pending
    from components.tracking.runs import Tracker
    from flows.record import data_digest, git_state

    tracker = Tracker(workspace)
    lock, git, data = (
        chain.lock_digest(workspace),
        git_state(workspace).get("git", ""),
        data_digest(workspace),
    )
    versions = registry.register_pair(workspace, lock_digest=lock, git=git, data_digest=data, tracker=tracker)
    facts = {
        name: {"git": git, "lock": lock, "data": data, **origin(workspace, stage)}
        for name, stage in registry.STAGES.items()
    }
    trace.record(tracker, versions, trace.clip_uses(workspace), facts)
    takedown.mark_known(tracker)
    cards.write_cards(tracker, versions, facts, len(tombstones.read(workspace)))
    pair = registry.find_pair(tracker, versions)
    credentials.keep_sidecars(
        workspace,
        workspace.artifacts("evaluation", "videos"),
        credentials.of_pair(pair.versions, pair.digests, {}, pair=pair.id, frozen_set=pair.frozen),
    )
    for request in pending(workspace, RETRAIN):
        if request.about.get("tombstones") == tombstones.digest(workspace):
            fulfil(workspace, request)
    return versions


def origin(workspace: Workspace, stage: str) -> dict[str, Any]:
    """`parents` (upstream stage or input → digest of what it gave) and `params` (upstream stage → its
    parameters) of a stage, from dvc.lock."""
    import yaml

    path = workspace.root / "dvc.lock"
    if not path.exists():
        return {"parents": {}, "params": {}}
    stages: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    makers = {out["path"]: name for name, entry in stages.items() for out in entry.get("outs", [])}
    parents: dict[str, str] = {}
    params: dict[str, Any] = {}
    waiting = [stage]
    while waiting:
        name = waiting.pop(0)
        if name in params:
            continue
        entry = stages.get(name, {})
        params[name] = entry.get("params", {}).get("params.yaml", {})
        parents[name] = "+".join(out.get("md5", "") for out in entry.get("outs", []))
        for dep in entry.get("deps", []):
            maker = _maker(dep["path"], makers)
            if maker is None:
                parents[dep["path"]] = dep.get("md5", "")
            else:
                waiting.append(maker)
    return {"parents": parents, "params": params}


def _maker(path: str, makers: dict[str, str]) -> str | None:
    """The stage whose output `path` is or lies in."""
    return next((name for out, name in makers.items() if path == out or path.startswith(out + "/")), None)


def promote_pair(workspace: Workspace, versions: dict[str, Any]) -> Any:
    """Compares the pair with the champion under mlflow/promotion.yaml and moves the aliases if it wins.

    The champion is evaluated on the candidate's clips and seeds first, where it was not yet.
    """
    from components.tracking import policy, promotion
    from flows.rematch import rematch

    if policy.read_policy(workspace).same_clips:
        try:
            rematch(workspace)
        except SyncDreamerError as error:  # promotion then refuses, and says so in the ledger
            say(f"warning: {error}")
    return promotion.promote(workspace, versions)
