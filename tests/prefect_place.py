"""A real Prefect server of its own for tests, as somebody else would run it, and blocks saved in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.s3_server import free_ports
from tests.services import Web, clean_environment

SAVE = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
CustomWebhookNotificationBlock(
    name="chat",
    url=sys.argv[2],
    json_data={"text": "{{subject}}\\n{{body}}", "token": "{{token}}"},
    secrets={"token": "quiet"},
).save(sys.argv[1])
"""


def standing_server(folder: Path) -> Web:
    """`prefect server start` on SQLite; call `start` on it, and `kill` at the end."""
    (port,) = free_ports(1)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = clean_environment() | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "DO_NOT_TRACK": "1",
    }
    return Web(folder / "prefect.log", command, environment, port, "/api/health")


def save_block(server: Web, name: str, url: str) -> str:
    """Saves a chat's notification block that posts to `url`; returns how a channel names it."""
    subprocess.run(
        [sys.executable, "-c", SAVE, name, url],
        env=clean_environment() | {"PREFECT_API_URL": f"{server.url}/api"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return f"custom-webhook/{name}"
