"""Geometry of the aligned face interior."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation.instruments import (
    ANCHORS,
    EYES_AND_MOUTH,
    INTERIOR,
    face_interior,
    interior_features,
    similarity,
)


def test_similarity_recovers_a_known_transform():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(3, 2))
    angle, scale, shift = 0.3, 1.7, np.array([4.0, -2.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(source, source @ turn.T + shift)
    assert matrix[:, :2] == pytest.approx(turn)
    assert matrix[:, 2] == pytest.approx(shift)


def test_eyes_and_mouth_land_on_their_anchors():
    points = np.zeros((478, 3), np.float32)
    places = np.array([[20.0, 24.0], [44.0, 24.0], [32.0, 54.0]])
    frame = np.zeros((80, 80, 3), np.uint8)
    for (a, b), place in zip(EYES_AND_MOUTH, places, strict=True):
        points[a, :2], points[b, :2] = place - (3, 0), place + (3, 0)
        x, y = place.astype(int)
        frame[y - 1 : y + 2, x - 1 : x + 2] = 255
    interior = face_interior(frame, points)
    assert interior.shape == (*INTERIOR, 3)
    assert all(interior[int(y), int(x)].min() > 100 for x, y in ANCHORS)


def test_features_ignore_light_but_not_shape():
    rng = np.random.default_rng(1)
    a = rng.integers(40, 120, size=(1, *INTERIOR, 3)).astype(np.uint8)
    brighter = (a * 1.5 + 10).astype(np.uint8)
    other = rng.integers(40, 120, size=a.shape).astype(np.uint8)
    x, y, z = (interior_features(v)[0] for v in (a, brighter, other))
    assert x @ y > 0.99
    assert abs(x @ z) < 0.2
    assert interior_features(a[:0]).shape[0] == 0


def test_silent_sound_has_no_sync():
    """Silence gives constant embeddings: a declared missing value, not a score."""
    from types import SimpleNamespace

    from components.evaluation.instruments import Instruments

    tool = object.__new__(Instruments)
    tool.sync = SimpleNamespace(score=lambda mouths, samples: "scored")
    mouths = np.zeros((30, 48, 48, 3), np.uint8)
    assert tool.hear(mouths, np.zeros(16_000, np.float32)) is None
    assert tool.hear(None, np.ones(16_000, np.float32)) is None
    assert tool.hear(mouths, np.full(16_000, 0.1, np.float32)) == "scored"
