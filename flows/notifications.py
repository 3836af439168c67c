"""What happened, told to whom it concerns: at least once, also when the receiver was away.

An event is written to state/operations/events.jsonl and, for each channel that wants it, to the outbox; it
leaves the outbox when the channel took it. What could not be delivered is tried again by the next event and
by `syncdreamer serve`. A notification never fails a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.errors import GateRefused, SyncDreamerError
from components.core.files import append_jsonl, read_json, read_jsonl, write_json
from components.core.paths import Workspace
from components.core.progress import say
from flows.chain import Interrupted
from flows.operations import Channel, Happening

GIVE_UP_S = 7 * 24 * 3600.0
LEDGER_EVENTS: dict[str, Happening] = {
    "promoted": "promotion",
    "rolled back": "rollback",
    "waiting": "waiting",
}


class Notifier:
    """Tells events of one workspace to `channels`.

    Each event is a JSON object: id, time (UTC), kind, subject (one line), message, source (who ran it), and
    the happening's own facts.
    """

    def __init__(self, workspace: Workspace, channels: tuple[Channel, ...] = (), source: str = "") -> None:
        self.workspace = workspace
        self.channels = {channel.label: channel for channel in channels}
        self.source = source
        self.began = datetime.now(UTC).replace(microsecond=0)
        self._folder = workspace.state("operations")

    def tell(self, kind: Happening, subject: str, message: str = "", **facts: Any) -> dict[str, Any]:
        """Notes an event and tries to deliver it, and whatever is still undelivered."""
        event = {
            "id": uuid.uuid4().hex,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "kind": kind,
            "subject": subject,
            "message": message,
            "source": self.source,
            "repository": self.workspace.root.name,
            **facts,
        }
        with self._locked():
            append_jsonl(self._folder / "events.jsonl", event)
        wanted = [label for label, channel in self.channels.items() if kind in channel.events]
        if wanted:
            write_json(
                self._outbox() / f"{time.time_ns()}-{event['id']}.json", {"event": event, "to": wanted}
            )
        self.deliver()
        return event

    def deliver(self) -> int:
        """Delivers what is in the outbox; returns how many deliveries are still open."""
        from flows.channels import Undelivered, send

        left = 0
        away: set[str] = set()  # one that did not answer is not waited for again in this pass
        with self._locked():
            for path in sorted(self._outbox().glob("*.json")):
                letter = read_json(path)
                event = letter["event"]
                open_ = []
                for label in letter["to"]:
                    channel = self.channels.get(label)
                    if channel is None:
                        say(f"notification {event['kind']}: channel {label!r} is not in params.yaml any more")
                        continue
                    if label in away:
                        open_.append(label)
                        continue
                    try:
                        send(channel, event)
                    except Undelivered as error:
                        say(f"notification {event['kind']} to {label}: not delivered yet: {error}")
                        open_.append(label)
                        away.add(label)
                age = (datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds()
                if open_ and age > GIVE_UP_S:
                    say(f"notification {event['kind']} ({event['subject']}) is given up after a week")
                    open_ = []
                if not open_:
                    path.unlink()
                elif open_ != letter["to"]:
                    write_json(path, {"event": event, "to": open_})
                left += len(open_)
        return left

    def announce_ledger(self) -> int:
        """Tells promotions, rollbacks and pairs that wait for approval, each once; returns how many.

        Read from the promotion ledger, so a promotion by hand is told too. The first time, only what was
        entered since this notifier was made is news.
        """
        ledger = self.workspace.root / "state" / "promotions" / "ledger.jsonl"
        cursor = self._folder / "ledger_told.json"
        rows = read_jsonl(ledger) if ledger.exists() else []
        with self._locked():
            if cursor.exists():
                news = rows[int(read_json(cursor)["entries"]) :]
            else:
                news = [row for row in rows if datetime.fromisoformat(row["time"]) >= self.began]
            write_json(cursor, {"entries": len(rows)})
        told = 0
        for row in news:
            kind = LEDGER_EVENTS.get(row["action"])
            if kind is None:
                continue
            pair = ", ".join(f"{name} {version}" for name, version in row["candidate"]["versions"].items())
            self.tell(
                kind,
                f"{row['action']}: {pair}",
                str(row["reason"]),
                actor=row["actor"],
                versions=row["candidate"]["versions"],
                entry=row["index"],
            )
            told += 1
        return told

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around a run: tells its failure or its blocked gate, and what it did to the registry."""
        try:
            yield
        except Interrupted:
            raise
        except GateRefused as error:
            first, *rest = str(error).splitlines()
            self.tell("gate", first, "\n".join(rest), gate=first.split(":")[0])
            raise
        except SyncDreamerError as error:
            first, *rest = str(error).splitlines()
            self.tell("failure", first, "\n".join(rest), status=error.exit_code)
            raise
        finally:
            self.announce_ledger()

    def _outbox(self) -> Path:
        return self.workspace.state("operations", "outbox")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "notifications.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def notifier_for(workspace: Workspace, source: str) -> Notifier:
    """A notifier with the channels of params.yaml; with none where params.yaml cannot be read."""
    from flows.params import load_operations

    channels: tuple[Channel, ...] = ()
    with contextlib.suppress(SyncDreamerError):
        channels = load_operations(workspace.root / "params.yaml").notifications
    return Notifier(workspace, channels, source)


def as_text(event: dict[str, Any]) -> str:
    """An event for people: subject, message, and the facts that are left."""
    shown = ("subject", "message", "id")
    facts = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in event.items()
        if name not in shown and value not in ("", None)
    ]
    return "\n".join([event["subject"], *([event["message"]] if event["message"] else []), "", *facts])
