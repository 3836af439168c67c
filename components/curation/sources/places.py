"""Where the files of sources lie: below data/raw, or, of those that come from elsewhere, below state/sources.

A source's path `SCHEME://REST` comes from elsewhere; what was fetched or made of it lies in
state/sources/SCHEME/REST, and the inventory keeps naming it by its address.
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.paths import Workspace, inside

S3, SYNTHETIC = "s3", "synthetic"
SCHEMES = (S3, SYNTHETIC)
_MARK = "://"


def scheme(path: str) -> str | None:
    """The scheme of a source's path or an inventory's file that lies elsewhere; None below data/raw.

    Raises:
        InputError: a scheme that there is not.
    """
    name, mark, _ = path.partition(_MARK)
    if not mark:
        return None
    if name not in SCHEMES:
        raise InputError(f"source {path!r}: there are {', '.join(f'{one}{_MARK}…' for one in SCHEMES)}")
    return name


def local(workspace: Workspace, file: str) -> Path:
    """Where a file of the inventory lies on this machine.

    Raises:
        InputError: the path leaves its folder, or its scheme is unknown.
    """
    name = scheme(file)
    if name is None:
        return inside(workspace.raw, file)
    return inside(_elsewhere(workspace) / name, file.removeprefix(name + _MARK))


def named(workspace: Workspace, path: Path) -> str:
    """The inventory's name of a local file; the opposite of `local`."""
    elsewhere = _elsewhere(workspace).resolve()
    if path.is_relative_to(elsewhere):
        name, *rest = path.relative_to(elsewhere).parts
        return f"{name}{_MARK}{'/'.join(rest)}"
    return path.relative_to(workspace.raw.resolve()).as_posix()


def _elsewhere(workspace: Workspace) -> Path:
    return workspace.root / "state" / "sources"
