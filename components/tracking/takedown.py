"""Takedown: a clip, a person or a source is withdrawn, and every model that learnt from it is marked.

The tombstone list makes curation leave it out; the marks make promotion refuse; a request asks for training
without it. Erasing the material itself is `flows.purge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_parquet
from components.core.paths import Workspace
from components.tracking import tombstones
from components.tracking.lease import exclusive
from components.tracking.ledger import Ledger
from components.tracking.lineage import Clip, Index, Sighting
from components.tracking.promotion import note_withdrawal
from components.tracking.registry import CHAMPION, MARKED_TAG, MODELS, alias_version
from components.tracking.requests import RETRAIN, Request, ask
from components.tracking.runs import Tracker
from components.tracking.store import told
from components.tracking.tombstones import Kind, Tombstone
from components.tracking.trace import clips_of, synchronise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Withdrawal:
    """What `forget` did. marked: models that learnt from it. seen: models that only were measured on it.

    champion: whether a marked model is the champion. request: the retraining asked for.
    """

    stone: Tombstone
    clips: tuple[Clip, ...]
    marked: tuple[Sighting, ...]
    seen: tuple[Sighting, ...]
    champion: bool
    request: Request


def forget(
    workspace: Workspace,
    *,
    clip: str = "",
    identity: str = "",
    source: str = "",
    actor: str = "",
    why: str = "",
    tracker: Tracker | None = None,
) -> Withdrawal:
    """Withdraws a clip, a person or a source.

    The list is written before any model is marked: an interruption leaves something that running the same
    command again completes, and nothing that trains on the material meanwhile.

    Raises:
        InputError: not exactly one thing was named, or nothing known bears that name.
    """
    named: list[tuple[Kind, str]] = [("clip", clip), ("identity", identity), ("source", source)]
    named = [(kind, value) for kind, value in named if value]
    if len(named) != 1:
        raise InputError("name exactly one of --clip, --identity and --source")
    ((kind, value),) = named
    tracker = tracker or Tracker(workspace)
    synchronise(tracker)
    with Index.of(workspace) as index:
        clips, files = affected(workspace, index, kind, value)
        stone = Tombstone(
            kind, value, tuple(c.clip_id for c in clips), files,
            datetime.now(UTC).isoformat(timespec="seconds"), actor, why,
        )  # fmt: skip
        known = tombstones.read(workspace)
        if not any(_same(stone, old) for old in known):
            tombstones.add(workspace, [stone])
        sightings = index.sightings(stone.clips)
        taught = [sighting for sighting in sightings if sighting.learnt]
        champion = _mark(tracker, index, taught, stone)
    digest = tombstones.digest(workspace)
    request = ask(workspace, RETRAIN, f"{kind} {value} was withdrawn", tombstones=digest)
    return Withdrawal(
        stone, tuple(clips), tuple(taught), tuple(s for s in sightings if not s.learnt), champion, request
    )


def _same(one: Tombstone, other: Tombstone) -> bool:
    fields = ("kind", "value", "clips", "files")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def affected(
    workspace: Workspace, index: Index, kind: Kind, value: str
) -> tuple[list[Clip], tuple[str, ...]]:
    """The clips that a withdrawal covers, near-duplicates included, and the files that go as a whole.

    Looks at every clip that any registered model saw and at the present manifest (rejected clips are only
    there). A duplicate of a withdrawn clip shows the same: it would take the clip's place at the next run.

    Raises:
        InputError: nothing known bears the name, or the beginning of a clip id fits several files.
    """
    found = {c.clip_id: c for c in index.find(**{kind: value})}
    path = workspace.artifacts("curate", "manifest.parquet")
    table = read_parquet(path) if path.exists() else None
    if table is not None:
        found |= {c.clip_id: c for c in clips_of(table[_matches(table, kind, value)])}
    if not found and kind != "source":
        raise InputError(f"no {kind} {value!r} is known, to the manifest or to any registered model")
    if kind == "clip" and value in found:
        found = {value: found[value]}  # `…-1` is also the beginning of `…-10`
    if kind == "clip" and len({c[:16] for c in found}) > 1:
        some = ", ".join(sorted(found)[:3])
        raise InputError(f"{value!r} fits {len(found)} clips, e.g. {some}; give more of the id")
    while table is not None:
        copies = table["duplicate_of"].isin(found) | table["clip_id"].isin(_originals(table, set(found)))
        new = {c.clip_id: c for c in clips_of(table[copies]) if c.clip_id not in found}
        if not new:
            break
        found |= new
    whole = []
    for digest in sorted({clip_id[:16] for clip_id in found}):
        every = {c.clip_id for c in index.find(clip=digest)}
        if table is not None:
            every |= set(table.loc[table["clip_id"].str.startswith(digest), "clip_id"])
        if every <= found.keys():
            whole.append(digest)
    return sorted(found.values(), key=lambda c: c.clip_id), tuple(whole)


def _originals(table: pd.DataFrame, clip_ids: set[str]) -> set[str]:
    return set(table.loc[table["clip_id"].isin(clip_ids), "duplicate_of"].dropna())


def _matches(table: pd.DataFrame, kind: Kind, value: str) -> Any:
    if kind == "clip":
        return table["clip_id"].str.startswith(value)
    if kind == "identity":
        return table["identity"] == value
    below = value.rstrip("/") + "/"
    hit = table["source"] == value
    for name in ("source", "source_video", "file"):
        hit |= (table[name] == value) | table[name].str.startswith(below)
    return hit


def mark_known(tracker: Tracker) -> list[Sighting]:
    """Marks every model that learnt from something on the list and is not marked yet (old artifacts that were
    restored and registered again, a list that came with `git pull`); returns them."""
    marked = []
    with Index.of(tracker.workspace) as index:
        for stone in tombstones.read(tracker.workspace):
            sightings = [
                s for s in index.sightings(stone.clips) if s.learnt and _label(stone) not in s.marked
            ]
            if sightings:
                _mark(tracker, index, sightings, stone)
                marked += sightings
    return marked


def _label(stone: Tombstone) -> str:
    return f"{stone.kind} {stone.value} was withdrawn"


def _mark(tracker: Tracker, index: Index, taught: Sequence[Sighting], stone: Tombstone) -> bool:
    """Marks models in the registry and the index; under the promotion lock, so that no promotion that has
    judged a model as clean moves it afterwards. True if a marked model is the champion."""
    ledger = Ledger(tracker.workspace.state("promotions"))
    label = _label(stone)
    with exclusive(tracker, ledger):
        for sighting in taught:
            before = sighting.marked
            text = before if label in before else "; ".join(filter(None, (before, label)))
            with told():
                tracker.client.set_model_version_tag(sighting.name, sighting.version, MARKED_TAG, text)
            index.mark(sighting.name, sighting.version, text)
        champions = {(name, alias_version(tracker, name, CHAMPION)) for name in MODELS}
        marked = [f"{sighting.name} {sighting.version}" for sighting in taught]
        if any(label not in sighting.marked for sighting in taught):
            note_withdrawal(tracker, ledger, actor=stone.actor, why=stone.why, reason=label, marked=marked)
    return any((sighting.name, sighting.version) in champions for sighting in taught)
