"""Moving the aliases of a pair by the policy, one at a time, with every decision in the ledger.

The ledger and the aliases move together in `book`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.core.errors import InputError
from components.core.paths import Workspace
from components.tracking.book import Book, Decision
from components.tracking.lease import exclusive
from components.tracking.ledger import Ledger
from components.tracking.policy import Policy, judge, read_policy
from components.tracking.registry import (
    CHAMPION,
    MODELS,
    PREVIOUS,
    Pair,
    alias_pair,
    alias_version,
    evaluated_on,
    find_pair,
    newest_pair,
    samples_of,
)
from components.tracking.runs import Tracker


def promote(
    workspace: Workspace,
    versions: Mapping[str, str] | None = None,
    *,
    actor: str = "",
    why: str = "",
    approve: bool = False,
    policy: Policy | None = None,
    tracker: Tracker | None = None,
) -> Decision:
    """Makes a pair the champion if the policy allows it.

    versions: name → version of both models; None is the pair registered last.
    approve: a person's word: it lifts `require_approval` and a former rollback of this pair, never a gate, a
    comparison or a hold. The present champion again is a no-op. If another promotion won while this one
    waited for its turn, this one is refused: it was meant against a champion that is no longer there.

    Raises:
        InputError: no such pair, or the policy file is wrong.
        LedgerBroken: the ledger does not verify; nothing is moved.
    """
    tracker = tracker or Tracker(workspace)
    rules = policy or read_policy(workspace)
    candidate = find_pair(tracker, versions) if versions else newest_pair(tracker)
    if candidate is None:
        raise InputError("no pair is registered yet; `syncdreamer run` trains and registers one")
    seen = _champion_versions(tracker)
    ledger = Ledger(workspace.state("promotions"))
    with exclusive(tracker, ledger):
        book = Book(tracker, ledger, actor, why)
        rows = book.open()
        candidate = find_pair(tracker, candidate.versions)  # it may have been marked meanwhile
        if _champion_versions(tracker) != seen and not book.completed:
            return book.refuse(candidate, None, "another promotion won meanwhile; compare again")
        champion = alias_pair(tracker, CHAMPION)
        if champion is not None and champion.id == candidate.id:
            return Decision(status="unchanged", reason="already the champion", versions=candidate.versions)
        held = _held(rows)
        if held:
            reason = f"held since {held['time']} by {held['actor']}: {held['reason']}; `syncdreamer release`"
            return book.refuse(candidate, champion, reason)
        if candidate.marked:
            return book.refuse(candidate, champion, f"marked: {candidate.marked}")
        former = _rolled_back(rows, candidate.id)
        if former and not approve:
            reason = f"rolled back on {former['time']} by {former['actor']}; approve it to promote it again"
            return book.refuse(candidate, champion, reason)
        against = champion
        if champion is not None and rules.same_clips:
            against = evaluated_on(tracker, champion, candidate.frozen)
            if against is None:
                reason = (
                    f"the champion was never evaluated on the candidate's clips and seeds (set "
                    f"{candidate.frozen or 'without clips'}); `syncdreamer rematch` does it"
                )
                return book.refuse(candidate, champion, reason)
        verdict = judge(
            rules,
            candidate.metrics,
            candidate.gates,
            None if against is None else against.metrics,
            _samples(tracker, candidate, against),
            withdrawn=bool(champion and champion.marked),
        )
        if not verdict.better:
            return book.refuse(candidate, champion, verdict.reason, verdict.figures)
        if rules.require_approval and not approve:
            return book.wait(candidate, champion, f"{verdict.reason}; waits for approval", verdict.figures)
        now = (candidate, champion)
        return book.move("promoted", candidate, champion, verdict.reason, verdict.figures, now)


def rollback(
    workspace: Workspace, *, actor: str = "", why: str = "", tracker: Tracker | None = None
) -> Decision:
    """Makes the former pair the champion again; the pair it replaces is not promoted again unless approved.

    Raises:
        InputError: there is no former pair, or it is marked.
        LedgerBroken: the ledger does not verify; nothing is moved.
    """
    tracker = tracker or Tracker(workspace)
    ledger = Ledger(workspace.state("promotions"))
    with exclusive(tracker, ledger):
        book = Book(tracker, ledger, actor, why)
        rows = book.open()
        champion, previous = alias_pair(tracker, CHAMPION), alias_pair(tracker, PREVIOUS)
        if champion is None or previous is None:
            raise InputError("there is no former pair to go back to")
        if previous.marked:
            raise InputError(f"the former pair must not be used: {previous.marked}")
        older = _before(tracker, rows, previous)
        reason = why or "the former pair is wanted back"
        return book.move("rolled back", champion, champion, reason, (), (previous, older))


def history(workspace: Workspace, tracker: Tracker | None = None) -> list[dict[str, Any]]:
    """Every decision, oldest first, after the ledger was verified against itself and the registry.

    Raises:
        LedgerBroken: it was tampered with.
    """
    tracker = tracker or Tracker(workspace)
    ledger = Ledger(workspace.state("promotions"))
    with ledger.locked():
        return Book(tracker, ledger, "", "").open()


def hold(workspace: Workspace, *, actor: str = "", why: str = "", tracker: Tracker | None = None) -> str:
    """Stops every promotion until `release`; rolling back stays possible. Returns what was noted.

    Raises:
        InputError: no reason was given: whoever finds the hold must be able to judge it.
    """
    if not why.strip():
        raise InputError("say why: a hold without a reason cannot be judged by whoever finds it (--why)")
    return _stand(workspace, "held", actor, why, tracker)


def release(workspace: Workspace, *, actor: str = "", why: str = "", tracker: Tracker | None = None) -> str:
    """Takes the hold away.

    Raises:
        InputError: nothing is held.
    """
    return _stand(workspace, "released", actor, why, tracker)


def _stand(workspace: Workspace, action: str, actor: str, why: str, tracker: Tracker | None) -> str:
    tracker = tracker or Tracker(workspace)
    ledger = Ledger(workspace.state("promotions"))
    with exclusive(tracker, ledger):
        book = Book(tracker, ledger, actor, why)
        held = _held(book.open())
        if action == "released" and held is None:
            raise InputError("nothing is held")
        if action == "held" and held is not None:
            return f"held already since {held['time']} by {held['actor']}: {held['reason']}"
        book.note(action, why or "no reason given")
    return f"{action}: {why}" if why else action


def note_withdrawal(
    tracker: Tracker, ledger: Ledger, *, actor: str, why: str, reason: str, marked: list[str]
) -> None:
    """Notes in the ledger that models were marked; call it while holding the ledger's lock."""
    book = Book(tracker, ledger, actor, why)
    book.open()
    book.note("marked", f"{reason}: {', '.join(marked)}", marked=marked)


