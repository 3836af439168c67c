"""Notifications through a block that is saved in a real Prefect server, to a real HTTP receiver."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prefect_place import save_block, standing_server
from tests.receiver import Receiver
from tests.services import Web, clean_environment

ROOT = Path(__file__).parents[3]
HAPPENINGS = """
import asyncio, contextlib
from components.core.errors import GateRefused, InputError
from components.core.paths import find_workspace
from flows.notifications import notifier_for
notifier = notifier_for(find_workspace(), "deployment nightly")
refused = GateRefused("gate_clips: 40% rejected, 28% allowed\\nquarantine.csv")
for error in (refused, InputError("no such key")):
    with contextlib.suppress(GateRefused, InputError), notifier.watching():
        raise error
async def in_a_loop():  # as `serve` tells of missed runs and killed ones
    notifier.tell("crash", "nightly was killed")
asyncio.run(in_a_loop())
print(notifier.deliver())
"""
MOVES = """
from components.core.paths import find_workspace
from components.tracking.ledger import Ledger
from flows.notifications import notifier_for
workspace = find_workspace()
notifier, ledger = notifier_for(workspace, "by hand"), Ledger(workspace.state("promotions"))
for action in ("promoted", "rolled back"):
    with notifier.watching(), ledger.locked():
        pair = {"versions": {"syncdreamer-avatar": "3", "syncdreamer-enhancer": "3"}}
        ledger.append(action=action, actor="ann", reason="better", candidate=pair)
print(notifier.deliver())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    server = standing_server(tmp_path_factory.mktemp("prefect"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver().start()
    yield receiver
    receiver.stop()


@pytest.mark.timeout(900)
def test_every_happening_reaches_the_chat_once(tmp_path: Path, server: Web, receiver: Receiver) -> None:
    block = save_block(server, "team", receiver.url)
    (tmp_path / "state").mkdir()
    (tmp_path / "dvc.yaml").touch()
    operations = {"notifications": [{"kind": "block", "block": block}]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"operations": operations}))

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment() | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path, env=environment | more, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    reachable = {"PREFECT_API_URL": f"{server.url}/api"}
    # No server known here: the event waits. The chat's own refusal: it waits too.
    done = run("-m", "flows.cli", "notify", "failure")
    assert done.returncode == 75 and "no Prefect server is running here" in done.stderr
    receiver.status = 503
    done = run("-c", HAPPENINGS, **reachable)
    assert done.stdout.strip() == "4", done.stderr
    assert "quiet" not in done.stderr and not receiver.got

    receiver.status = 200
    done = run("-c", MOVES, **reachable)
    assert done.stdout.strip() == "0", done.stderr
    bodies: list[dict[str, Any]] = [json.loads(body) for _, body in receiver.got]
    assert {body["token"] for body in bodies} == {"quiet"}
    subjects = [body["text"].splitlines()[0] for body in bodies]
    assert subjects == [
        "test of the notification 'failure'",
        "gate_clips: 40% rejected, 28% allowed",
        "no such key",
        "nightly was killed",
        "promoted: syncdreamer-avatar 3, syncdreamer-enhancer 3",
        "rolled back: syncdreamer-avatar 3, syncdreamer-enhancer 3",
    ]
    assert "quarantine.csv" in bodies[1]["text"]
    assert not list((tmp_path / "state" / "operations" / "outbox").iterdir())
