"""The checkpoint mirror against a real S3 server that is killed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError, TemporaryFailure
from components.core.files import digest_tree
from components.storage import mirror as mirroring
from components.storage.mirror import VARIABLE, Mirror, Snapshot, mirrored
from components.storage.s3 import MIB, S3Client, S3Url
from tests.s3_server import S3Server


def checkpoint(folder: Path, step: int, size: int = 1000) -> Snapshot:
    """A checkpoint of two ranks, with a history that grows and a file that names the newest."""
    place = folder / "checkpoints" / f"step-{step}"
    place.mkdir(parents=True)
    rng = np.random.default_rng(step)
    for rank in (0, 1):
        (place / f"rank{rank}.pt").write_bytes(rng.bytes(size))
    (folder / "checkpoints" / "latest").write_text(place.name)
    with (folder / "history.jsonl").open("a") as file:
        file.write(f'{{"step": {step}}}\n')
    return snapshot_of(folder, place.name)


def snapshot_of(folder: Path, name: str) -> Snapshot:
    files = (*(f"checkpoints/{name}/rank{rank}.pt" for rank in (0, 1)), "history.jsonl")
    return Snapshot(name, int(name.removeprefix("step-")), files, (("checkpoints/latest", name),))


def look(folder: Path) -> Snapshot | None:
    latest = folder / "checkpoints" / "latest"
    return snapshot_of(folder, latest.read_text()) if latest.exists() else None


def keys(url: S3Url) -> list[str]:
    return [row.url.key.removeprefix(f"{url.key}/") for row in S3Client().list(url / "")]


def test_a_new_machine_gets_the_newest_whole_checkpoint(bucket: S3Url, tmp_path: Path) -> None:
    here, there, url = tmp_path / "here", tmp_path / "there", bucket / "train/key"
    mirror = Mirror(url)
    assert mirror.restore(there) == "" and not there.exists()
    for step in (10, 20, 30):
        assert mirror.store(here, checkpoint(here, step))
    assert {key.split("/")[0] for key in keys(url)} == {"manifest.json", "step-20", "step-30"}, (
        "10 was removed"
    )
    assert Mirror(url).restore(there) == "step-30"
    assert look(there) == look(here)
    step = "checkpoints/step-30"
    assert digest_tree(there / step) == digest_tree(here / step)
    assert (there / "history.jsonl").read_text() == (here / "history.jsonl").read_text()
    assert Mirror(url).restore(there, newer_than=30) == "", "what is here is as new"


def test_texts_belong_to_their_snapshot(bucket: S3Url, tmp_path: Path) -> None:
    """While checkpoint 10 is on its way, training has written 20: the mirror must not name 20."""
    here, there, mirror = tmp_path / "here", tmp_path / "there", Mirror(bucket / "key")
    snapshot = checkpoint(here, 10)
    checkpoint(here, 20)
    mirror.store(here, snapshot)
    mirror.restore(there)
    assert (there / "checkpoints" / "latest").read_text() == "step-10"


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_a_server_killed_while_storing_leaves_the_former_one(
    server: S3Server, bucket: S3Url, tmp_path: Path
) -> None:
    here, url = tmp_path / "here", bucket / "key"
    Mirror(url).store(here, checkpoint(here, 10))
    newer = checkpoint(here, 20, 12 * MIB)
    client = S3Client(part_size=5 * MIB, patience_s=0.5)
    really = client.client.upload_part

    def upload_part(**arguments):
        if arguments["PartNumber"] == 2:
            server.kill()
        return really(**arguments)

    client.client.upload_part = upload_part
    with pytest.raises(TemporaryFailure):
        Mirror(url, client).store(here, newer)
    with pytest.raises(TemporaryFailure):
        Mirror(url, S3Client(patience_s=0.5)).restore(tmp_path / "there")
    server.start()
    assert Mirror(url).restore(tmp_path / "there") == "step-10"
    Mirror(url, S3Client(part_size=5 * MIB)).store(here, newer)
    assert Mirror(url).restore(tmp_path / "there", newer_than=10) == "step-20"
    step = "checkpoints/step-20"
    assert digest_tree(tmp_path / "there" / step) == digest_tree(here / step)


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_work_goes_on_while_the_mirror_fails(
    server: S3Server, bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setattr(mirroring, "POLL_S", 0.05)
    folder = tmp_path / "work"
    with mirrored(folder, "stage/key", look):
        checkpoint(folder, 1)
    assert keys(bucket / "mirror") == [], "off unless it is asked for"

    monkeypatch.setenv(VARIABLE, str(bucket / "mirror"))
    monkeypatch.setattr(mirroring, "S3Client", lambda: S3Client(patience_s=0.3))
    url = bucket / "mirror/stage/key"
    with mirrored(folder, "stage/key", look):
        until = time.monotonic() + 30
        while Mirror(url).manifest() is None and time.monotonic() < until:
            time.sleep(0.05)
        server.kill()
        checkpoint(folder, 2)
        while "step-2 is not mirrored" not in capfd.readouterr().err and time.monotonic() < until:
            time.sleep(0.05)
        server.start()
    manifest = Mirror(url).manifest()
    assert manifest is not None and manifest["snapshot"] == "step-2", "the last one is stored at the end"

    with mirrored(tmp_path / "new", "stage/key", look):
        assert look(tmp_path / "new") == look(folder), "a new machine has it before the body runs"
    assert "goes on from step-2" in capfd.readouterr().err


def test_a_wrong_manifest_is_refused(bucket: S3Url, tmp_path: Path) -> None:
    client, url = S3Client(), bucket / "key"
    client.write(url / "manifest.json", b"nothing")
    with pytest.raises(InputError, match="not a JSON object"):
        Mirror(url).restore(tmp_path)
    client.write(
        url / "manifest.json",
        b'{"snapshot": "s", "step": 1, "texts": {}, "files": [{"path": "../x", "size": 1, "sha256": ""}]}',
    )
    with pytest.raises(InputError, match="leaves its folder"):
        Mirror(url).restore(tmp_path / "work")


def test_least_privilege(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A trainer's identity is enough for the mirror, and for nothing else."""
    for name in ("checkpoints", "data"):
        S3Client().make_bucket(name)
    for name, value in server.environment("trainer", "trainer-secret").items():
        monkeypatch.setenv(name, value)
    mirror = Mirror(S3Url("checkpoints", "syncdreamer/key"), S3Client(part_size=5 * MIB))
    for step in (10, 20, 30):
        assert mirror.store(tmp_path / "here", checkpoint(tmp_path / "here", step, 6 * MIB))
    assert mirror.restore(tmp_path / "there") == "step-30"
    with pytest.raises(InputError, match="no such access"):
        S3Client().write(S3Url("data", "x"), b"x")
    with pytest.raises(InputError, match="no such access"):
        list(S3Client().list(S3Url("data", "")))

    def denied(url: S3Url) -> None:
        raise InputError(f"{url}: the server allows this identity no such access (AccessDenied)")

    monkeypatch.setattr(mirror.client, "delete", denied)
    assert mirror.store(tmp_path / "here", checkpoint(tmp_path / "here", 40))
    assert "older checkpoints stay" in capfd.readouterr().err