def _held(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The hold that stands, if one does."""
    last = next((row for row in reversed(rows) if row["action"] in ("held", "released")), None)
    return last if last and last["action"] == "held" else None


def _samples(tracker: Tracker, candidate: Pair, against: Pair | None) -> tuple[Any, Any]:
    if against is None or not candidate.frozen or candidate.frozen != against.frozen:
        return {}, {}
    return samples_of(tracker, candidate), samples_of(tracker, against)


def _champion_versions(tracker: Tracker) -> dict[str, str | None]:
    return {name: alias_version(tracker, name, CHAMPION) for name in MODELS}


def _rolled_back(rows: list[dict[str, Any]], identity: str) -> dict[str, Any] | None:
    """The entry that took this pair back, if that was the last move of it."""
    for row in reversed(rows):
        if (row["candidate"] or {}).get("id") == identity and row["action"] in ("promoted", "rolled back"):
            return row if row["action"] == "rolled back" else None
    return None


def _before(tracker: Tracker, rows: list[dict[str, Any]], pair: Pair) -> Pair | None:
    """The pair that was champion before `pair` was promoted."""
    for row in reversed(rows):
        if row["action"] == "promoted" and row["candidate"]["id"] == pair.id:
            versions = row["state"][PREVIOUS]
            return find_pair(tracker, versions) if versions else None
    return None
