"""Q-Align (IQA) by q-future/one-align, run in an environment of its own.

The model brings its own code, written for an older transformers than the project's, so it is started as
another program by the Python of `weights.qalign_python`; pictures go in as PNG, level logits come back.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.official import Status

WORKER = Path(__file__).with_name("qalign_worker.py")
LEVELS = 5


class QAlign:
    """Level logits of pictures.

    Args:
        folder: the model's folder. python: interpreter of its environment. digest: of the folder.
    """

    name = "qalign"

    def __init__(self, folder: Path, python: Path, digest: str, timeout: float = 3600.0) -> None:
        self.folder = folder
        self.python = python
        self.digest = digest
        self.timeout = timeout

    @classmethod
    def official(cls, status: Status, python: Path | None) -> QAlign:
        """From the model's folder (`official.find`).

        Raises:
            InputError: no interpreter is named, or the folder is not the whole model.
        """
        if python is None or not python.exists():
            raise InputError(
                "Q-Align needs weights.qalign_python in params.yaml: the Python of an environment with its "
                f"transformers (is {python})"
            )
        assert status.path is not None and status.digest is not None
        _whole(status.path)
        return cls(status.path, python, status.digest[:12])

    def logits(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N,5) over (excellent, good, fair, poor, bad) of pictures (N,H,W,3) uint8.

        Raises:
            InputError: another shape or type; the program fails, runs too long or gives something else.
        """
        from components.core.media import write_image

        pictures = np.asarray(pictures)
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            raise InputError(f"Q-Align takes pictures (N,H,W,3) uint8, got {pictures.dtype} {pictures.shape}")
        if not len(pictures):
            return np.zeros((0, LEVELS))
        with tempfile.TemporaryDirectory(prefix="qalign-") as place:
            folder, out = Path(place), Path(place) / "logits.json"
            for index, picture in enumerate(pictures):
                write_image(folder / f"{index:06d}.png", picture)
            self._run([str(self.python), str(WORKER), str(self.folder.resolve()), str(folder), str(out)])
            if not out.exists():
                raise InputError(f"{WORKER.name} ended well but wrote nothing")
            rows = np.array(json.loads(out.read_text(encoding="utf-8")), np.float64)
        if rows.shape != (len(pictures), LEVELS) or not np.isfinite(rows).all():
            raise InputError(f"{WORKER.name} gave {rows.shape} logits for {len(pictures)} pictures")
        return rows

    def _run(self, command: list[str]) -> None:
        # The project's own packages must not leak into the other environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{WORKER.name} took more than {self.timeout:g} s") from error
        except OSError as error:
            raise InputError(f"{self.python} cannot be run: {error}") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{WORKER.name} failed with status {done.returncode}: {last}")


def _whole(folder: Path) -> None:
    """Checks that every file of tensors that the folder's index names is there.

    Raises:
        InputError: there is no config.json, no tensors, or a file of the index is missing.
    """
    from components.core.files import read_json

    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is not a model's folder: it has no config.json")
    indices = sorted(folder.glob("*.index.json"))
    files = {name for index in indices for name in read_json(index).get("weight_map", {}).values()}
    lost = sorted(name for name in files if not (folder / name).is_file())
    if lost:
        raise InputError(f"{folder} is not whole: {len(lost)} of {len(files)} files of tensors are missing, "
                         f"e.g. {lost[0]}")  # fmt: skip
    if not files and not any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} holds no tensors (.bin or .safetensors)")
