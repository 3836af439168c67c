"""Moving the aliases of a pair by the policy, one at a time, with every decision in the ledger.

Order of a move: intention file, ledger entry, aliases, anchor in the registry, intention file removed. A move
that was interrupted is completed by the next one, so the two models never stay apart.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any, Literal

from components.core.errors import InputError
from components.core.files import read_json, write_bytes, write_json
from components.core.params import Params
from components.core.paths import Workspace
from components.tracking.ledger import Ledger, LedgerBroken
from components.tracking.policy import Figure, Policy, judge, read_policy
from components.tracking.registry import (
    AVATAR,
    CHALLENGER,
    CHAMPION,
    MODELS,
    PREVIOUS,
    Pair,
    alias_pair,
    alias_version,
    find_pair,
    newest_pair,
    set_alias,
)
from components.tracking.runs import Tracker
from components.tracking.store import told

Status = Literal["promoted", "unchanged", "refused", "waiting", "rolled back"]
ANCHOR_TAG = "ledger"
LEDGER_ARTIFACT = "promotion"


class Decision(Params):
    """What became of a promotion or rollback. versions: the candidate's (after a rollback the champion's)."""

    status: Status
    reason: str
    versions: dict[str, str]
    former: dict[str, str] | None = None
    figures: tuple[Figure, ...] = ()

    def told(self) -> str:
        """One line for people."""
        pair = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.status}: {pair}: {self.reason}"


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
    approve: a person's word: it lifts `require_approval` and a former rollback of this pair, never a gate or
    a comparison. The present champion again is a no-op. If another promotion won while this one waited for
    its turn, this one is refused: it was meant against a champion that is no longer there.

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
    with ledger.locked():
        book = _Book(tracker, ledger, actor, why)
        rows = book.open()
        if _champion_versions(tracker) != seen and not book.completed:
            return book.refuse(candidate, None, "another promotion won meanwhile; compare again")
        champion = alias_pair(tracker, CHAMPION)
        if champion is not None and champion.id == candidate.id:
            return Decision(status="unchanged", reason="already the champion", versions=candidate.versions)
        if candidate.marked:
            return book.refuse(candidate, champion, f"marked: {candidate.marked}")
        former = _rolled_back(rows, candidate.id)
        if former and not approve:
            reason = f"rolled back on {former['time']} by {former['actor']}; approve it to promote it again"
            return book.refuse(candidate, champion, reason)
        standing = None if champion is None else champion.metrics
        verdict = judge(rules, candidate.metrics, candidate.gates, standing)
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
    with ledger.locked():
        book = _Book(tracker, ledger, actor, why)
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
        return _Book(tracker, ledger, "", "").open()


def _champion_versions(tracker: Tracker) -> dict[str, str | None]:
    return {name: alias_version(tracker, name, CHAMPION) for name in MODELS}


def _rolled_back(rows: list[dict[str, Any]], identity: str) -> dict[str, Any] | None:
    """The entry that took this pair back, if that was the last move of it."""
    for row in reversed(rows):
        if row["candidate"]["id"] == identity and row["action"] in ("promoted", "rolled back"):
            return row if row["action"] == "rolled back" else None
    return None


def _before(tracker: Tracker, rows: list[dict[str, Any]], pair: Pair) -> Pair | None:
    """The pair that was champion before `pair` was promoted."""
    for row in reversed(rows):
        if row["action"] == "promoted" and row["candidate"]["id"] == pair.id:
            versions = row["state"][PREVIOUS]
            return find_pair(tracker, versions) if versions else None
    return None


def _name(pair: Pair | None) -> dict[str, Any] | None:
    return None if pair is None else {"id": pair.id, "versions": pair.versions, "digests": pair.digests}


class _Book:
    """The ledger together with the aliases it speaks of; used under the ledger's lock."""

    def __init__(self, tracker: Tracker, ledger: Ledger, actor: str, why: str) -> None:
        self.tracker = tracker
        self.ledger = ledger
        self.actor = actor or _user()
        self.why = why
        self.intention = ledger.folder / "moving.json"
        self.completed = False

    def open(self) -> list[dict[str, Any]]:
        """Brings the ledger back if this checkout has none, completes an interrupted move, verifies."""
        anchor = self._anchor()
        if anchor and not self.ledger.path.exists():
            self._restore(anchor)
        rows = self.ledger.verify(" ".join(anchor.split(" ")[:2]))
        if self.intention.exists():
            intended = read_json(self.intention)
            if rows and rows[-1].get("move") == intended["move"]:
                self._arrange(intended["state"])
                self._anchor_at(rows, intended["run_id"])
                self.completed = True
            self.intention.unlink()
        return rows

    def refuse(
        self, candidate: Pair, champion: Pair | None, reason: str, figures: tuple[Figure, ...] = ()
    ) -> Decision:
        """Notes the refusal (once, however often it is asked) and names the candidate challenger."""
        return self._note("refused", candidate, champion, reason, figures)

    def wait(
        self, candidate: Pair, champion: Pair | None, reason: str, figures: tuple[Figure, ...]
    ) -> Decision:
        """Notes that the candidate waits for a person and names it challenger."""
        return self._note("waiting", candidate, champion, reason, figures)

    def _note(
        self,
        status: Status,
        candidate: Pair,
        champion: Pair | None,
        reason: str,
        figures: tuple[Figure, ...],
    ) -> Decision:
        rows = self.ledger.entries()
        news = [status, _name(candidate), _name(champion), reason]
        if not rows or [rows[-1][field] for field in ("action", "candidate", "former", "reason")] != news:
            self._append(status, candidate, champion, reason, figures)
        set_alias(self.tracker, CHALLENGER, candidate.versions)
        return Decision(
            status=status,
            reason=reason,
            versions=candidate.versions,
            former=champion.versions if champion else None,
            figures=figures,
        )

    def move(
        self,
        status: Status,
        candidate: Pair,
        former: Pair | None,
        reason: str,
        figures: tuple[Figure, ...],
        now: tuple[Pair, Pair | None],
    ) -> Decision:
        """Moves the aliases of both models to `now` (champion, previous) and notes it."""
        champion, previous = now
        state = {CHAMPION: champion.versions, PREVIOUS: previous.versions if previous else None}
        move = len(self.ledger.entries())
        write_json(self.intention, {"move": move, "state": state, "run_id": candidate.run_id})
        self._append(status, candidate, former, reason, figures, state=state, move=move)
        self._arrange(state)
        self.intention.unlink()
        return Decision(
            status=status,
            reason=reason,
            versions=champion.versions,
            former=former.versions if former else None,
            figures=figures,
        )

    def _arrange(self, state: Mapping[str, Any]) -> None:
        set_alias(self.tracker, PREVIOUS, state[PREVIOUS])
        set_alias(self.tracker, CHAMPION, state[CHAMPION])
        challenger = {name: alias_version(self.tracker, name, CHALLENGER) for name in MODELS}
        if challenger == state[CHAMPION]:
            set_alias(self.tracker, CHALLENGER, None)

    def _append(
        self,
        action: Status,
        candidate: Pair,
        former: Pair | None,
        reason: str,
        figures: tuple[Figure, ...],
        **more: Any,
    ) -> None:
        self.ledger.append(
            action=action,
            actor=self.actor,
            why=self.why,
            reason=reason,
            candidate=_name(candidate),
            former=_name(former),
            figures=figures,
            git=candidate.git,
            lock=candidate.lock,
            data=candidate.data,
            **more,
        )
        self._anchor_at(self.ledger.entries(), candidate.run_id)

    def _anchor(self) -> str:
        with told():
            models = self.tracker.client.search_registered_models(f"name = '{AVATAR}'")
        return str(models[0].tags.get(ANCHOR_TAG, "")) if models else ""

    def _anchor_at(self, rows: list[dict[str, Any]], run_id: str) -> None:
        """Keeps a copy of the ledger with the run, and its head in the registry."""
        client = self.tracker.client
        with told():
            client.log_artifact(run_id, str(self.ledger.path), LEDGER_ARTIFACT)
            client.set_registered_model_tag(AVATAR, ANCHOR_TAG, f"{len(rows)} {rows[-1]['hash']} {run_id}")

    def _restore(self, anchor: str) -> None:
        """Fetches the copy that the registry knows of (a fresh checkout, a lost state folder)."""
        import mlflow
        from mlflow.exceptions import MlflowException

        run_id = anchor.split(" ")[2]
        uri = f"runs:/{run_id}/{LEDGER_ARTIFACT}/{self.ledger.path.name}"
        try:
            copy = mlflow.artifacts.load_text(uri)
        except (MlflowException, OSError) as error:
            raise LedgerBroken(f"{self.ledger.path} is gone and its copy {uri} cannot be read") from error
        write_bytes(self.ledger.path, copy.encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
