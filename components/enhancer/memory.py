"""Scores that were computed before, kept in SQLite: samples are scored again without a judge or a rule.

A score is keyed by content (what is judged, by which scorer) and by a scope: the digest of the code, the
parameters and the networks that made it. Nothing is ever out of date, it is only no longer found.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.enhancer.judges import Criteria, Judge

_CHUNK = 500
"""Keys a query; SQLite's oldest limit is 999 variables."""
_TABLE = "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Memory:
    """One file of scores; safe between threads and between processes (SQLite's write-ahead log)."""

    def __init__(self, path: Path, scope: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._scope = path, scope
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        self._file.execute(_TABLE)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._file.close()

    def key(self, kind: str, *content: str) -> bytes:
        """Of a kind of score about a content, in this scope."""
        return hashlib.sha256("\0".join((self._scope, kind, *content)).encode()).digest()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The kept values among `keys`."""
        found: dict[bytes, Any] = {}
        with self._lock:
            for begin in range(0, len(keys), _CHUNK):
                part = keys[begin : begin + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._file.execute(f"SELECT key, value FROM scores WHERE key IN ({marks})", part)
                found.update({key: json.loads(value) for key, value in rows})
        return found

    def keep(self, values: Mapping[bytes, Any]) -> None:
        """Keeps values (JSON: numbers, None, lists and dictionaries of them), all or none."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._lock, self._file:
            self._file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)

    def through(self, keys: Sequence[bytes], compute: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
        """A value a key: what is kept, and what `compute` makes of the places of those that are not (each
        distinct key once)."""
        found = self.find(list(dict.fromkeys(keys)))
        places = {key: place for place, key in reversed(list(enumerate(keys))) if key not in found}
        if places:
            ordered = sorted(places, key=lambda key: places[key])
            made = compute([places[key] for key in ordered])
            new = dict(zip(ordered, made, strict=True))
            self.keep(new)
            found.update(new)
        return [found[key] for key in keys]


class RememberedJudge:
    """A judge that computes (the embedded one) with a memory; large models keep their answers themselves."""

    def __init__(self, judge: Judge, memory: Memory) -> None:
        self._judge, self._memory = judge, memory
        self.name = judge.name

    def img(self, readings: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> list[Criteria]:
        """See `Judge.img`."""
        told = [json.dumps(reading, sort_keys=True) for reading in readings]
        keys = [self._memory.key("img", *pair) for pair in zip(told, prompts, strict=True)]
        return self._memory.through(
            keys, lambda rows: self._judge.img([readings[i] for i in rows], [prompts[i] for i in rows])
        )

    def inst(self, instructions: Sequence[str], prompts: Sequence[str]) -> list[float | None]:
        """See `Judge.inst`."""
        keys = [self._memory.key("inst", *pair) for pair in zip(instructions, prompts, strict=True)]
        return self._memory.through(
            keys, lambda rows: self._judge.inst([instructions[i] for i in rows], [prompts[i] for i in rows])
        )
