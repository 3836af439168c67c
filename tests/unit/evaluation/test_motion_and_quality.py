"""Beat alignment, consistency, flicker and quality against worked numbers."""

from __future__ import annotations

import math

import pytest
import torch

from components.core.errors import InputError
from components.evaluation.metrics.functional import (
    beat_alignment,
    quality_from_logits,
    subject_consistency,
    temporal_flicker,
)


def test_quality_is_the_expected_level():
    assert float(quality_from_logits(torch.zeros(5))) == pytest.approx(0.5)
    logits = torch.log(torch.tensor([[4.0, 3, 2, 1, 0.5], [1, 1, 1, 1, 96]]))
    first = (4 + 3 * 0.75 + 2 * 0.5 + 0.25) / 10.5
    assert quality_from_logits(logits).tolist() == pytest.approx([first, 2.5 / 100], rel=1e-6)
    with pytest.raises(InputError, match="5"):
        quality_from_logits(torch.zeros(4))


def test_beat_alignment_by_hand():
    motion, music = torch.tensor([1.0, 2.05, 3.5]), torch.tensor([0.0, 1.0, 2.0])
    wanted = (1 + math.exp(-0.5) + math.exp(-(1.5**2) / (2 * 0.05**2))) / 3
    assert float(beat_alignment(motion, music, 0.05)) == pytest.approx(wanted, rel=1e-6)
    empty = torch.zeros(0)
    assert float(beat_alignment(empty, music, 0.05)) == 0
    assert float(beat_alignment(motion, empty, 0.05)) == 0
    with pytest.raises(InputError, match="positive"):
        beat_alignment(motion, music, 0.0)


def test_subject_consistency_by_hand():
    features = torch.tensor([[1.0, 0], [1, 1], [0, 2], [-3, 0]])
    root = math.sqrt(0.5)
    wanted = ((root + root) / 2 + (root + 0) / 2 + (0 + 0) / 2) / 3
    assert float(subject_consistency(features)) == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(InputError, match="at least 2 frames"):
        subject_consistency(features[:1])
    with pytest.raises(InputError, match="no direction"):
        subject_consistency(torch.zeros(3, 2))


def test_flicker_by_hand():
    frames = torch.zeros(3, 3, 2, 2)
    frames[1] += 51
    assert float(temporal_flicker(frames)) == pytest.approx((255 - 51) / 255)
    assert float(temporal_flicker(frames[:1].repeat(2, 1, 1, 1))) == 1
