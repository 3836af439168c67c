"""Starts the ranks of a training job with torchrun: on this machine, or on several that share the workspace.

On several, the first runs the stage as ever, with two environment variables:

    SYNCDREAMER_NODES       machines that take part
    SYNCDREAMER_RENDEZVOUS  host:port of the first machine, reachable from all

and every other runs `syncdreamer join STAGE`. `ranks` of the stage counts the ranks of all machines, so the
result does not depend on how they are spread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError
from components.core.files import read_json, write_json

NODES, RENDEZVOUS = "SYNCDREAMER_NODES", "SYNCDREAMER_RENDEZVOUS"
MEETING = "rendezvous.json"


@dataclass(frozen=True)
class Place:
    """nodes: machines; endpoint: host:port where their agents meet; None: a free port of this machine."""

    nodes: int = 1
    endpoint: str | None = None


def place() -> Place:
    """What the environment says.

    Raises:
        InputError: a variable is not what it should be, or the rendezvous is missing.
    """
    stated = os.environ.get(NODES, "1")
    if not stated.isdigit() or int(stated) < 1:
        raise InputError(f"{NODES} must be a number of machines, not {stated!r}")
    endpoint = os.environ.get(RENDEZVOUS)
    if int(stated) > 1 and not (endpoint and endpoint.rpartition(":")[2].isdigit()):
        raise InputError(f"{NODES} is {stated}: set {RENDEZVOUS} to host:port of the first machine")
    return Place(int(stated), endpoint) if int(stated) > 1 else Place()


def run_ranks(where: Place, ranks: int, key: str, folder: Path, root: Path) -> int:
    """Runs this machine's share of the ranks to their end; returns torchrun's exit status.

    Raises:
        InputError: the ranks cannot be shared evenly by the machines.
    """
    if ranks % where.nodes:
        raise InputError(f"ranks {ranks} is no multiple of the {where.nodes} machines ({NODES})")
    local = [] if where.endpoint else ["--local-addr", "127.0.0.1"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", str(where.nodes), "--nproc-per-node",
        str(ranks // where.nodes), "--rdzv-backend", "c10d", "--rdzv-endpoint",
        where.endpoint or "127.0.0.1:0", "--rdzv-id", key, *local, "--max-restarts", "0",
        "-m", "components.avatar.worker", str(folder), str(root),
    ]  # fmt: skip
    code = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
    }
    return subprocess.run(command, env=environment, check=False).returncode


def announce(where: Place, state: Path, key: str) -> None:
    """Tells the other machines, through the shared workspace, which job they are wanted for."""
    if where.nodes > 1:
        write_json(state / MEETING, {"key": key, "nodes": where.nodes, "endpoint": where.endpoint})


def join(state: Path, root: Path, patience_s: float) -> int:
    """Takes part in the job that the first machine announces below `state` within `patience_s` seconds.

    Raises:
        InputError: none was announced in that time.
    """
    until = time.monotonic() + patience_s
    while not (state / MEETING).exists():
        if time.monotonic() > until:
            raise InputError(
                f"no training of {state.name} was announced within {patience_s:.0f} s: start the stage on the"
                f" first machine with {NODES} and {RENDEZVOUS} set, on the same shared workspace"
            )
        time.sleep(0.5)
    meeting = read_json(state / MEETING)
    folder = state / meeting["key"]
    ranks = int(read_json(folder / "job.json")["loop"]["ranks"])
    return run_ranks(Place(meeting["nodes"], meeting["endpoint"]), ranks, meeting["key"], folder, root)
