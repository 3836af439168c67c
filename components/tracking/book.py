"""The ledger together with the aliases it speaks of.

Order of a move: intention file, ledger entry, aliases, anchor in the registry, intention file removed. A move
that was interrupted is completed by the next one, so the two models never stay apart.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any, Literal

from components.core.files import read_json, write_json
from components.core.params import Params
from components.tracking.ledger import Ledger, LedgerBroken
from components.tracking.policy import Figure
from components.tracking.registry import (
    AVATAR,
    CHALLENGER,
    CHAMPION,
    MODELS,
    PREVIOUS,
    Pair,
    alias_version,
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


class Book:
    """The ledger together with the aliases it speaks of; used under the ledger's lock."""

    def __init__(self, tracker: Tracker, ledger: Ledger, actor: str, why: str) -> None:
        self.tracker = tracker
        self.ledger = ledger
        self.actor = actor or user()
        self.why = why
        self.intention = ledger.folder / "moving.json"
        self.completed = False

    def open(self) -> list[dict[str, Any]]:
        """Brings the ledger up to the registry's, completes an interrupted move, verifies.

        A checkout without a ledger, or whose ledger ends where another checkout went on, takes the registry's
        copy. One that ends earlier than this checkout remembers (`head`) was cut, and is an error.
        """
        anchor = self._anchor()
        if anchor and (not self.ledger.path.exists() or self.ledger.ends_early(anchor)):
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

    def note(self, action: str, reason: str, **more: Any) -> None:
        """Notes something that moves no alias (a hold, its release, a mark)."""
        self.ledger.append(
            action=action, actor=self.actor, why=self.why, reason=reason, candidate=None, former=None, **more
        )
        anchor = self._anchor().split(" ")
        run_id = anchor[2] if len(anchor) > 2 else _any_run(self.tracker)
        if run_id:
            self._anchor_at(self.ledger.entries(), run_id)

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
        self.ledger.adopt(copy)


def _name(pair: Pair | None) -> dict[str, Any] | None:
    return None if pair is None else {"id": pair.id, "versions": pair.versions, "digests": pair.digests}


def _any_run(tracker: Tracker) -> str:
    """A run to keep the ledger's copy with before anything was promoted; "" without a registered pair."""
    newest = newest_pair(tracker)
    return newest.run_id if newest else ""


def user() -> str:
    """Who is at work, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
