"""One S3 server for the module; every test gets a bucket of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.storage.s3 import S3Client, S3Url
from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def server(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, up, named by the environment."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    if s3_server.process is None or s3_server.process.poll() is not None:
        s3_server.start()
    return s3_server


@pytest.fixture
def bucket(server: S3Server, tmp_path: Path) -> S3Url:
    name = f"test-{tmp_path.name}".replace("_", "-").lower()[:60].strip("-")
    S3Client().make_bucket(name)
    return S3Url(name, "")
