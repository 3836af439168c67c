"""Answers that were paid for, kept in SQLite, and the account of every call.

An answer is keyed by content hash, model and prompt version and is written before anyone sees it, so that an
interrupted run asks nothing twice. The account has a row a call, with the job on whose budget it went.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.perception.remote.questions import FINAL, Usage

_CHUNK = 500
"""Keys a query; SQLite's oldest limit is 999 variables."""
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, content TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    status TEXT NOT NULL, text TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost REAL NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_job ON calls (job);
"""


@dataclass(frozen=True)
class Kept:
    """An answer of the cache."""

    status: str
    text: str
    detail: str


@dataclass(frozen=True)
class Spent:
    """What a job has used so far."""

    calls: int
    prompt_tokens: int
    output_tokens: int
    cost: float


class Answers:
    """One file; safe between threads and between processes (SQLite's write-ahead log)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        self._file.executescript(_TABLES)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._file.close()

    def find(self, keys: Sequence[str]) -> dict[str, Kept]:
        """The kept answers among `keys`."""
        found: dict[str, Kept] = {}
        with self._lock:
            for begin in range(0, len(keys), _CHUNK):
                part = keys[begin : begin + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._file.execute(
                    f"SELECT key, status, text, detail FROM answers WHERE key IN ({marks})", part
                )
                found.update({key: Kept(status, text, detail) for key, status, text, detail in rows})
        return found

    def keep(self, key: str, content: str, model: str, version: str, answer: Kept) -> None:
        """Keeps a final answer; others are not kept."""
        if answer.status not in FINAL:
            return
        with self._lock, self._file:
            self._file.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, content, model, version, answer.status, answer.text, answer.detail),
            )

    def record(
        self, job: str, model: str, key: str, status: str, usage: Usage, cost: float, detail: str
    ) -> None:
        """A row of the account."""
        with self._lock, self._file:
            self._file.execute(
                "INSERT INTO calls (job, model, key, status, prompt_tokens, output_tokens, cost, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job, model, key, status, usage.prompt, usage.output, cost, detail),
            )

    def spent(self, job: str) -> Spent:
        """What `job` has used in all its runs."""
        with self._lock:
            row = self._file.execute(
                "SELECT COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(output_tokens), 0),"
                " COALESCE(SUM(cost), 0) FROM calls WHERE job = ?",
                (job,),
            ).fetchone()
        return Spent(int(row[0]), int(row[1]), int(row[2]), float(row[3]))

    def forget_quarantined(self) -> int:
        """Drops kept answers that are no answers, so that they are asked again; returns how many."""
        with self._lock, self._file:
            return self._file.execute("DELETE FROM answers WHERE status != 'answered'").rowcount
