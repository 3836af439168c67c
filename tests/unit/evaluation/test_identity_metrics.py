"""CSIM, DINO%, Face.sim% and drift against worked numbers; faces that are not there stay missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.evaluation.metrics import ArcFaceSimilarity, DinoPercent, FaceSimilarity, IdentityDrift
from components.evaluation.metrics.functional import (
    cosine_to_reference,
    csim_arcface,
    dino_percent,
    face_similarity,
    identity_drift,
)

NAN = float("nan")
REFERENCE = torch.tensor([2.0, 0.0])
ROOT = math.sqrt(0.5)


def test_cosines_by_hand_and_no_face_stays_missing():
    frames = torch.tensor([[1.0, 0], [3, 3], [NAN, NAN], [0, 5]])
    assert cosine_to_reference(frames, REFERENCE).tolist() == pytest.approx([1, ROOT, NAN, 0], nan_ok=True)
    assert float(csim_arcface(frames, REFERENCE)) == pytest.approx((1 + ROOT) / 3)
    scores = face_similarity(frames, REFERENCE)
    assert scores.percent == pytest.approx(100 * (1 + ROOT) / 3)
    assert scores.no_face_rate == 0.25


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 30), st.floats(0.01, 50))
def test_cosines_match_numpy_whatever_the_scale(seed, frames, scale):
    rng = np.random.default_rng(seed)
    rows, reference = rng.normal(size=(frames, 16)), rng.normal(size=16)
    wanted = [row @ reference / np.linalg.norm(row) / np.linalg.norm(reference) for row in rows]
    found = cosine_to_reference(torch.from_numpy(rows * scale), torch.from_numpy(reference))
    assert found.tolist() == pytest.approx(wanted, abs=1e-12)
    assert float(dino_percent(torch.from_numpy(rows), torch.from_numpy(reference))) == pytest.approx(
        100 * float(np.mean(wanted)), abs=1e-9
    )


def test_no_face_at_all_is_missing_never_zero():
    nobody = torch.full((6, 2), NAN)
    assert math.isnan(float(csim_arcface(nobody, REFERENCE)))
    scores = face_similarity(nobody, REFERENCE)
    assert math.isnan(scores.percent) and scores.no_face_rate == 1
    drift = identity_drift(nobody, REFERENCE)
    assert all(math.isnan(v) for v in (drift.start, drift.end, drift.loss, drift.per_second))
    metric = FaceSimilarity("toy")
    metric.update(nobody, REFERENCE)
    metric.update(torch.tensor([[1.0, 0], [NAN, NAN]]), REFERENCE)
    result = metric.compute()
    assert float(result["percent"]) == pytest.approx(100)
    assert float(result["no_face_rate"]) == 0.75 and float(result["missing"]) == 0.5


@pytest.mark.parametrize(
    ("features", "reference", "words"),
    [
        (torch.zeros(0, 2), REFERENCE, "at least one frame"),
        (torch.ones(3, 2), torch.ones(3), "reference"),
        (torch.tensor([[1.0, NAN]]), REFERENCE, "not finite"),
        (torch.zeros(2, 2), REFERENCE, "zero"),
        (torch.ones(2, 2), torch.zeros(2), "no face in the reference"),
        (torch.ones(2, 2), torch.full((2,), NAN), "no face in the reference"),
    ],
)
def test_refusals(features, reference, words):
    with pytest.raises(InputError, match=words):
        cosine_to_reference(features, reference)


def test_dino_refuses_missing_frames():
    with pytest.raises(InputError, match="NaN"):
        dino_percent(torch.tensor([[1.0, 0], [NAN, NAN]]), REFERENCE)


def test_drift_of_a_turning_vector():
    """The cosine falls from 1 by 0.01 a frame: 0.25 a second at 25 fps."""
    cosines = 1 - 0.01 * torch.arange(50, dtype=torch.float64)
    frames = torch.stack([cosines, (1 - cosines.square()).clamp(min=0).sqrt()], 1)
    drift = identity_drift(frames, REFERENCE, fps=25)
    assert drift.per_second == pytest.approx(-0.25, rel=1e-9)
    assert drift.start == pytest.approx(1 - 0.045) and drift.end == pytest.approx(1 - 0.445)
    assert drift.loss == pytest.approx(0.4)
    frames[10:30] = NAN  # faces that are not seen leave the slope where it was
    assert identity_drift(frames, REFERENCE).per_second == pytest.approx(-0.25, rel=1e-9)
    with pytest.raises(InputError, match="at least 5"):
        identity_drift(frames[:4], REFERENCE)
    with pytest.raises(InputError, match="fps"):
        identity_drift(frames, REFERENCE, fps=0)
    metric = IdentityDrift("toy", fps=25)
    metric.update(frames, REFERENCE)
    assert float(metric.compute()["loss"]) == pytest.approx(0.4)


def test_the_accumulating_twins():
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(4 + n, 8, generator=generator) for n in range(5)]
    reference = torch.randn(8, generator=generator)
    arcface, dino = ArcFaceSimilarity("toy"), DinoPercent("toy")
    for clip in clips:
        arcface.update(clip, reference)
        dino.update(clip, reference)
    wanted = np.mean([float(csim_arcface(clip, reference)) for clip in clips])
    assert float(arcface.compute()["csim"]) == pytest.approx(wanted, abs=1e-12)
    assert float(dino.compute()) == pytest.approx(np.mean([float(dino_percent(c, reference)) for c in clips]))
    restored = ArcFaceSimilarity("toy")
    restored.load_state_dict(arcface.state_dict())
    assert restored.totals.tolist() == arcface.totals.tolist()
    with pytest.raises(InputError, match="no item"):
        ArcFaceSimilarity("toy").compute()
