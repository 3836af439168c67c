"""A small client of any S3 server (boto3): listing, streaming, transfers that resume and are verified.

Endpoint, region and credentials come from boto3's own chain (`AWS_ENDPOINT_URL`, `AWS_REGION`, profiles,
roles of the machine), so no secret passes through this project. A connection that breaks is taken up where it
broke, for `patience_s` after the last byte that came through; then `TemporaryFailure` is raised and what is
there already is kept, so that a later call of any process goes on.

An object written here carries the SHA-256 of its content as metadata; whoever downloads it checks it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from components.core.errors import InputError, SyncDreamerError, TemporaryFailure
from components.core.files import digest_file

MIB = 1 << 20
DIGEST_FIELD = "sha256"
"""Metadata field with the SHA-256 of the whole content, hexadecimal."""
SMALLEST_PART = 5 * MIB
LARGEST_PART_NUMBER = 10_000
_GONE = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
_BUSY = frozenset({"429", "500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown"})
_LONGEST_PAUSE_S = 5.0

T = TypeVar("T")


class ObjectMissing(InputError):
    """No object of that name."""


@dataclass(frozen=True)
class S3Url:
    """`s3://bucket/key`; the key may be empty or a prefix."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Url:
        """
        Raises:
            InputError: the text is no s3:// address.
        """
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise InputError(f"{text!r} is no S3 address; write s3://bucket/prefix")
        return cls(bucket, key)

    def __truediv__(self, name: str) -> S3Url:
        base = self.key.rstrip("/")
        return S3Url(self.bucket, f"{base}/{name}" if base else name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class S3Object:
    """size in bytes; etag as the server names this version; sha256 "" if its writer did not note it
    (or if the object comes from a listing, which does not tell it)."""

    url: S3Url
    size: int
    etag: str
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class S3Client:
    """One server. Safe to share between threads.

    Args:
        endpoint: address of the server; None leaves it to the environment (AWS itself if that names none).
        anonymous: no credentials are sent (public data sets).
        part_size: bytes of a part of a multipart upload; files up to this size go in one request.
        patience_s: how long a silent or refusing server is waited for.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        anonymous: bool = False,
        part_size: int = 16 * MIB,
        patience_s: float = 120.0,
        timeout_s: float = 30.0,
    ) -> None:
        if part_size < SMALLEST_PART:
            raise InputError(f"part_size is {part_size}; S3 takes no part below {SMALLEST_PART} bytes")
        self.endpoint = endpoint
        self.anonymous = anonymous
        self.part_size = part_size
        self.patience_s = patience_s
        self.timeout_s = timeout_s

    @cached_property
    def client(self) -> Any:
        """boto3's client (its import takes 0.3 s)."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        config = Config(
            connect_timeout=self.timeout_s,
            read_timeout=self.timeout_s,
            retries={"total_max_attempts": 1},  # `_patiently` retries, with one rule for all calls
            request_checksum_calculation="when_required",  # older servers know no trailing checksums
            response_checksum_validation="when_required",
            signature_version=UNSIGNED if self.anonymous else None,
            s3={"addressing_style": "path" if self._named_endpoint else "auto"},
        )
        region = None if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") else "us-east-1"
        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, region_name=region, config=config
        )

    @property
    def _named_endpoint(self) -> str | None:
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return self.endpoint or named

    def list(self, prefix: S3Url) -> Iterator[S3Object]:
        """Objects whose key begins with the prefix, in order of keys, a page in memory at a time."""
        marker = ""
        while True:
            more = {"StartAfter": marker} if marker else {}

            def page(more: dict[str, str] = more) -> Any:
                return self.client.list_objects_v2(Bucket=prefix.bucket, Prefix=prefix.key, **more)

            answer = self._patiently(prefix, page)
            rows = answer.get("Contents", [])
            for row in rows:
                yield S3Object(S3Url(prefix.bucket, row["Key"]), int(row["Size"]), row["ETag"].strip('"'))
            if not answer.get("IsTruncated") or not rows:
                return
            marker = rows[-1]["Key"]

    def head(self, url: S3Url) -> S3Object | None:
        """What the server knows of an object; None if there is none."""
        try:
            row = self._patiently(url, lambda: self.client.head_object(Bucket=url.bucket, Key=url.key))
        except ObjectMissing:
            return None
        metadata = {name.lower(): value for name, value in row.get("Metadata", {}).items()}
        etag = row["ETag"].strip('"')
        return S3Object(url, int(row["ContentLength"]), etag, metadata.get(DIGEST_FIELD, ""), metadata)

    def stream(self, url: S3Url, start: int = 0, version: S3Object | None = None) -> Iterator[bytes]:
        """The content from byte `start` on, in chunks of at most 1 MiB; a broken connection is taken up.

        Raises:
            ObjectMissing: there is no such object.
            InputError: the object was replaced by another while it was read.
            TemporaryFailure: the server stayed away; the chunks so far are good.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        known = version or self.head(url)
        if known is None:
            raise ObjectMissing(f"{url} does not exist")
        position, clock = start, _Patience(self.patience_s)
        while position < known.size:
            try:
                answer = self.client.get_object(
                    Bucket=url.bucket, Key=url.key, Range=f"bytes={position}-", IfMatch=f'"{known.etag}"'
                )
                for chunk in answer["Body"].iter_chunks(MIB):
                    position += len(chunk)
                    clock.reset()
                    yield chunk
                if position < known.size:
                    raise TemporaryFailure("the connection ended early")
            except ClientError as error:
                clock.wait(_told(error, url))
            except (BotoCoreError, HTTPError, OSError, TemporaryFailure) as error:
                clock.wait(TemporaryFailure(f"{url}: {error}"))

    def read(self, url: S3Url) -> bytes:
        """A small object's content, checked against its SHA-256 where that is noted."""
        known = self.head(url)
        if known is None:
            raise ObjectMissing(f"{url} does not exist")
        content = b"".join(self.stream(url, version=known))
        _check(url, known.sha256, hashlib.sha256(content).hexdigest())
        return content

    def write(self, url: S3Url, content: bytes, metadata: Mapping[str, str] | None = None) -> None:
        """Writes a small object in one request; the server verifies its MD5."""
        noted = {**(metadata or {}), DIGEST_FIELD: hashlib.sha256(content).hexdigest()}

        def put() -> Any:
            return self.client.put_object(
                Bucket=url.bucket, Key=url.key, Body=content, ContentMD5=_md5(content), Metadata=noted
            )

        self._patiently(url, put)

    def download(self, url: S3Url, path: Path, sha256: str = "") -> Path:
        """Fetches an object; goes on with a partial file that an interrupted call left beside `path`.

        The partial file is named by the object's version: another version begins anew. The file appears under
        its name only when its size and SHA-256 (the given one, else the one noted by its writer) are right.

        Raises:
            ObjectMissing: there is no such object.
            InputError: the content is not what the checksum says; nothing is left behind.
            TemporaryFailure: the server stayed away; the partial file is kept.
        """
        known = self.head(url)
        if known is None:
            raise ObjectMissing(f"{url} does not exist")
        path.parent.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(f"{known.etag} {known.size}".encode()).hexdigest()[:12]
        partial = path.with_name(f".{path.name}.{name}.part")
        with partial.open("ab") as file:
            if file.tell() > known.size:
                file.truncate(0)
            for chunk in self.stream(url, file.tell(), known):
                file.write(chunk)
        expected = sha256 or known.sha256
        try:
            _check(url, expected, digest_file(partial) if expected else "")
        except InputError:
            partial.unlink()
            raise
        partial.replace(path)
        return path

    def upload(self, path: Path, url: S3Url, metadata: Mapping[str, str] | None = None) -> S3Object:
        """Stores a file; a multipart upload that was interrupted is taken up, whoever began it.

        Every request carries its MD5, which the server verifies; parts that are there already are kept if
        their MD5 is that of the file's part.

        Raises:
            InputError: the file is missing, or too large for its part size.
            TemporaryFailure: the server stayed away; finished parts are kept.
        """
        if not path.is_file():
            raise InputError(f"{path} is missing and cannot be uploaded to {url}")
        digest = digest_file(path)
        noted = {**(metadata or {}), DIGEST_FIELD: digest}
        known = self.head(url)
        if known is not None and known.sha256 == digest and known.size == path.stat().st_size:
            return known
        if path.stat().st_size <= self.part_size:
            self.write(url, path.read_bytes(), metadata)
        else:
            self._upload_parts(path, url, noted)
        stored = self.head(url)
        if stored is not None and stored.sha256 != digest:
            # Parts of a former content's upload were taken up: right bytes with a wrong note. Begin anew.
            self._upload_parts(path, url, noted)
            stored = self.head(url)
        if stored is None or stored.size != path.stat().st_size or stored.sha256 != digest:
            raise SyncDreamerError(f"{url} is not there, or not whole, after its upload")
        return stored

    def delete(self, url: S3Url) -> None:
        """Removes an object; one that is not there is no error."""
        self._patiently(url, lambda: self.client.delete_object(Bucket=url.bucket, Key=url.key))

    def make_bucket(self, bucket: str) -> None:
        """Makes a bucket unless it is there."""
        there = (self.client.exceptions.BucketAlreadyOwnedByYou, self.client.exceptions.BucketAlreadyExists)

        def make() -> None:
            with suppress(*there):
                self.client.create_bucket(Bucket=bucket)

        self._patiently(S3Url(bucket, ""), make)

    def _upload_parts(self, path: Path, url: S3Url, noted: Mapping[str, str]) -> None:
        size = path.stat().st_size
        count = -(-size // self.part_size)
        if count > LARGEST_PART_NUMBER:
            raise InputError(
                f"{path} has {size} bytes: more than {LARGEST_PART_NUMBER} parts; raise part_size"
            )
        where = {"Bucket": url.bucket, "Key": url.key}
        upload = self._patiently(url, lambda: self._open_upload(url, noted))
        there = self._patiently(url, lambda: self._parts(where, upload))
        done: list[dict[str, Any]] = []
        with path.open("rb") as file:
            for number in range(1, count + 1):
                body = file.read(self.part_size)
                etag = there.get(number, "")
                if etag != hashlib.md5(body, usedforsecurity=False).hexdigest():

                    def send(number: int = number, body: bytes = body) -> Any:
                        return self.client.upload_part(
                            **where, UploadId=upload, PartNumber=number, Body=body, ContentMD5=_md5(body)
                        )

                    etag = self._patiently(url, send)["ETag"].strip('"')
                done.append({"PartNumber": number, "ETag": f'"{etag}"'})

        def complete() -> None:
            try:
                self.client.complete_multipart_upload(
                    **where, UploadId=upload, MultipartUpload={"Parts": done}
                )
            except self.client.exceptions.NoSuchUpload:
                # The answer to a former try was lost on its way: the object is there then.
                if self.head(url) is None:
                    raise

        self._patiently(url, complete)

    def _open_upload(self, url: S3Url, noted: Mapping[str, str]) -> str:
        answer = self.client.list_multipart_uploads(Bucket=url.bucket, Prefix=url.key)
        for row in answer.get("Uploads", []):
            if row["Key"] == url.key:
                return str(row["UploadId"])
        made = self.client.create_multipart_upload(Bucket=url.bucket, Key=url.key, Metadata=dict(noted))
        return str(made["UploadId"])

    def _parts(self, where: dict[str, str], upload: str) -> dict[int, str]:
        found: dict[int, str] = {}
        for page in self.client.get_paginator("list_parts").paginate(**where, UploadId=upload):
            found |= {int(part["PartNumber"]): part["ETag"].strip('"') for part in page.get("Parts", [])}
        return found

    def _patiently(self, url: S3Url, call: Callable[[], T]) -> T:
        """The call's result; a server that is away or busy is waited for."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        clock = _Patience(self.patience_s)
        while True:
            try:
                return call()
            except ClientError as error:
                clock.wait(_told(error, url))
            except NoCredentialsError as error:
                raise InputError(
                    f"{url}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
                ) from error
            except (BotoCoreError, OSError) as error:
                clock.wait(TemporaryFailure(f"{url}: {error}"))


class _Patience:
    """Pauses between tries, doubling up to 5 s; gives up when nothing worked for `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.reset()

    def reset(self) -> None:
        self.since, self.pause = time.monotonic(), 0.2

    def wait(self, failure: SyncDreamerError) -> None:
        if not isinstance(failure, TemporaryFailure):
            raise failure
        if time.monotonic() - self.since + self.pause > self.limit_s:
            raise failure
        time.sleep(self.pause)
        self.pause = min(2 * self.pause, _LONGEST_PAUSE_S)


def _told(error: Any, url: S3Url) -> SyncDreamerError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    if code == "NoSuchBucket":
        return InputError(f"{url}: there is no bucket {url.bucket!r}")
    if code in _GONE:
        return ObjectMissing(f"{url} does not exist")
    if code in ("412", "PreconditionFailed"):
        return InputError(f"{url} was replaced while it was read; read it again")
    if code in _BUSY or status in _BUSY:
        return TemporaryFailure(f"{url}: the server answered {code or status}")
    if status == "403":
        return InputError(f"{url}: the server allows this identity no such access ({code})")
    return SyncDreamerError(f"{url}: the server answered {code or status}")


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _check(url: S3Url, expected: str, found: str) -> None:
    if expected and expected != found:
        raise InputError(f"{url}: its content has SHA-256 {found}, not {expected}: it is damaged")
