"""One variant with one seed, in a process of its own: trains it and lets it speak the cases.

Started by `lanes.py`; what it is to do lies in a JSON file. It ends with whoever started it, however that
ends, and takes its own trainings with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from components.core.errors import SyncDreamerError
from components.core.files import read_json
from components.core.paths import Workspace
from components.evaluation.ablations.variants import Training, train
from components.evaluation.comparison.systems import Generator, generate
from components.evaluation.suites.case import Case

WATCH_S = 0.5


def task(job: Training, speeches: dict[str, list[Case]]) -> dict[str, Any]:
    """What a worker is told, as plain JSON. speeches: system → its cases."""
    return {
        "variant": job.variant,
        "seed": job.seed,
        "stage1": job.stage1.model_dump(mode="json"),
        "stage2": job.stage2.model_dump(mode="json"),
        "speeches": {
            name: [each.facts() | {"folder": str(each.folder)} for each in cases]
            for name, cases in speeches.items()
        },
    }


def run(told: dict[str, Any], workspace: Workspace) -> None:
    """Trains (or finds it done) and generates what is not there yet.

    Raises:
        InputError: an upstream artifact is missing.
        SyncDreamerError: the training failed.
    """
    from components.avatar.params import TrainStage1Params, TrainStage2Params

    job = Training(
        told["variant"], told["seed"], TrainStage1Params.model_validate(told["stage1"]),
        TrainStage2Params.model_validate(told["stage2"]),
    )  # fmt: skip
    # Ranks have sessions of their own: only torchrun can end them, so it must be outlived.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    pipeline = train(job, workspace)
    signal.signal(signal.SIGTERM, before)
    for name, rows in told["speeches"].items():
        cases = [Case(**row | {"folder": Path(row["folder"])}) for row in rows]
        generate(Generator(name, pipeline), cases, [job.seed], workspace.state("compare", "runs"))


def _end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os.killpg(0, signal.SIGTERM)  # torchrun ends its ranks when it is told to

    threading.Thread(target=watch, daemon=True).start()


def main(file: Path, root: Path) -> int:
    """Does what `file` says in the workspace `root`; an error is one line, its status the exit status."""
    _end_with_parent()
    try:
        run(read_json(file), Workspace(root))
    except SyncDreamerError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
