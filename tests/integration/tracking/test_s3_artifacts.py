"""MLflow's artifacts on a real S3 server that dies in the middle of an upload."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import TemporaryFailure
from components.core.files import digest_tree
from components.core.paths import Workspace
from components.storage.s3 import S3Client, S3Url
from components.tracking.runs import Tracker
from tests.s3_server import S3Server

MIB = 1 << 20


@pytest.mark.slow  # kills the server in the middle: waits long on a busy machine
def test_artifacts_survive_the_servers_death(
    server: S3Server, bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SYNCDREAMER_ARTIFACT_LOCATION", str(bucket / "mlflow"))
    videos = tmp_path / "artifacts" / "videos"
    videos.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for index in range(3):
        (videos / f"{index}.mp4").write_bytes(rng.bytes(20 * MIB))
    tracker = Tracker(Workspace(tmp_path))

    from boto3.s3.transfer import S3Transfer

    really, sent = S3Transfer.upload_file, []

    def upload_file(self, *arguments, **named):
        sent.append(arguments)
        if len(sent) == 2:
            threading.Timer(0.03, server.kill).start()
        return really(self, *arguments, **named)

    monkeypatch.setattr(S3Transfer, "upload_file", upload_file)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with pytest.raises(TemporaryFailure, match="MLflow's artifacts"):
        tracker.log_stage(None, "evaluate", artifacts=[videos])
    server.start()
    run = tracker.log_stage(None, "evaluate", artifacts=[videos])
    location = tracker.client.get_run(run).info.artifact_uri
    assert location.startswith(str(bucket / "mlflow"))
    there = sum(row.size for row in S3Client().list(S3Url.parse(f"{location}/videos/")))
    assert there == 60 * MIB
    copy = tracker.client.download_artifacts(run, "videos", str(tmp_path))
    assert digest_tree(Path(copy)) == digest_tree(videos)
