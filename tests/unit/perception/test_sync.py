"""The small sync model and the identity model on a handful of rendered people; the stage's job runner."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.core.files import digest_file, digest_tree, read_json
from components.core.paths import require
from components.perception import identity, sync_training
from components.perception.identity import IdentityModel
from components.perception.params import IdentityParams, SyncParams
from components.perception.people import read_people, render_chunk, rendered_people
from components.perception.stage import Job, run_jobs
from components.perception.sync import SyncModel, small_network

SYNC = SyncParams(clips=7, frames=40, held_out=2, steps=4, batch=4)
IDENTITY = IdentityParams(steps=6, batch=6, width=8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        sync_training.render_clips(folder / "a.npz", range(4), 40, 9),
        sync_training.render_clips(folder / "b.npz", range(4, 7), 40, 9),
    ]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    chunks = [render_chunk(folder / f"{begin}.npz", range(begin, begin + 8), 2, 3) for begin in (0, 8)]
    rendered_people(folder / "people", chunks, 0.4)
    return folder / "people"


@pytest.fixture(scope="module")
def sync_folder(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sync")
    figures = sync_training.train(SYNC, clips, folder, 1)
    assert set(figures) == {f"sync_{k}" for k in (
        "auc", "offset_exact", "offset_within_1", "confidence", "confidence_other_sound")}  # fmt: skip
    return folder


def test_small_network_is_small() -> None:
    network = small_network()
    assert sum(p.numel() for p in network.parameters()) <= 600_000
    video = network.video(torch.zeros(2, 30, 3, 32, 32))
    audio = network.audio(torch.zeros(2, 120, 40))
    assert video.shape == audio.shape == (2, 26, 64)


def test_chunks_do_not_matter(clips: list[Path], tmp_path: Path) -> None:
    """A clip depends on its number, not on which worker made it beside which others."""
    alone = sync_training.render_clips(tmp_path / "one.npz", range(5, 6), 40, 9)
    mouths, sound = sync_training.read_clips(clips)
    other = sync_training.read_clips([alone])
    assert mouths.shape == (7, 40, 48, 48, 3)
    assert sound.shape == (7, (40 + 30) * 640)
    assert np.array_equal(other[0][0], mouths[5]) and np.array_equal(other[1][0], sound[5])


def test_sync_training_repeats_to_the_byte(clips: list[Path], sync_folder: Path, tmp_path: Path) -> None:
    sync_training.train(SYNC, clips, tmp_path, 1)
    assert digest_tree(tmp_path) == digest_tree(sync_folder)


def test_sync_model_scores_and_refuses(clips: list[Path], sync_folder: Path) -> None:
    model = SyncModel.load(sync_folder)
    assert model.name == "small-sync" and len(model.digest) == 12
    mouths, sound = sync_training.read_clips(clips)
    samples = sound[0][15 * 640 : -15 * 640]
    scores = model.score(mouths[0], samples)
    assert scores.confidence >= 0 and abs(scores.offset) <= 15
    assert model.score(mouths[0], samples * 0.5).confidence == pytest.approx(scores.confidence, abs=0.02)
    assert model.score(mouths[0][:20], samples[: 20 * 640]).distance > 0, "the shortest clip"
    with pytest.raises(InputError, match="needs 20 frames"):
        model.score(mouths[0][:19], samples)
    with pytest.raises(InputError, match="needs 20 frames"):
        model.score(mouths[0], samples[:6400])
    with pytest.raises(InputError, match="uint8"):
        model.score(mouths[0].astype(np.float32), samples)


def test_sync_refuses_too_few_clips(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none to train on"):
        sync_training.train(SYNC.model_copy(update={"held_out": 6}), clips, tmp_path, 1)


def test_people_set(people: Path, tmp_path: Path) -> None:
    found = read_people(people)
    assert found.pictures.shape == found.faces.shape == (32, 112, 112, 3)
    assert set(found.table["framing"]) == {"close-up", "upper body"}
    split = found.table.groupby("person")["held_out"].nunique()
    assert (split == 1).all() and found.table["held_out"].any()
    assert (found.table["seed"] >= 10_000_000_000).all()
    one = render_chunk(tmp_path / "one.npz", range(8, 16), 2, 3)
    rendered_people(tmp_path / "again", [people.parent / "0.npz", one], 0.4)
    assert digest_tree(tmp_path / "again") == digest_tree(people)
    with pytest.raises(InputError, match="missing"):
        read_people(tmp_path / "none")


def test_identity_training_repeats_and_embeds(people: Path, tmp_path: Path) -> None:
    found = read_people(people)
    figures = identity.train(IDENTITY, found, tmp_path / "a", 2)
    assert 0 <= figures["identity_auc"] <= 1
    identity.train(IDENTITY, found, tmp_path / "b", 2)
    assert digest_file(tmp_path / "a/model.safetensors") == digest_file(tmp_path / "b/model.safetensors")
    model = IdentityModel.load(tmp_path / "a")
    vectors = model.embed(found.faces[:5])
    assert vectors.shape == (5, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(model.embed(found.faces[:5, :, ::-1]), vectors, atol=1e-5), "mirror images are alike"
    assert model.embed(found.faces[:0]).shape == (0, 64)
    model.save(tmp_path / "c")
    assert IdentityModel.load(tmp_path / "c").digest == model.digest
    assert read_json(tmp_path / "a/config.json")["name"] == "small-identity"
    with pytest.raises(InputError, match="uint8"):
        model.embed(found.faces[0])


def test_jobs_wait_for_their_needs_and_pass_errors_on() -> None:
    jobs = {"late": Job(operator.add, (1, 2), ("early",)), "early": Job(operator.add, (3, 4))}
    assert run_jobs(jobs, 2) == {"early": 7, "late": 3}
    with pytest.raises(InputError, match="nowhere is missing"):
        run_jobs({"bad": Job(require, (Path("nowhere"), "something"))}, 1)
