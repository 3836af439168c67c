"""Goes on with an unfinished training on another number of ranks, through DeepSpeed's universal checkpoint.

Which windows a step reads does not depend on the ranks, so the run continues with the same data; sums are
taken in another order, so the result agrees to about 1e-6 of the loss instead of to the bit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.core.errors import SyncDreamerError
from components.core.files import digest_file, read_json, write_text
from components.core.progress import say

CHECKPOINTS, HISTORY, JOB, DONE = "checkpoints", "history.jsonl", "job.json", "done.json"
WHOLE, LATEST, UNIVERSAL, AVERAGE = "whole", "latest", "universal", "average.safetensors"


def reshard(folder: Path) -> Path | None:
    """Gives the job in `folder`, which has no checkpoint, that of a job that differs in its ranks alone.

    Returns:
        The folder of the job that it goes on from (the furthest one), or None where there is none.

    Raises:
        SyncDreamerError: DeepSpeed cannot convert the checkpoint.
    """
    wanted = _apart_from_ranks(read_json(folder / JOB))
    found = [
        other
        for other in sorted(folder.parent.iterdir())
        if other != folder
        and (other / JOB).exists()
        and not (other / DONE).exists()
        and (other / CHECKPOINTS / WHOLE).exists()
        and _apart_from_ranks(read_json(other / JOB)) == wanted
    ]
    if not found:
        return None
    source = max(found, key=lambda other: (other / CHECKPOINTS / WHOLE).read_text())
    tag = (source / CHECKPOINTS / WHOLE).read_text().strip()
    old, target = source / CHECKPOINTS / tag, folder / CHECKPOINTS
    made = target / tag
    say(f"  {folder.parent.name}: going on from {source.name}, {tag}, on another number of ranks")
    if list(old.glob("*optim_states.pt")):
        _to_universal(old, made)
        write_text(made / UNIVERSAL, "load with load_universal\n")
    else:  # without ZeRO every rank holds everything: it fits any number of ranks as it is
        shutil.copytree(old, made, dirs_exist_ok=True)
    for path in [*old.glob(AVERAGE), *old.glob("totals-*.json")]:
        shutil.copy(path, made / path.name)
    shutil.copy(source / HISTORY, folder / HISTORY)
    write_text(target / LATEST, tag)
    write_text(target / WHOLE, tag)
    return source


def is_universal(checkpoints: Path) -> bool:
    """Whether the newest whole checkpoint is a universal one."""
    whole = checkpoints / WHOLE
    return whole.exists() and (checkpoints / whole.read_text().strip() / UNIVERSAL).exists()


def _apart_from_ranks(job: dict[str, Any]) -> dict[str, Any]:
    loop = {name: value for name, value in job["loop"].items() if name not in ("ranks", "reshard")}
    settings = {name: value for name, value in job["settings"].items() if name != "per_rank"}
    return job | {"loop": loop, "settings": settings}


def _to_universal(old: Path, made: Path) -> None:
    command = [
        sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", str(old),
        "--output_folder", str(made), "--num_extract_workers", "1", "--num_merge_workers", "1",
        "--inject_missing_state",
    ]  # fmt: skip
    made.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise SyncDreamerError(f"checkpoint {old} cannot be converted to the universal form: {last}")
    digest_file(made / "zero" / "optimizer_state.pt")  # raises if the conversion left nothing
