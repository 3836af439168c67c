"""Who saw what: an index from clips to models and back, quick enough to ask at any size.

A model's clips are a set named by its content; a clip is a number, a set is a bitmap in chunks of 8,192 bits.
All sets' chunks of one place lie side by side, so "which models saw this clip" reads one row a set, and
"which clips did this model see" reads one row a chunk. 1,000 models with sets of their own over 650,000
clips are some 90 MB. The index is a copy: facts and sets travel as artifacts of each model's run, and
`components.tracking.trace.synchronise` rebuilds it from them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from components.core.errors import InputError
from components.core.files import to_json
from components.core.paths import Workspace

CHUNK = 8192
"""Bits a chunk: 1 KiB before compression."""
LEARNT, VALIDATED, EVALUATED = "train", "validation", "evaluation"
ROLES = (LEARNT, VALIDATED, EVALUATED)
"""What a model did with a clip. Weights depend on the first, their choice may depend on the second."""
TAUGHT = (LEARNT, VALIDATED)
"""The roles for which a withdrawn clip marks a model."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (number INTEGER PRIMARY KEY, clip_id TEXT UNIQUE NOT NULL, file TEXT,
    source TEXT, source_video TEXT);
CREATE TABLE IF NOT EXISTS people (identity TEXT, number INTEGER, PRIMARY KEY (identity, number))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS people_of ON people (number);
CREATE INDEX IF NOT EXISTS clips_source ON clips (source, number);
CREATE INDEX IF NOT EXISTS clips_video ON clips (source_video, number);
CREATE INDEX IF NOT EXISTS clips_file ON clips (file, number);
CREATE TABLE IF NOT EXISTS sets (id INTEGER PRIMARY KEY, digest TEXT UNIQUE NOT NULL, count INTEGER);
CREATE TABLE IF NOT EXISTS chunks (chunk INTEGER, set_id INTEGER, bits BLOB, PRIMARY KEY (chunk, set_id))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_of ON chunks (set_id, chunk);
CREATE TABLE IF NOT EXISTS models (name TEXT, version INTEGER, digest TEXT, facts TEXT,
    marked TEXT NOT NULL DEFAULT '', PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (name TEXT, version INTEGER, role TEXT, set_id INTEGER,
    PRIMARY KEY (name, version, role, set_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uses_of ON uses (set_id);
"""


@dataclass(frozen=True)
class Clip:
    """A clip as a model saw it; the paths are relative to data/raw."""

    clip_id: str
    identity: str = ""
    file: str = ""
    source: str = ""
    source_video: str = ""


@dataclass(frozen=True)
class Sighting:
    """A model that saw a clip, and how."""

    name: str
    version: str
    roles: tuple[str, ...]
    marked: str = ""

    @property
    def learnt(self) -> bool:
        """Whether its weights, or their choice, depend on the clip."""
        return any(role in TAUGHT for role in self.roles)


def set_digest(clip_ids: Iterable[str]) -> str:
    """Names a set of clips by its members (SHA-256, hexadecimal)."""
    return hashlib.sha256("\n".join(sorted(clip_ids)).encode()).hexdigest()


class Index:
    """state/lineage/index.sqlite. Every change is a transaction; several processes may write in turn."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._base = sqlite3.connect(path, timeout=60, isolation_level=None)
        # A chunk must fit beside others in a page: at 4 KiB each would take a page of its own.
        self._base.execute("PRAGMA page_size=16384")
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.executescript(_SCHEMA)

    @classmethod
    def of(cls, workspace: Workspace) -> Index:
        """The workspace's index, made if it is not there."""
        return cls(workspace.state("lineage") / "index.sqlite")

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    # -- writing ------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        version: str,
        digest: str,
        facts: Mapping[str, Any],
        clips: Mapping[str, Sequence[Clip]],
        marked: str = "",
    ) -> None:
        """Notes a model version. Sets that it had before stay: what was seen once stays seen.

        facts: what `lineage MODEL` shows. clips: role → the clips.
        """
        with self._writing():
            self._base.execute(
                "INSERT INTO models VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, version) DO UPDATE SET "
                "digest = excluded.digest, facts = excluded.facts, "
                "marked = CASE excluded.marked WHEN '' THEN marked ELSE excluded.marked END",
                (name, int(version), digest, to_json(facts, None), marked),
            )
            for role, members in clips.items():
                if members:
                    row = (name, int(version), role, self._set(members))
                    self._base.execute("INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?)", row)

    def _set(self, clips: Sequence[Clip]) -> int:
        digest = set_digest(clip.clip_id for clip in clips)
        found = self._base.execute("SELECT id FROM sets WHERE digest = ?", (digest,)).fetchone()
        numbers = self._numbers(clips)
        if found:
            return int(found[0])
        cursor = self._base.execute("INSERT INTO sets (digest, count) VALUES (?, ?)", (digest, len(numbers)))
        chunks: dict[int, bytearray] = {}
        for number in numbers:
            bits = chunks.setdefault(number // CHUNK, bytearray(CHUNK // 8))
            bits[number % CHUNK // 8] |= 1 << number % 8
        self._base.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?)",
            ((chunk, cursor.lastrowid, zlib.compress(bytes(bits), 1)) for chunk, bits in chunks.items()),
        )
        return int(cursor.lastrowid or 0)

    def _numbers(self, clips: Sequence[Clip]) -> list[int]:
        """The clips' numbers; unknown ones get the next. A person's name may change between revisions."""
        self._base.execute("CREATE TEMP TABLE IF NOT EXISTS given (clip_id TEXT, identity TEXT, file TEXT, "
                           "source TEXT, source_video TEXT)")  # fmt: skip
        self._base.execute("DELETE FROM given")
        self._base.executemany(
            "INSERT INTO given VALUES (?, ?, ?, ?, ?)",
            ((c.clip_id, c.identity, c.file, c.source, c.source_video) for c in clips),
        )
        self._base.execute(
            "INSERT OR IGNORE INTO clips (clip_id, file, source, source_video) "
            "SELECT clip_id, file, source, source_video FROM given ORDER BY clip_id"
        )
        self._base.execute(
            "INSERT OR IGNORE INTO people SELECT given.identity, clips.number FROM given "
            "JOIN clips USING (clip_id) WHERE given.identity <> ''"
        )
        rows = self._base.execute("SELECT DISTINCT number FROM given JOIN clips USING (clip_id)")
        return [int(number) for (number,) in rows]

    def mark(self, name: str, version: str, why: str) -> None:
        """Marks a model ("" takes the mark away)."""
        row = (why, name, int(version))
        self._base.execute("UPDATE models SET marked = ? WHERE name = ? AND version = ?", row)

    # -- asking -------------------------------------------------------------------------------------------

    def count(self) -> dict[str, int]:
        """Models, clips and sets in the index."""
        tables = ("models", "clips", "sets")
        return {t: int(self._base.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) for t in tables}

    def known(self) -> set[tuple[str, str]]:
        """(name, version) of every model in the index."""
        return {(n, str(v)) for n, v in self._base.execute("SELECT name, version FROM models")}

    def model(self, name: str, version: str = "") -> dict[str, Any]:
        """A version's facts (the newest version if none is given), with `marked` and the clips' counts.

        Raises:
            InputError: the index has no such model.
        """
        where, values = ("", ()) if not version else (" AND version = ?", (int(version),))
        row = self._base.execute(
            f"SELECT version, facts, marked FROM models WHERE name = ?{where} ORDER BY version DESC LIMIT 1",
            (name, *values),
        ).fetchone()
        if row is None:
            wanted = f"{name} {version}".strip()
            raise InputError(
                f"lineage knows no model {wanted}; `syncdreamer lineage --sync` reads the registry"
            )
        uses = self._base.execute(
            "SELECT role, digest, count FROM uses JOIN sets ON sets.id = set_id "
            "WHERE name = ? AND version = ? ORDER BY role",
            (name, row[0]),
        )
        clips = [{"role": role, "set": digest, "clips": count} for role, digest, count in uses]
        facts = json.loads(row[1]) | {"name": name, "version": str(row[0]), "marked": row[2]}
        return facts | {"clips": clips}

    def clips(self, name: str, version: str, role: str = "") -> list[Clip]:
        """The clips that a version saw, by clip id; only those of a role if one is given."""
        where = " AND role = ?" if role else ""
        values = (name, int(version), role) if role else (name, int(version))
        chunks: dict[int, int] = {}
        query = (
            f"SELECT chunk, bits FROM uses JOIN chunks USING (set_id) WHERE name = ? AND version = ?{where}"
        )
        for chunk, bits in self._base.execute(query, values):
            chunks[chunk] = chunks.get(chunk, 0) | int.from_bytes(zlib.decompress(bits), "little")
        numbers = [chunk * CHUNK + bit for chunk, whole in sorted(chunks.items()) for bit in _bits(whole)]
        return sorted(self._described(numbers), key=lambda clip: clip.clip_id)

    def find(self, *, clip: str = "", identity: str = "", source: str = "") -> list[Clip]:
        """Clips by id (or the beginning of one), by person, or by source, recording or file.

        A source also names everything below it (`s3://bucket/folder`, `hdtf/someone`).
        """
        if clip:
            rows = self._base.execute(
                "SELECT number FROM clips WHERE clip_id >= ? AND clip_id < ?", (clip, clip + "\U0010ffff")
            )
        elif identity:
            rows = self._base.execute("SELECT number FROM people WHERE identity = ?", (identity,))
        else:
            below = source.rstrip("/") + "/"
            names = ("source", "source_video", "file")
            query = " UNION ".join(
                f"SELECT number FROM clips WHERE {c} = :s OR ({c} >= :b AND {c} < :e)" for c in names
            )
            # "0" follows "/" in ASCII: the end of everything that begins with `below`.
            rows = self._base.execute(query, {"s": source, "b": below, "e": below[:-1] + "0"})
        return sorted(self._described([n for (n,) in rows]), key=lambda found: found.clip_id)

    def _described(self, numbers: Sequence[int]) -> list[Clip]:
        found = []
        for begin in range(0, len(numbers), 10_000):
            part = numbers[begin : begin + 10_000]
            marks = ",".join("?" * len(part))
            rows = self._base.execute(
                "SELECT clip_id, (SELECT max(identity) FROM people WHERE people.number = clips.number), "
                f"file, source, source_video FROM clips WHERE number IN ({marks})",
                part,
            )
            found += [Clip(*(value or "" for value in row)) for row in rows]
        return found

    def sightings(self, clip_ids: Iterable[str]) -> list[Sighting]:
        """Every model that saw any of these clips, by name and version."""
        wanted: dict[int, int] = {}
        for clip_id in clip_ids:
            row = self._base.execute("SELECT number FROM clips WHERE clip_id = ?", (clip_id,)).fetchone()
            if row:
                number = int(row[0])
                wanted[number // CHUNK] = wanted.get(number // CHUNK, 0) | 1 << number % CHUNK
        sets: set[int] = set()
        for chunk, mask in wanted.items():
            for set_id, bits in self._base.execute(
                "SELECT set_id, bits FROM chunks WHERE chunk = ?", (chunk,)
            ):
                if set_id not in sets and int.from_bytes(zlib.decompress(bits), "little") & mask:
                    sets.add(set_id)
        found: dict[tuple[str, int, str], set[str]] = {}
        for set_id in sets:
            rows = self._base.execute(
                "SELECT name, version, role, marked FROM uses JOIN models USING (name, version) "
                "WHERE set_id = ?",
                (set_id,),
            )
            for name, version, role, marked in rows:
                found.setdefault((name, version, marked), set()).add(role)
        return [
            Sighting(name, str(version), tuple(role for role in ROLES if role in roles), marked)
            for (name, version, marked), roles in sorted(found.items())
        ]


_PLACES = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


def _bits(whole: int) -> Iterator[int]:
    for place, byte in enumerate(whole.to_bytes(CHUNK // 8, "little")):
        for bit in _PLACES[byte]:
            yield place * 8 + bit
