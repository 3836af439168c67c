"""The report on S3, published twice."""

from __future__ import annotations

import pytest

from components.core.errors import InputError
from components.core.paths import Workspace
from components.storage.publish import VARIABLE, publish_if_asked, publish_report
from components.storage.s3 import S3Client, S3Url
from tests.s3_server import S3Server


def test_report_is_published_by_digest_and_as_latest(bucket: S3Url, tmp_path, monkeypatch, capfd) -> None:
    workspace, client = Workspace(tmp_path), S3Client()
    with pytest.raises(InputError, match="syncdreamer report"):
        publish_report(workspace, bucket / "reports")
    report = workspace.artifacts("report")
    (report / "videos").mkdir(parents=True)
    (report / "index.html").write_text("<p>one</p>")
    (report / "videos" / "a.mp4").write_bytes(b"video")
    first = publish_report(workspace, bucket / "reports")
    before = {row.url.key: row.etag for row in client.list(bucket / "")}
    assert publish_report(workspace, bucket / "reports") == first
    assert {row.url.key: row.etag for row in client.list(bucket / "")} == before and len(before) == 4
    page = client.client.get_object(Bucket=bucket.bucket, Key=first.key)
    assert page["ContentType"] == "text/html" and page["Body"].read() == b"<p>one</p>"

    publish_if_asked(workspace)
    monkeypatch.setenv(VARIABLE, str(bucket / "reports"))
    (report / "index.html").write_text("<p>two</p>")
    publish_if_asked(workspace)
    assert client.read(bucket / "reports/latest/index.html") == b"<p>two</p>"
    assert client.read(first) == b"<p>one</p>", "a published version never changes"
    assert "report published: s3://" in capfd.readouterr().err


def test_a_failed_publication_is_told(server: S3Server, tmp_path, monkeypatch, capfd) -> None:
    workspace = Workspace(tmp_path)
    workspace.artifacts("report").mkdir(parents=True)
    workspace.artifacts("report", "index.html").write_text("page")
    monkeypatch.setenv(VARIABLE, "s3://reports/prefix")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    publish_if_asked(workspace)
    assert "the report is not published" in capfd.readouterr().err
