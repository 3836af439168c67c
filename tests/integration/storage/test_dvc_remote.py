"""DVC's remote on a real S3 server: pushes and pulls that its death interrupts, resumed and verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.core.files import digest_tree
from components.storage.s3 import S3Client, S3Url
from tests.s3_server import S3Server

FILES, SIZE = 40, 1 << 20


def dvc(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dvc", *arguments, "--jobs", "2", "-q"]
    return subprocess.Popen(command, cwd=root, env=os.environ | {"DVC_NO_ANALYTICS": "1"})


def interrupted(process: subprocess.Popen[bytes], server: S3Server, ready: Callable[[], bool]) -> None:
    """Kills the server in the middle, and the command that would wait for it for minutes."""
    deadline = time.monotonic() + 240
    while not ready():
        assert process.poll() is None, "it ended before the server was killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    server.kill()
    assert process.poll() is None
    process.kill()
    process.wait()
    server.start()


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_push_and_pull_resume_after_the_servers_death(
    server: S3Server, bucket: S3Url, tmp_path: Path
) -> None:
    from dvc.repo import Repo

    root = tmp_path / "work"
    (root / "data").mkdir(parents=True)
    rng = np.random.default_rng(3)
    for index in range(FILES):
        (root / "data" / f"{index}.bin").write_bytes(rng.bytes(SIZE))
    whole = digest_tree(root / "data")
    repo = Repo.init(str(root), no_scm=True)
    with repo.config.edit() as config:
        config["core"] |= {"remote": "team", "analytics": False}
        url = str(bucket / "dvc")
        config["remote"]["team"] = {"url": url, "endpointurl": server.endpoint}
    repo.add(str(root / "data"))
    repo.close()

    def stored() -> dict[str, object]:
        return {row.url.key: row for row in S3Client().list(bucket / "dvc/")}

    interrupted(dvc(root, "push"), server, lambda: len(stored()) >= 5)
    before = stored()
    times = modified(bucket, before)
    assert 5 <= len(before) < FILES
    assert dvc(root, "push").wait() == 0
    assert len(stored()) == FILES + 1, "every file and the folder's list"
    assert modified(bucket, before) == times, "what was there was not sent again"

    shutil.rmtree(root / "data")
    shutil.rmtree(root / ".dvc" / "cache")
    cache = root / ".dvc" / "cache" / "files" / "md5"
    interrupted(dvc(root, "pull"), server, lambda: len([p for p in cache.rglob("*") if p.is_file()]) >= 8)
    assert not (root / "data").exists() or digest_tree(root / "data") != whole
    assert dvc(root, "pull").wait() == 0
    assert digest_tree(root / "data") == whole


def modified(bucket: S3Url, rows: dict[str, object]) -> dict[str, object]:
    client = S3Client().client
    return {key: client.head_object(Bucket=bucket.bucket, Key=key)["LastModified"] for key in rows}
