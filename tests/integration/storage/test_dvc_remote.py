"""DVC's remote on a real S3 server: pushes and pulls that its death interrupts, resumed and verified."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from components.core.files import digest_tree
from components.storage.s3 import S3Client, S3Url
from tests.s3_server import S3Server

FILES, SIZE = 60, 1 << 20


@contextlib.contextmanager
def killed_when(server: S3Server, ready: Callable[[], bool]) -> Iterator[threading.Event]:
    """Kills the server as soon as `ready`, while the body runs."""
    done, killed = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            if ready():
                server.kill()
                killed.set()
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


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
        config["core"] = {"remote": "team", "analytics": False}
        url = str(bucket / "dvc")
        config["remote"]["team"] = {"url": url, "endpointurl": server.endpoint, "read_timeout": 5, "jobs": 2}
    repo.add(str(root / "data"))

    stored = [0]

    def some_are_there() -> bool:
        stored[0] = sum(1 for _ in S3Client(patience_s=5).list(bucket / "dvc/"))
        return stored[0] >= 5

    problem: Exception | None = None
    with killed_when(server, some_are_there) as killed:
        try:
            repo.push()
        except Exception as error:  # noqa: BLE001 - DVC passes on whatever the transport raises
            problem = error
    assert killed.is_set() and problem is not None and stored[0] < FILES, "the push was interrupted"
    server.start()
    before = {row.url.key: row for row in S3Client().list(bucket / "dvc/")}
    times = modified(bucket, before)
    assert 5 <= len(before) < FILES + 1
    repo.push()
    after = {row.url.key: row for row in S3Client().list(bucket / "dvc/")}
    assert len(after) == FILES + 1, "every file and the folder's list"
    assert modified(bucket, before) == times, "what was there was not sent again"

    repo.close()
    for folder in (root / "data", root / ".dvc" / "cache"):
        import shutil

        shutil.rmtree(folder)
    repo = Repo(str(root))
    cache = root / ".dvc" / "cache" / "files" / "md5"
    problem = None
    with killed_when(server, lambda: len(list(cache.rglob("*"))) > 12) as killed:
        try:
            repo.pull()
        except Exception as error:  # noqa: BLE001 - as above
            problem = error
    assert killed.is_set() and problem is not None, "the pull was interrupted"
    server.start()
    repo.close()
    repo = Repo(str(root))
    repo.pull()
    assert digest_tree(root / "data") == whole
    repo.close()


def modified(bucket: S3Url, rows: dict[str, object]) -> dict[str, object]:
    client = S3Client().client
    return {key: client.head_object(Bucket=bucket.bucket, Key=key)["LastModified"] for key in rows}
