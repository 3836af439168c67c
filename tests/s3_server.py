"""A real S3 server (SeaweedFS) for tests: on free ports, killed and started again at will."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ADMIN = ("test-admin", "test-admin-secret")
START_LIMIT_S = 60


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    """An identity of the server's configuration; actions e.g. `Read:bucket`."""
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


class S3Server:
    """One server with its data below `folder`; after `kill` (SIGKILL), `start` goes on with the same data."""

    def __init__(self, folder: Path, identities: list[dict[str, Any]] | None = None) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        admin = identity("admin", *ADMIN, ["Admin", "Read", "List", "Tagging", "Write"])
        self.config = folder / "s3.json"
        self.config.write_text(json.dumps({"identities": [admin, *(identities or [])]}))
        self.ports = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self.ports[6]}"
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self, key: str = ADMIN[0], secret: str = ADMIN[1]) -> dict[str, str]:
        """The variables by which boto3, DVC and MLflow find the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> S3Server:
        """Starts it and returns when it answers."""
        m, mg, v, vg, f, fg, s, sg = self.ports
        command = [
            str(Path(sys.executable).parent / "weed"), "-logtostderr", "-v", "0", "server",
            "-dir", str(self.folder / "data"), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
            "-master.port", str(m), "-master.port.grpc", str(mg), "-master.volumeSizeLimitMB", "64",
            "-master.electionTimeout", "1s", "-volume.port", str(v), "-volume.port.grpc", str(vg),
            "-volume.max", "100", "-filer", "-filer.port", str(f), "-filer.port.grpc", str(fg),
            "-s3", "-s3.port", str(s), "-s3.port.grpc", str(sg), "-s3.config", str(self.config),
            "-s3.port.iceberg", "0", "-s3.port.lance", "0",
        ]  # fmt: skip
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._ready():
            assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "log.txt").read_text()[-2000:]
            time.sleep(0.2)
        return self

    def _ready(self) -> bool:
        """Whether it stores an object: it lists buckets before its volumes are there."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        client = boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=ADMIN[0], aws_secret_access_key=ADMIN[1],
            region_name="us-east-1", config=config,
        )  # fmt: skip
        try:
            if not any(row["Name"] == "ready" for row in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"?" * 8192)
            return bool(client.get_object(Bucket="ready", Key="probe")["Body"].read())
        except (BotoCoreError, ClientError, OSError):
            return False

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
