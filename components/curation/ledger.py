"""The ledger: every score of every clip, keyed by content, so that nothing finished is done again.

A row's key is the file's SHA-256, the time span, and the fingerprint of everything that its scores depend on
(models, step versions, measuring parameters). Thresholds are not part of it: they are a query. SQLite in
write-ahead mode: an interruption at any moment leaves whole rows only.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from components.core.files import to_json
from components.curation.scores import SCORES, tidy

if TYPE_CHECKING:
    import pandas as pd

TRIES = 3
"""So often a file is taken up that ran out of time or failed in a way that may pass."""
PRINTS = ("picture", "sound", "embedding")


def fingerprint(parts: dict[str, Any]) -> str:
    """A name (16 hex digits) for everything that scores depend on."""
    return hashlib.sha256(to_json(parts, indent=None).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Segment:
    """A measured segment: its scores, its fingerprints and its identity embedding (float32), as bytes."""

    scores: dict[str, Any]
    picture: bytes = b""
    sound: bytes = b""
    embedding: bytes = b""


class Ledger:
    """One SQLite file; one process writes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        columns = "".join(f", {name} {kind}" for name, kind in SCORES.items())
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS files (key TEXT, fingerprint TEXT, sha256 TEXT, segments INTEGER, "
            "PRIMARY KEY (fingerprint, key)) WITHOUT ROWID"
        )
        self._base.execute(
            f"CREATE TABLE IF NOT EXISTS clips (key TEXT, fingerprint TEXT, segment INTEGER{columns}, "
            "picture BLOB, sound BLOB, embedding BLOB, PRIMARY KEY (fingerprint, key, segment)) WITHOUT ROWID"
        )
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS failures (key TEXT, fingerprint TEXT, sha256 TEXT, why TEXT, "
            "tries INTEGER, PRIMARY KEY (fingerprint, key)) WITHOUT ROWID"
        )
        there = {row[1] for row in self._base.execute("PRAGMA table_info(clips)")}
        for name, kind in SCORES.items():
            if name not in there:  # a ledger of an older version
                self._base.execute(f"ALTER TABLE clips ADD COLUMN {name} {kind}")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def finished(self, fingerprint: str) -> set[str]:
        """Keys of the files that are measured."""
        with closing(
            self._base.execute("SELECT key FROM files WHERE fingerprint = ?", (fingerprint,))
        ) as rows:
            return {key for (key,) in rows}

    def add(self, fingerprint: str, key: str, sha256: str, segments: Sequence[Segment]) -> None:
        """Records a file's segments, all or none, replacing what was there."""
        names = ("key", "fingerprint", "segment", *SCORES, *PRINTS)
        marks = ", ".join("?" * len(names))
        rows = [
            (key, fingerprint, number, *tidy(each.scores).values(), each.picture, each.sound, each.embedding)
            for number, each in enumerate(segments)
        ]
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.execute("DELETE FROM clips WHERE fingerprint = ? AND key = ?", (fingerprint, key))
            self._base.executemany(f"INSERT INTO clips ({', '.join(names)}) VALUES ({marks})", rows)
            self._base.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (key, fingerprint, sha256, len(segments))
            )
            self._base.execute("COMMIT")
        except sqlite3.Error:
            self._base.execute("ROLLBACK")
            raise

    def failed(self, fingerprint: str, key: str, sha256: str, why: str) -> None:
        """Records that a file yielded nothing this time."""
        self._base.execute(
            "INSERT INTO failures VALUES (?, ?, ?, ?, 1) ON CONFLICT (fingerprint, key) "
            "DO UPDATE SET why = excluded.why, tries = tries + 1",
            (key, fingerprint, sha256, why),
        )

    def given_up(self, fingerprint: str) -> dict[str, str]:
        """Why, by key, of the files that yielded nothing `TRIES` times."""
        query = "SELECT key, why FROM failures WHERE fingerprint = ? AND tries >= ?"
        with closing(self._base.execute(query, (fingerprint, TRIES))) as rows:
            return dict(rows.fetchall())

    def read(self, fingerprint: str, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """All scores and fingerprints, sorted by key and segment; only `keys` if given."""
        import pandas as pd

        names = ", ".join(("key", "fingerprint", "segment", *SCORES, *PRINTS))
        query = f"SELECT {names} FROM clips WHERE fingerprint = ? ORDER BY key, segment"
        table = pd.read_sql_query(query, self._base, params=(fingerprint,))
        return table if keys is None else table[table["key"].isin(set(keys))].reset_index(drop=True)
