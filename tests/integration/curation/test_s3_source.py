"""A source on a real S3 server: mirrored once, kept up to date, read by any layout's reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import digest_file, read_parquet
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation.ingest import run
from components.curation.params import IngestParams, SourceParams
from components.curation.sources.places import local
from components.storage.s3 import S3Client, S3Url
from tests.s3_server import S3Server

CARD = b"name: far\nlicence: CC-BY-4.0\nconsent: true\n"


@pytest.fixture
def client(server: S3Server) -> S3Client:
    client = S3Client()
    client.make_bucket("raw")
    return client


def test_a_prefix_is_fetched_once_and_followed(
    client: S3Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (30, 32, 48, 3), np.uint8)
    video = encode_video(frames, np.zeros(30 * 640, np.float32))
    place = S3Url("raw", "talks/")
    names = ["a.mp4", "sub folder/b ü.mp4", "sub folder/b ü.txt", "source.yaml"]
    for name, content in zip(names, [video, video[:-1], b"A caption.", CARD], strict=True):
        client.write(place / name, content)
    client.write(S3Url("raw", "talks-other/x.mp4"), video)  # begins alike and is another folder
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    params = IngestParams(sources=(SourceParams(path="s3://raw/talks"),))
    run(params, workspace, 0)
    path = tmp_path / "artifacts/ingest/inventory.parquet"
    table = read_parquet(path)
    assert table["file"].tolist() == ["s3://raw/talks/a.mp4", "s3://raw/talks/sub folder/b ü.mp4"]
    assert table["caption"].fillna("").tolist() == ["", "A caption."]
    for file, digest in zip(table["file"], table["sha256"], strict=True):
        assert digest_file(local(workspace, file)) == digest
    first = path.read_bytes()
    capsys.readouterr()
    run(params, workspace, 0)
    assert path.read_bytes() == first
    assert "4 of 4 objects of s3://raw/talks are here already" in capsys.readouterr().err
    client.write(place / "a.mp4", video[:2000])
    client.delete(place / "sub folder/b ü.mp4")
    run(params, workspace, 0)
    assert "2 of 3 objects" in capsys.readouterr().err
    table = read_parquet(path)
    assert table["file"].tolist() == ["s3://raw/talks/a.mp4"] and table["bytes"].tolist() == [2000]
    local(workspace, "s3://raw/talks/a.mp4").unlink()  # a cleared cache is filled again
    run(params, workspace, 0)
    assert len(read_parquet(path)) == 1


def test_any_layout_may_lie_on_a_server(client: S3Client, tmp_path: Path) -> None:
    video = encode_video(np.zeros((30, 32, 48, 3), np.uint8))
    place = S3Url("raw", "emtd/")
    client.write(place / "source.yaml", CARD.replace(b"far", b"emtd"))
    rows = b"URL,Start Timecode,End Timecode\nhttps://youtu.be/aaaaaaaaaaa,00:00:00.200,00:00:01.000\n"
    client.write(place / "list.csv", rows)
    client.write(place / "v/aaaaaaaaaaa.mp4", video)
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    run(IngestParams(sources=(SourceParams(kind="emtd", path="s3://raw/emtd/"),)), workspace, 0)
    row = read_parquet(tmp_path / "artifacts/ingest/inventory.parquet").iloc[0]
    assert (row["file"], row["start"], row["end"]) == ("s3://raw/emtd/v/aaaaaaaaaaa.mp4", 0.2, 1.0)
    assert (row["split"], row["source_video"]) == ("test", "youtube/aaaaaaaaaaa")


def test_nothing_there_and_keys_that_leave_the_prefix_are_told(client: S3Client, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    for path, message in (("s3://raw/nowhere", "nothing is below"), ("s3://", "no S3 address")):
        with pytest.raises(InputError, match=message):
            run(IngestParams(sources=(SourceParams(path=path),)), workspace, 0)
