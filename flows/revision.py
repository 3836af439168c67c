"""data/raw and data.dvc kept in step: who changed since the last run decides which follows which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_json, write_json
from components.core.paths import Workspace
from components.core.progress import say

if TYPE_CHECKING:
    from dvc.repo import Repo


def settle(repo: Repo, workspace: Workspace) -> str:
    """Brings data/raw and data.dvc together and returns the revision (DVC's digest); "" without data.dvc.

    * data.dvc names another revision than at the last run, the files are the last run's: the files of the new
      revision are fetched.
    * The files changed, data.dvc did not: data.dvc records them (as `dvc repro` does).

    Raises:
        InputError: both changed, or the named revision cannot be fetched.
    """
    from dvc.exceptions import DvcException

    pointer = workspace.root / "data.dvc"
    if not pointer.exists():
        return ""
    memory = workspace.state("operations") / "revision.json"
    stage: Any = repo.stage.load_file(str(pointer))[0]
    out = stage.outs[0]
    named = str(out.hash_info.value)
    before = str(read_json(memory)["revision"]) if memory.exists() else named
    if out.changed_checksum() or not out.exists:
        present = str(out.get_hash().value) if out.exists else ""
        try:
            if present in ("", before) and named != before:
                say(f"data.dvc names another revision, {named[:12]}: fetching it")
                _check_out(repo, out, str(pointer))
            elif named == before:
                repo.commit(target=str(pointer), force=True)
                named = str(repo.stage.load_file(str(pointer))[0].outs[0].hash_info.value)
                say(f"data/raw has changed: data.dvc records revision {named[:12]}")
            else:
                raise InputError(
                    "data/raw and data.dvc have both changed since the last run: `dvc commit data.dvc` keeps "
                    "the files, `dvc checkout --force data.dvc` the revision it names"
                )
        except DvcException as error:
            raise InputError(
                f"data revision {named[:12]} could not be fetched or recorded: {error}"
            ) from error
    if not memory.exists() or read_json(memory)["revision"] != named:
        write_json(memory, {"revision": named})
    return named


def _check_out(repo: Repo, out: Any, pointer: str) -> None:
    """Fetches what is not in the cache; changes the files only when all of it is there: a checkout of half a
    revision would take away what is here.

    Raises:
        InputError: a part is neither in the cache nor in the remote.
        DvcException: a remote is away.
    """
    if out.changed_cache():
        repo.fetch(targets=[pointer])
        if out.changed_cache():
            raise InputError(
                f"data revision {out.hash_info.value} is neither in the cache nor in a remote that is set up "
                "here; data/raw is left as it is"
            )
    repo.checkout(targets=[pointer], force=True)
