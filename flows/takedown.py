"""`syncdreamer forget`: withdraws, says which models saw it, erases if asked to."""

from __future__ import annotations

from components.core.errors import SyncDreamerError
from components.core.paths import Workspace
from components.core.progress import say


def forget(workspace: Workspace, *, clip: str, identity: str, source: str, why: str, purge: bool) -> None:
    """Withdraws a clip, a person or a source, and prints what that touched.

    Raises:
        InputError: nothing or more than one thing was named, or nothing known bears the name.
        Busy: --purge while a run is at work here; it is withdrawn, erase it when the run has ended.
        SyncDreamerError: --purge could not reach a place; the message names it.
    """
    from components.tracking.book import user
    from components.tracking.takedown import forget as withdraw

    done = withdraw(workspace, clip=clip, identity=identity, source=source, actor=user(), why=why)
    say(f"withdrawn: {done.stone.kind} {done.stone.value}: {len(done.clips)} clips")
    say("  commit tombstones.jsonl together with params.yaml, which names it")
    for found in done.clips:
        say(f"  {found.clip_id}  {found.file}")
    for sighting in done.marked:
        say(
            f"marked: {sighting.name} {sighting.version} ({', '.join(sighting.roles)}): not promoted any more"
        )
    for sighting in done.seen:
        say(f"not marked: {sighting.name} {sighting.version} was only evaluated on it")
    if done.champion:
        say(
            "the champion is marked: `syncdreamer rollback` goes back; training without the clips replaces it"
        )
    say(f"training is asked for: state/requests/{done.request.name}.json (`syncdreamer run`, or a schedule)")
    if not purge:
        say("nothing was erased; --purge erases raw files, derived data, caches and remotes")
        return
    from flows.lock import run_lock
    from flows.purge import purge as erase

    with run_lock(workspace, "syncdreamer forget --purge"):  # a run would write what is being erased
        erasure = erase(workspace, done)
    for line in erasure.erased:
        say(f"erased: {line}")
    for line in erasure.left:
        say(f"left: {line}")
    if erasure.failed:
        raise SyncDreamerError(f"not everything was reached, run it again: {'; '.join(erasure.failed)}")
