"""Runs one stage in a process of its own (`python -m flows.worker NAME`): `supervisor` starts it."""

from __future__ import annotations

import sys
import time
import traceback

from components.core.errors import EXIT_FAILURE, SyncDreamerError
from components.core.files import write_json
from components.core.paths import find_workspace
from components.core.progress import say
from flows.environment import prepare
from flows.params import load_params
from flows.stages import stage_named


def main(name: str) -> int:
    """Runs the stage; returns its exit status and leaves `state/stages/NAME/result.json` for the flow."""
    workspace = find_workspace()
    prepare(workspace)
    begin = time.monotonic()
    status, message = 0, ""
    try:
        stage = stage_named(name)
        parameters = load_params(workspace.root / "params.yaml", only=name)
        stage.call(parameters.sections[name], workspace, parameters.seed)
    except SyncDreamerError as error:
        status, message = error.exit_code, str(error)
        say(f"error: {name}: {message}")
    except Exception as error:  # noqa: BLE001 - the process boundary: reported whole, then the status tells
        status, message = EXIT_FAILURE, f"{type(error).__name__}: {error}"
        traceback.print_exc()
    result = {"exit": status, "message": message, "seconds": round(time.monotonic() - begin, 2)}
    write_json(workspace.state("stages", name) / "result.json", result)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
