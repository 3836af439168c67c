"""Where things lie in a workspace: raw data, stage artifacts, work in progress."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError


@dataclass(frozen=True)
class Workspace:
    """A checkout (or any folder of the same layout) that stages read from and write to."""

    root: Path

    @property
    def raw(self) -> Path:
        """The versioned input, `data/raw`; never changed."""
        return self.root / "data" / "raw"

    @property
    def truth(self) -> Path:
        """Truth of the demo corpus: for tests and evaluation, no stage reads it."""
        return self.raw / "truth"

    def artifacts(self, *parts: str) -> Path:
        """A stage's output folder; DVC owns it and clears it before the stage runs."""
        return self.root.joinpath("artifacts", *parts)

    def state(self, *parts: str) -> Path:
        """Work in progress that survives an interruption; created when asked for, never versioned."""
        path = self.root.joinpath("state", *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


def find_workspace(start: Path | None = None) -> Workspace:
    """The nearest folder upwards that holds dvc.yaml and params.yaml (or $SYNCDREAMER_ROOT).

    Raises:
        InputError: there is none.
    """
    root = os.environ.get("SYNCDREAMER_ROOT")
    begin = Path(root) if root else (start or Path.cwd())
    for folder in [begin.resolve(), *begin.resolve().parents]:
        if (folder / "dvc.yaml").exists():
            return Workspace(folder)
    raise InputError(f"no dvc.yaml in {begin} or above: run this inside a SyncDreamer checkout")


def inside(root: Path, relative: str) -> Path:
    """Joins a path that came from data to `root`.

    Raises:
        InputError: the path leaves `root` (absolute, `..`, or a link that points outside).
    """
    base = root.resolve()
    path = (base / relative).resolve()
    if not path.is_relative_to(base):
        raise InputError(f"path {relative!r} leaves its folder {root}; only files inside it are read")
    return path


def require(path: Path, made_by: str) -> Path:
    """Returns `path` if it exists.

    Raises:
        InputError: it does not; the message names the command that makes it.
    """
    if not path.exists():
        raise InputError(f"{path} is missing; `{made_by}` makes it")
    return path
