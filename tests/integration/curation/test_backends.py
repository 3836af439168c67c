"""The stage with files of the official layouts (random weights): what is named, scored and refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import digest_file, read_json, read_parquet
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation import curate, ingest
from components.curation.models import Models
from components.curation.params import BackendParams, WeightsFile
from tests.integration.curation.test_curate import PARAMS, SECONDS, SOURCES, save_untrained_models
from tests.onnx_files import mean_colour, scrfd

pytestmark = pytest.mark.slow


def weights(path: Path) -> WeightsFile:
    return WeightsFile(path=str(path), sha256=digest_file(path))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two clips of two people after ingest, and the files of official layout in weights/."""
    import torch

    from components.corpus.clips import make_clip
    from components.perception.syncnet import SyncNet

    workspace = Workspace(tmp_path_factory.mktemp("backends"))
    folder = workspace.raw / "demo"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("name: demo\nlicence: CC0-1.0\nconsent: true\n")
    for number in (1, 2):
        clip = make_clip(number, number, seconds=SECONDS)
        (folder / f"{number}.mp4").write_bytes(encode_video(clip.frames, clip.samples))
    save_untrained_models(workspace.artifacts("perception"))
    ingest.run(SOURCES, workspace, 0)
    place = workspace.root / "weights"
    place.mkdir()
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(SyncNet().state_dict(), buffer)
    (place / "syncnet_v2.model").write_bytes(buffer.getvalue())
    (place / "w600k_r50.onnx").write_bytes(mean_colour())
    (place / "det_10g.onnx").write_bytes(scrfd((1.0,) * 4, (0.0,) * 10))
    return workspace


def test_scores_carry_the_name_of_what_made_them(base: Workspace) -> None:
    small = PARAMS.model_copy(update={"val_rate": 0.0})
    curate.run(small, base, 0)
    before = read_parquet(base.artifacts("curate", "manifest.parquet")).set_index("file")
    assert "named" not in read_json(base.artifacts("curate", "config.json"))
    place = base.root / "weights"
    backends = BackendParams(
        syncnet=WeightsFile(
            path="weights/syncnet_v2.model", sha256=digest_file(place / "syncnet_v2.model")
        ),
        identity=weights(place / "w600k_r50.onnx"),
    )  # fmt: skip
    curate.run(small.model_copy(update={"backends": backends}), base, 0)
    after = read_parquet(base.artifacts("curate", "manifest.parquet")).set_index("file")
    # Random weights are not the published ones, and do not get their name alone.
    assert after["sync_model"].str.match(r"^syncnet-like@[0-9a-f]{12}$").all()
    assert after["identity_model"].str.startswith("arcface-like@").all()
    assert (after["face_model"] == before["face_model"]).all()
    assert not (after["sync_confidence"] == before["sync_confidence"]).any()
    assert after["sync_confidence"].notna().all() and after["sync_distance"].gt(0).all()
    assert set(read_json(base.artifacts("curate", "config.json"))["named"]) == {"sync", "identity"}
    same = ["face_rate", "blur", "voice_rate", "n_frames"]
    assert after[same].equals(before[same])


def test_the_packs_detector_is_what_looks(base: Workspace) -> None:
    backends = BackendParams(detector=weights(base.root / "weights/det_10g.onnx"))
    params = PARAMS.model_copy(update={"backends": backends})
    places = curate.places(params, base)
    frame = np.zeros((320, 320, 3), np.uint8)
    frame[160:176, 160:176, 0] = 255
    found = Models(places).detector.detect(frame)
    assert found and all(abs(face.centre[0] - 168) < 20 for face in found)  # BlazeFace sees no face here
    job, plain = curate.make_job(params, base), curate.make_job(PARAMS, base)
    assert job.fingerprint != plain.fingerprint and job.models["sync"] == plain.models["sync"]


def test_other_content_than_params_name_is_refused(base: Workspace) -> None:
    path = base.root / "weights/w600k_r50.onnx"
    wrong = BackendParams(identity=WeightsFile(path=str(path), sha256="0" * 64))
    with pytest.raises(
        InputError, match="backends.identity: .* has SHA-256 [0-9a-f]{64}, params.yaml says 0"
    ):
        curate.make_job(PARAMS.model_copy(update={"backends": wrong}), base)
    gone = BackendParams(syncnet=WeightsFile(path="weights/none", sha256="0" * 64))
    with pytest.raises(InputError, match=r"backends.syncnet: .*none is missing \(weights are never"):
        curate.make_job(PARAMS.model_copy(update={"backends": gone}), base)
    both = {"backends": gone, "sync_model": "models/sync/x"}
    with pytest.raises(InputError, match="name two sync models"):
        curate.make_job(PARAMS.model_copy(update=both), base)


def test_the_published_hash_alone_gives_the_published_name() -> None:
    from components.curation.backends import labels
    from components.perception.official import OFFICIAL

    official = OFFICIAL["syncnet"].sha256
    assert official is not None
    named = labels(BackendParams(syncnet=WeightsFile(path="x", sha256=official)))
    assert named == {"sync": f"syncnet@{official[:12]}"}
    other = WeightsFile(path="x", sha256="1" * 64)
    assert labels(BackendParams(detector=other)) == {"faces": "scrfd@111111111111"}
    assert labels(None) == {}
