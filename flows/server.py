"""A Prefect API server for a run or for `syncdreamer serve`, in a process of its own that ends when its owner
does, however it ends.

Prefect would start one by itself, but leaves it behind when the flow is killed. Here the server reads a pipe
whose other end only its owner holds: the end of that pipe is the end of the server.
"""

from __future__ import annotations

import atexit
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

from components.core.errors import InputError, SyncDreamerError
from components.core.files import read_json
from components.core.paths import Workspace

URL_VARIABLE = "PREFECT_API_URL"
START_LIMIT_S = 600.0
GRACE_S = 5.0
HOST = "127.0.0.1"
PLANNING = {"PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "20"}
"""Planned runs of a deployment: a hundred of a short interval, late at once, lock SQLite for minutes."""


class ApiServer:
    """The server's process; `port` answers once `wait` returned."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def wait(self) -> None:
        """Returns when the server answers.

        Raises:
            SyncDreamerError: it ended, or did not answer in time; its own message is above.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self.process.poll() is not None:
                raise SyncDreamerError(
                    f"the Prefect server ended with status {self.process.returncode} while starting; "
                    f"its message is above (to use another server, set {URL_VARIABLE})"
                )
            if time.monotonic() > deadline:
                raise SyncDreamerError(f"the Prefect server did not answer in {START_LIMIT_S:.0f} s")
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_LIMIT_S)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends the server and waits for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=2 * GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_server(port: int = 0, services: bool = False) -> ApiServer | None:
    """Starts a server on this machine and names it to Prefect, which must not be imported yet.

    port: 0 takes a free one. services: also the scheduler, the page and what else schedules need.
    Returns it while it is still starting, so that the caller can load other things meanwhile; None where
    PREFECT_API_URL names a server already. It ends with this process: at exit after Prefect, which sends its
    last events and logs then, was registered later and so is done.

    Raises:
        InputError: the port is taken.
    """
    if os.environ.get(URL_VARIABLE):
        return None
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {HOST} is taken ({error.strerror}): choose another with --port"
        ) from error
    with listening:
        port = listening.getsockname()[1]
        more = {"PREFECT_UI_API_URL": f"http://{HOST}:{port}/api"} | PLANNING if services else {}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "flows.server",
                str(listening.fileno()),
                *(["services"] if services else []),
            ],
            stdin=subprocess.PIPE,
            env=more | os.environ,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # Ctrl-C is for the flow, which still reports to the server
        )
    os.environ[URL_VARIABLE] = f"http://{HOST}:{port}/api"
    server = ApiServer(process, port)
    atexit.register(server.stop)
    return server


def join_server(workspace: Workspace) -> bool:
    """Names the server of this workspace's `syncdreamer serve` to Prefect; False if none is running."""
    path = workspace.root / "state" / "operations" / "server.json"
    if os.environ.get(URL_VARIABLE) or not path.exists():
        return False
    served = read_json(path)
    try:
        with urllib.request.urlopen(f"{served['url']}/health", timeout=3) as answer:
            found = answer.status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    if found:
        os.environ[URL_VARIABLE] = served["url"]
    return found


def main(descriptor: int, services: bool = False) -> None:
    """In the server's process: serves on an open socket until standard input ends."""
    orphaned = threading.Event()
    serving: list[Any] = []

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        orphaned.set()
        for server in serving:
            server.should_exit = True
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=not services, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=int(GRACE_S) - 2)
    serving.append(uvicorn.Server(config))
    if not orphaned.is_set():
        serving[0].run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]), "services" in sys.argv[2:])
