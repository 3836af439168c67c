"""A deployment's own parameters: params.yaml is changed while its run lasts and put back, byte for byte.

DVC decides by the content of params.yaml, so a run with other parameters needs another params.yaml. If the
run is killed, the next one (or `syncdreamer serve`) puts the file back first. A file that somebody edited
meanwhile is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import write_bytes
from components.core.paths import Workspace
from components.core.progress import say


@contextmanager
def changed_params(workspace: Workspace, changes: Mapping[str, Any]) -> Iterator[None]:
    """Inside, params.yaml holds `changes` (dotted key → value); used under the run lock.

    Raises:
        InputError: a key is not in params.yaml or its value is out of range; nothing was changed.
    """
    put_back(workspace)
    if not changes:
        yield
        return
    path = workspace.root / "params.yaml"
    before = path.read_bytes()
    text = with_changes(before, changes)
    folder = workspace.state("operations")
    write_bytes(folder / "params.before", before)
    write_bytes(folder / "params.during", text)
    write_bytes(path, text)
    try:
        yield
    finally:
        put_back(workspace)


def put_back(workspace: Workspace) -> None:
    """Ends the changes of a run, also of one that was killed; used under the run lock."""
    folder = workspace.state("operations")
    before, during = folder / "params.before", folder / "params.during"
    if not before.exists():
        return
    path = workspace.root / "params.yaml"
    now = path.read_bytes() if path.exists() else b""
    if during.exists() and now == during.read_bytes():
        write_bytes(path, before.read_bytes())
    elif now != before.read_bytes():
        say(
            f"params.yaml was edited during a run with parameters of its own and is left as it is; "
            f"what it held before is in {folder / 'params.edited'}"
        )
        before.replace(folder / "params.edited")
    before.unlink(missing_ok=True)
    during.unlink(missing_ok=True)


def with_changes(text: bytes, changes: Mapping[str, Any]) -> bytes:
    """params.yaml with `changes`, validated.

    Raises:
        InputError: as `changed_params`.
    """
    import tempfile

    import yaml

    from flows.params import load_params

    values = yaml.safe_load(text)
    for key, value in changes.items():
        *parts, last = key.split(".")
        section = values
        for part in parts:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise InputError(f"params.yaml has no parameter {key!r} that a deployment could change")
        if parts[:1] in ([], ["operations"]) and key != "seed":
            raise InputError(f"a deployment cannot change {key!r}, only parameters of stages, flow and seed")
        section[last] = value
    note = "# Changed by a deployment while its run lasts; put back afterwards. Do not commit.\n"
    changed = (note + yaml.safe_dump(values, allow_unicode=True, sort_keys=False)).encode()
    with tempfile.TemporaryDirectory(prefix="syncdreamer-params-") as folder:
        load_params(write_bytes(Path(folder) / "params.yaml", changed))
    return changed
