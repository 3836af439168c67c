"""The accumulating sync metric against the function, with a planted offset."""

from __future__ import annotations

import pytest
import torch

from components.core.errors import InputError
from components.evaluation.metrics import SyncScore
from components.evaluation.metrics.functional import sync_scores


def embeddings(shift, seed):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(80, 32, generator=generator)
    return base[10:70], base[10 - shift : 70 - shift]


def test_planted_offset_and_means():
    metric = SyncScore(network="toy")
    wanted = []
    for shift, seed in ((0, 1), (4, 2), (-3, 3)):
        video, audio = embeddings(shift, seed)
        scores = sync_scores(video, audio)
        assert abs(int(scores.offset)) == abs(shift)
        wanted.append(float(scores.confidence))
        metric.update(video, audio)
    result = metric.compute()
    assert float(result["confidence"]) == pytest.approx(sum(wanted) / 3, rel=1e-6)
    assert float(result["absolute_offset"]) == pytest.approx(7 / 3)
    with pytest.raises(InputError, match="no clip"):
        SyncScore(network="toy").compute()
