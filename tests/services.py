"""Real servers for tests, on free ports: PostgreSQL (where it is installed), Prefect and MLflow on it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.s3_server import free_ports

PASSWORD = "test-password"
USER = "syncdreamer"
START_LIMIT_S = 1200  # a busy machine imports MLflow in minutes


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's server programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    onpath = shutil.which("initdb")
    return found[-1].parent if found else Path(onpath).resolve().parent if onpath else None


class Process:
    """A server's process group; its output goes to a file that a failure shows."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str], environment: dict[str, str], user: str | None = None) -> None:
        group = pwd.getpwnam(user).pw_gid if user else None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, user=user,
                group=group, cwd=tempfile.gettempdir(),
            )  # fmt: skip

    def running(self) -> None:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=60)


class Postgres(Process):
    """A cluster of its own; below the temporary folder, since the server refuses to run as root."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="syncdreamer-postgres-"))
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        (self.port,) = free_ports(1)
        super().__init__(self.folder.with_suffix(".log"))

    def start(self) -> Postgres:
        import psycopg

        secret = self.folder / "password"
        data = self.folder / "data"
        if not data.exists():
            secret.write_text(PASSWORD)
            make = [str(self.programs / "initdb"), "--pgdata", str(data), "--username", USER, "--no-sync"]
            make += ["--auth", "scram-sha-256", "--pwfile", str(secret), "--encoding", "UTF8"]
            made = subprocess.run(make, user=self.user, cwd="/", capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
        serve = [str(self.programs / "postgres"), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1"]
        self.run([*serve, "-k", str(self.folder), "-c", "max_connections=200"], dict(os.environ), self.user)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                with psycopg.connect(
                    self.uri("postgres").replace("+psycopg", ""), autocommit=True
                ) as database:
                    there = {row[0] for row in database.execute("SELECT datname FROM pg_database")}
                    for name in {"prefect", "mlflow"} - there:
                        database.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
                return self
            except psycopg.OperationalError:
                self.running()
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                time.sleep(0.2)

    def uri(self, database: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def count(self, database: str, query: str) -> int:
        """The number that a query of one number answers."""
        import psycopg

        with psycopg.connect(self.uri(database).replace("+psycopg", "")) as connection:
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
            assert row is not None
            return int(row[0])

    def remove(self) -> None:
        self.kill(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Web(Process):
    """A server that answers on `health` when it is up; `start` again after `kill`."""

    def __init__(self, log: Path, command: list[str], environment: dict[str, str], port: int, health: str):
        super().__init__(log)
        self.command, self.environment = command, environment
        self.url = f"http://127.0.0.1:{port}"
        self.health = health

    def start(self) -> Web:
        self.run(self.command, self.environment)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            self.running()
            try:
                with urllib.request.urlopen(self.url + self.health, timeout=10) as answer:
                    assert answer.status == 200
                return self
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                time.sleep(0.5)


def clean_environment() -> dict[str, str]:
    """This process's environment without services of its own."""
    prefixes = ("PREFECT_", "MLFLOW_", "SYNCDREAMER_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def prefect_server(folder: Path, postgres: Postgres) -> Web:
    """As infra/compose.yaml starts it."""
    (port,) = free_ports(1)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = clean_environment() | {
        "PREFECT_API_DATABASE_CONNECTION_URL": postgres.uri("prefect", "asyncpg"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    return Web(folder / "prefect.log", command, environment, port, "/api/health")


def mlflow_server(folder: Path, postgres: Postgres, artifacts: str, environment: dict[str, str]) -> Web:
    """As infra/compose.yaml starts it, with one worker process."""
    (port,) = free_ports(1)
    command = [
        "mlflow", "server", "--host=127.0.0.1", f"--port={port}",
        f"--backend-store-uri={postgres.uri('mlflow')}",
        f"--artifacts-destination={artifacts}", f"--allowed-hosts=127.0.0.1:{port}", "--workers=1",
    ]  # fmt: skip
    every = (
        clean_environment()
        | environment
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
        | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    )
    return Web(folder / "mlflow.log", command, every, port, "/health")
