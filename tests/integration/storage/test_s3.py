"""Transfers to and from a real S3 server that is killed in the middle."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import InputError, TemporaryFailure
from components.storage.s3 import MIB, ObjectMissing, S3Client, S3Url
from tests.s3_server import S3Server

PART = 5 * MIB


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Sent:
    """Counts the parts that a client sends; `at` runs before the part of that number is sent."""

    def __init__(self, client: S3Client, monkeypatch: pytest.MonkeyPatch, at: dict[int, Any] | None = None):
        self.numbers: list[int] = []
        really = client.client.upload_part

        def upload_part(**arguments: Any) -> Any:
            number = arguments["PartNumber"]
            self.numbers.append(number)
            if at and number in at:
                at.pop(number)()
            return really(**arguments)

        monkeypatch.setattr(client.client, "upload_part", upload_part)


def test_round_trip_listing_and_checksums(bucket: S3Url, tmp_path: Path) -> None:
    client = S3Client(part_size=PART)
    data = content(2 * PART + 17)
    (tmp_path / "big").write_bytes(data)
    stored = client.upload(tmp_path / "big", bucket / "a/big", {"made-by": "test"})
    assert stored.sha256 == sha256(data) and stored.size == len(data)
    known = client.head(bucket / "a/big")
    assert known is not None and known.metadata["made-by"] == "test"
    client.write(bucket / "a/small", b"hello")
    client.write(bucket / "b", b"other")
    assert [(row.url.key, row.size) for row in client.list(bucket / "a/")] == [
        ("a/big", len(data)),
        ("a/small", 5),
    ]
    assert client.read(bucket / "a/small") == b"hello"
    assert b"".join(client.stream(bucket / "a/big", start=PART + 1)) == data[PART + 1 :]
    copy = client.download(bucket / "a/big", tmp_path / "deep" / "copy")
    assert copy.read_bytes() == data and [p.name for p in copy.parent.iterdir()] == ["copy"]
    client.delete(bucket / "b")
    assert client.head(bucket / "b") is None
    with pytest.raises(ObjectMissing, match="b does not exist"):
        client.download(bucket / "b", tmp_path / "b")
    with pytest.raises(InputError, match="cannot be uploaded"):
        client.upload(tmp_path / "none", bucket / "none")


def test_listing_goes_past_a_page(bucket: S3Url) -> None:
    client = S3Client()
    names = [f"{number:04d}" for number in range(1003)]  # the server's page is 1000
    for name in names:
        client.client.put_object(Bucket=bucket.bucket, Key=f"many/{name}", Body=b"")
    assert [row.url.key for row in client.list(bucket / "many/")] == [f"many/{name}" for name in names]


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_upload_survives_the_servers_death(
    server: S3Server, bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content(5 * PART + 1)
    (tmp_path / "file").write_bytes(data)
    client = S3Client(part_size=PART, patience_s=60)

    def die() -> None:
        server.kill()
        threading.Timer(1.0, server.start).start()

    sent = Sent(client, monkeypatch, {3: die})
    client.upload(tmp_path / "file", bucket / "file")
    assert sent.numbers.count(3) > 1, "the part was sent again until the server was back"
    assert [sent.numbers.count(number) for number in (1, 2, 4, 5, 6)] == [1] * 5, "no other part was repeated"
    assert S3Client().download(bucket / "file", tmp_path / "copy").read_bytes() == data


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_upload_is_taken_up_by_another_process(
    server: S3Server, bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content(4 * PART)
    (tmp_path / "file").write_bytes(data)
    first = S3Client(part_size=PART, patience_s=0.5)
    Sent(first, monkeypatch, {3: server.kill})
    with pytest.raises(TemporaryFailure):
        first.upload(tmp_path / "file", bucket / "file")
    server.start()
    assert S3Client().head(bucket / "file") is None, "half an object is no object"
    second = S3Client(part_size=PART)
    sent = Sent(second, monkeypatch)
    second.upload(tmp_path / "file", bucket / "file")
    assert sent.numbers == [3, 4]
    assert S3Client().download(bucket / "file", tmp_path / "copy").read_bytes() == data
    again = S3Client(part_size=PART)
    sent = Sent(again, monkeypatch)
    again.upload(tmp_path / "file", bucket / "file")
    assert sent.numbers == [], "what is there already is not sent"


def test_parts_of_another_content_are_not_taken(bucket: S3Url, tmp_path: Path) -> None:
    client = S3Client(part_size=PART)
    old, new = content(3 * PART, 1), content(PART, 1) + content(2 * PART, 2)
    begun = client.client.create_multipart_upload(
        Bucket=bucket.bucket, Key="file", Metadata={"sha256": sha256(old)}
    )
    for number in (1, 2):
        client.client.upload_part(
            Bucket=bucket.bucket, Key="file", UploadId=begun["UploadId"], PartNumber=number,
            Body=old[(number - 1) * PART : number * PART],
        )  # fmt: skip
    (tmp_path / "file").write_bytes(new)
    assert client.upload(tmp_path / "file", bucket / "file").sha256 == sha256(new)
    assert client.download(bucket / "file", tmp_path / "copy").read_bytes() == new


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_download_survives_the_servers_death(server: S3Server, bucket: S3Url, tmp_path: Path) -> None:
    data = content(40 * MIB)
    (tmp_path / "file").write_bytes(data)
    client = S3Client(patience_s=60)
    client.upload(tmp_path / "file", bucket / "file")
    got = bytearray()
    for index, chunk in enumerate(client.stream(bucket / "file")):
        got += chunk
        if index == 2:
            server.kill()
            threading.Timer(1.0, server.start).start()
    assert bytes(got) == data


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_download_is_taken_up_by_another_process(
    server: S3Server, bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content(40 * MIB)
    (tmp_path / "file").write_bytes(data)
    first = S3Client(patience_s=0.5)
    first.upload(tmp_path / "file", bucket / "file")
    really = S3Client.stream

    def dying(self: S3Client, *arguments: Any) -> Any:
        for index, chunk in enumerate(really(self, *arguments)):
            yield chunk
            if index == 2:
                server.kill()

    with monkeypatch.context() as patched, pytest.raises(TemporaryFailure):
        patched.setattr(S3Client, "stream", dying)
        first.download(bucket / "file", tmp_path / "copies" / "copy")
    (partial,) = (tmp_path / "copies").iterdir()
    assert partial.name != "copy" and 0 < partial.stat().st_size < len(data)
    kept = partial.stat().st_size
    server.start()
    begins: list[int] = []

    def watched(self: S3Client, url: S3Url, start: int = 0, *more: Any) -> Any:
        begins.append(start)
        return really(self, url, start, *more)

    monkeypatch.setattr(S3Client, "stream", watched)
    copy = S3Client().download(bucket / "file", tmp_path / "copies" / "copy")
    assert begins == [kept] and sha256(copy.read_bytes()) == sha256(data)


def test_damage_and_replacement_are_found(bucket: S3Url, tmp_path: Path) -> None:
    client = S3Client()
    client.client.put_object(
        Bucket=bucket.bucket, Key="bad", Body=b"damaged", Metadata={"sha256": sha256(b"whole")}
    )
    with pytest.raises(InputError, match="damaged"):
        client.read(bucket / "bad")
    with pytest.raises(InputError, match="damaged"):
        client.download(bucket / "bad", tmp_path / "x" / "bad")
    assert not list((tmp_path / "x").iterdir())
    client.write(bucket / "good", b"one")
    with pytest.raises(InputError, match="not 00"):
        client.download(bucket / "good", tmp_path / "good", sha256="00")
    version = client.head(bucket / "good")
    client.write(bucket / "good", b"two")
    with pytest.raises(InputError, match="was replaced"):
        list(client.stream(bucket / "good", version=version))


def test_what_a_person_gets_wrong(server: S3Server, bucket: S3Url, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="write s3://bucket/prefix"):
        S3Url.parse("http://bucket/key")
    with pytest.raises(InputError, match="no bucket 'nowhere'"):
        list(S3Client().list(S3Url("nowhere", "")))
    with pytest.raises(InputError, match="part_size"):
        S3Client(part_size=10)
    assert str(S3Url.parse("s3://bucket/a/") / "b") == "s3://bucket/a/b"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(InputError, match="no such access"):
        S3Client().read(bucket / "x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InputError, match="no credentials"):
        S3Client().read(bucket / "x")
