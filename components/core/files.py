"""Files whose bytes depend on content alone, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes beside the target and renames: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_bytes(data)
    partial.replace(path)
    return path


def write_text(path: Path, text: str) -> Path:
    """Writes UTF-8 text atomically."""
    return write_bytes(path, text.encode())


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON with sorted keys; NumPy scalars and arrays become plain numbers and lists."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def write_json(path: Path, value: Any) -> Path:
    """Writes sorted, indented JSON atomically."""
    return write_text(path, to_json(value) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        InputError: the file is missing or is not JSON; the message says which and where.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from error


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Appends one JSON object as a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(to_json(row, indent=None) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines; an incomplete last line (an interrupted write) is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def write_parquet(path: Path, table: pd.DataFrame) -> Path:
    """Writes a table without index, atomically; the same rows give the same bytes."""
    import io

    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, engine="pyarrow", compression="zstd")
    return write_bytes(path, buffer.getvalue())


def read_parquet(path: Path) -> pd.DataFrame:
    """Reads a table.

    Raises:
        InputError: the file is missing.
    """
    import pandas as pd

    if not path.exists():
        raise InputError(f"table {path} is missing")
    return pd.read_parquet(path)


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_tree(folder: Path) -> str:
    """SHA-256 over the relative names and contents of all files below `folder`, hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(bytes.fromhex(digest_file(path)))
    return total.hexdigest()


def digest_sources(*places: Path) -> str:
    """SHA-256 over the Python files in `places` (folders, or files), hexadecimal: half-done work that is
    keyed by it is not taken up by other code.

    Raises:
        InputError: a place is missing.
    """
    total = hashlib.sha256()
    for place in places:
        if not place.exists():
            raise InputError(f"source {place} is missing; was it renamed?")
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            total.update(f"{path.parent.name}/{path.name} {digest_file(path)}\n".encode())
    return total.hexdigest()
