"""The promotion ledger: append-only JSON lines, each bound to the one before by its hash."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.errors import SyncDreamerError
from components.core.files import to_json, write_text

GENESIS = "0" * 64


class LedgerBroken(SyncDreamerError):
    """The ledger does not verify: a line was changed, removed or put in."""


def entry_hash(entry: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of an entry without its `hash`."""
    body = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(to_json(body, indent=None).encode()).hexdigest()


class Ledger:
    """state/promotions/ledger.jsonl.

    An entry: index, time (UTC), actor, action, why, …, previous (hash of the entry before), hash.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the ledger for one writer at a time (across processes; released when a process dies)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first. A last line without an end was never confirmed and is left out.

        Raises:
            LedgerBroken: a line is not a JSON object.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise LedgerBroken(f"{self.path} line {number}: not JSON") from error
            if not isinstance(row, dict):
                raise LedgerBroken(f"{self.path} line {number}: not an entry")
            rows.append(row)
        return rows

    def append(self, **what: Any) -> dict[str, Any]:
        """Adds an entry and waits until it is on disk; call it while holding `locked()`.

        Raises:
            LedgerBroken: what is there already does not verify.
        """
        rows = self.verify()
        entry = {
            **json.loads(to_json(what)),
            "index": len(rows),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "previous": rows[-1]["hash"] if rows else GENESIS,
        }
        entry["hash"] = entry_hash(entry)
        whole = self.path.read_bytes() if self.path.exists() else b""
        with self.path.open("ab") as file:
            file.truncate(whole.rfind(b"\n") + 1)
            file.write((to_json(entry, indent=None) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self._remember([*rows, entry])
        return entry

    @property
    def head(self) -> Path:
        """The end of the ledger as this checkout last wrote or took it: "<count> <hash>"."""
        return self.folder / "head"

    def _remember(self, rows: list[dict[str, Any]]) -> None:
        write_text(self.head, f"{len(rows)} {rows[-1]['hash'] if rows else GENESIS}")

    def ends_early(self, anchor: str) -> bool:
        """Whether the ledger is whole as far as this checkout knows, but others have gone on since.

        anchor: "<count> …" of the registry.
        """
        rows = self.verify()
        if len(rows) >= int(anchor.split(" ")[0]) or not self.head.exists():
            return False
        known = self.head.read_text(encoding="utf-8")
        return known == f"{len(rows)} {rows[-1]['hash'] if rows else GENESIS}"

    def adopt(self, text: str) -> None:
        """Takes a copy that goes on where this ledger ends.

        Raises:
            LedgerBroken: it is another history; nothing is changed.
        """
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if not text.startswith(before):
            raise LedgerBroken(f"{self.path} and the registry's copy tell different histories")
        write_text(self.path, text)
        self._remember(self.verify())

    def verify(self, anchor: str | None = None) -> list[dict[str, Any]]:
        """The entries, if each is unchanged and follows the one before.

        anchor: "<count> <hash>" kept elsewhere; the ledger must still hold that entry (a cut tail is found).

        Raises:
            LedgerBroken: it is not so; the message names the first wrong line.
        """
        rows = self.entries()
        before = GENESIS
        for number, row in enumerate(rows, 1):
            if row.get("hash") != entry_hash(row):
                raise LedgerBroken(f"{self.path} line {number}: its content was changed")
            if row.get("previous") != before or row.get("index") != number - 1:
                raise LedgerBroken(f"{self.path} line {number}: an entry before it was removed or put in")
            before = row["hash"]
        if anchor:
            count, head = anchor.split(" ")
            if len(rows) < int(count) or rows[int(count) - 1]["hash"] != head:
                raise LedgerBroken(f"{self.path}: entry {count}, known to the registry, is gone")
        return rows
