"""Figures from made-up measurements with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.core.files import to_json
from components.evaluation import measures
from components.evaluation.cast import Role
from components.evaluation.instruments import INTERIOR, Seen
from components.evaluation.table import Table
from components.evaluation.work import Performance, Reality, shifts
from components.perception.syncnet import SyncScores

FRAMES = 100
PEOPLE = 4
NAMES = {"faces": "faces", "mesh": "mesh", "identity": "id@1", "sync": "sync@1"}


def sound(index):
    return np.abs(np.sin(np.arange(FRAMES) / (4 + index)))


def face(index):
    return np.random.default_rng(index).integers(0, 255, (*INTERIOR, 3)).astype(np.uint8)


def seen(index, aperture, frames=20):
    return Seen(
        found=np.ones(FRAMES, bool),
        aperture=aperture,
        embeddings=np.eye(PEOPLE, 8, dtype=np.float32)[[index] * frames],
        interiors=np.stack([face(index)] * frames),
        mouths=None,
        steadiness=0.97,
    )


def scores(confidence):
    return SyncScores(confidence=confidence, distance=5.0, offset=0, agreement=confidence)


def performance(index):
    noise = np.random.default_rng(index).normal(0, 0.05, FRAMES)
    return Performance(
        index=index, prompt="a person nods", made=seen(index, 0.5 * sound(index) + noise),
        still=seen(index, np.full(1, 0.1), 1), sound=sound(index), other_sound=sound(index + 3),
        sync_own=scores(3.0), sync_other=scores(1.0 if index else 4.0), sync_still=None,
        psnr=np.full(FRAMES, 20.0 + index), ssim=np.full(FRAMES, 0.7),
        still_psnr=np.array([math.inf, *[18.0] * (FRAMES - 1)]),
        still_ssim=np.full(FRAMES, 0.6), copula=0.6, copula_truth=0.7,
    )  # fmt: skip


def reality(index):
    return Reality(
        clip_id=f"c{index}", truth=seen(index, sound(index)), rebuilt=seen(index, 0.9 * sound(index)),
        sound=sound(index), other_sound=sound(index + 3), sync_own=scores(5.0), sync_other=scores(0.5),
        sync_rebuilt=scores(4.0), psnr_rebuilt=np.full(FRAMES, 33.0), ssim_rebuilt=np.full(FRAMES, 0.9),
        in_sync=(2.0,), shifted=(0.1, 0.2, 2.5 if index == 0 else 0.0),
    )  # fmt: skip


@pytest.fixture
def measured():
    roles = [
        Role(i, f"p{i}", "test", f"c{i}", f"c{i}", f"c{(i + 1) % PEOPLE}", "nod", seed=i)
        for i in range(PEOPLE)
    ]
    return measures.Measured(
        roles, [performance(i) for i in range(PEOPLE)], {f"c{i}": reality(i) for i in range(PEOPLE)}
    )


@pytest.fixture
def table():
    return Table(NAMES, seed=1, resamples=200, level=0.95)


def row(table, name):
    return next(item for item in table.metrics if item["name"] == name)


def test_lips(table, measured):
    measures.lips(table, measured)
    own = row(table, "aperture_correlation_own")
    assert own["value"] > 0.9 and own["low"] < own["value"] < own["high"] and own["n"] == PEOPLE
    assert own["control"] == row(table, "aperture_correlation_other")["value"] < 0.5
    assert own["network"] == "mesh"
    assert row(table, "aperture_amplitude_ratio")["value"] == pytest.approx(0.52, abs=0.05)
    assert row(table, "aperture_amplitude_ratio")["control"] == pytest.approx(0.9, abs=1e-6)
    assert row(table, "sync_wins")["value"] == 0.75
    still = next(r for r in table.rows if r["name"] == "aperture_correlation_own" and r["row"] == "still")
    assert still["value"] is None


def test_who(table, measured):
    measures.who(table, measured)
    assert row(table, "identity_top1")["value"] == 1.0
    assert row(table, "identity_top1")["control"] == 0.25
    assert row(table, "identity_top1_model")["value"] == 1.0
    assert row(table, "csim_proxy[id@1]")["value"] == 1.0
    assert row(table, "csim_proxy[id@1]")["control"] == 0.0


def test_no_face_counts_against_the_generator(table, measured):
    blind = performance(0)
    nothing = Seen(
        np.zeros(FRAMES, bool), np.full(FRAMES, math.nan), np.zeros((0, 8), np.float32),
        np.zeros((0, *INTERIOR, 3), np.uint8), None, 0.9,
    )  # fmt: skip
    blind = Performance(**{**vars(blind), "made": nothing, "sync_own": None})
    faceless = measures.Measured(measured.roles, [blind, *measured.made[1:]], measured.real)
    for part in (measures.lips, measures.who, measures.picture):
        part(table, faceless)
    assert row(table, "face_rate")["value"] == 0.75
    assert row(table, "identity_top1")["value"] == 0.75
    assert row(table, "sync_wins")["value"] == 0.75
    assert row(table, "aperture_correlation_own")["n"] == PEOPLE - 1


def test_picture(table, measured):
    measures.picture(table, measured)
    assert row(table, "psnr")["value"] == pytest.approx(21.5)
    assert row(table, "psnr")["control"] == 18.0
    assert row(table, "fid_proxy[id@1]")["value"] == pytest.approx(0, abs=1e-9)


def test_learnt(table, measured):
    training = {"validation_loss_start": 2.0, "validation_loss_end": 0.5}
    measures.learnt(table, measured, {"sync_auc": 0.99}, training)
    assert row(table, "sync_auc")["value"] == pytest.approx(11 / 12)
    assert row(table, "sync_auc")["control"] == 0.99
    assert row(table, "identity_auc")["value"] == 1.0
    assert row(table, "validation_loss_ratio")["value"] == 0.25


def test_items_and_traces_go_into_json(measured):
    items = measures.items(measured)
    assert items[0]["sync_confidence_other"] == 4.0 and items[0]["own"] is True
    assert '"index": 0' in to_json(items)
    lines = measures.traces(measured)
    assert len(lines) == PEOPLE and len(lines[0]["generated"]) == FRAMES


def test_out_of_sync_is_at_least_the_given_shift():
    assert shifts(3, 15) == [-3, 3, -9, 9, -15, 15]
    assert shifts(3, 3) == [-3, 3]
