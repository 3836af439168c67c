"""The tombstone list: what must never be used again. A file in git, one JSON object a line, only appended to.

Curation reads it. Its digest stands in params.yaml (`curate.tombstones`), so that DVC sees a change, every
`dvc.lock` says which list it was made with, and an edited list is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from components.core.errors import InputError
from components.core.files import to_json, write_text
from components.core.paths import Workspace

FILE = "tombstones.jsonl"
Kind = Literal["clip", "identity", "source"]
_SECTION = re.compile(r"^curate:[^\n]*\n", re.M)
_LINE = re.compile(r"^  tombstones:[^\n]*\n", re.M)


@dataclass(frozen=True)
class Tombstone:
    """One withdrawal. clips: ids. files: first 16 hex digits of the SHA-256 of files that go as a whole.

    kind, value: as asked for. A source also covers what is added to it later; an identity covers the clips
    that were known to show the person (no picture or embedding of the person is kept to find more).
    """

    kind: Kind
    value: str
    clips: tuple[str, ...]
    files: tuple[str, ...]
    time: str
    actor: str
    why: str = ""


def path_of(workspace: Workspace) -> Path:
    """Where the list lies: beside params.yaml, in git."""
    return workspace.root / FILE


def read(workspace: Workspace) -> list[Tombstone]:
    """The list, oldest first; empty if there is none.

    Raises:
        InputError: a line is not a tombstone.
    """
    path = path_of(workspace)
    if not path.exists():
        return []
    stones = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row: dict[str, Any] = json.loads(line)
            row |= {"clips": tuple(row["clips"]), "files": tuple(row["files"])}
            stones.append(Tombstone(**row))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path} line {number}: not a tombstone ({error})") from error
    return stones


def digest(workspace: Workspace) -> str | None:
    """SHA-256 of the list; None if there is none."""
    path = path_of(workspace)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def declared(workspace: Workspace, expected: str | None) -> list[Tombstone]:
    """The list, if it is the one that params.yaml names.

    expected: `curate.tombstones` of params.yaml.

    Raises:
        InputError: the list is missing, or was changed without `syncdreamer forget`.
    """
    now = digest(workspace)
    if now != expected:
        raise InputError(
            f"{FILE} has the digest {now}, params.yaml curate.tombstones names {expected}: "
            "`syncdreamer forget` writes both; restore them from git together, or name the digest of a "
            "list that you checked"
        )
    return read(workspace)


def add(workspace: Workspace, stones: Iterable[Tombstone]) -> str:
    """Appends to the list and names it in params.yaml; returns the list's digest.

    Raises:
        InputError: params.yaml has no `curate:` section to name it in.
    """
    path = path_of(workspace)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = "".join(to_json(asdict(stone), None) + "\n" for stone in stones)
    params = workspace.root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    whole = hashlib.sha256((before + lines).encode()).hexdigest()
    text = _named(text, whole)
    write_text(path, before + lines)
    write_text(params, text)
    return whole


def _named(text: str, value: str) -> str:
    section = _SECTION.search(text)
    if section is None or "{" in section.group():
        raise InputError(
            "params.yaml has no `curate:` section with a line a key; `syncdreamer params --write` does"
        )
    line = f"  tombstones: {value}  # SHA-256 of {FILE}; `syncdreamer forget` writes it\n"
    end = re.compile(r"^\S", re.M).search(text, section.end())
    body = text[section.end() : end.start() if end else len(text)]
    rest = text[end.start() :] if end else ""
    body = _LINE.sub(line, body, count=1) if _LINE.search(body) else line + body
    return text[: section.end()] + body + rest


def covers_source(stones: Sequence[Tombstone], *names: str) -> bool:
    """Whether a withdrawn source is one of these names (source, recording, file) or above one of them."""
    gone = [stone.value.rstrip("/") for stone in stones if stone.kind == "source"]
    return any(name == value or name.startswith(value + "/") for value in gone for name in names)
