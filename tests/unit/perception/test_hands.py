"""The hand tracker: a picture without hands is missing, not a confidence of 0."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import InputError
from components.perception.hands import NAME, HandTracker


def test_no_hands_are_missing() -> None:
    with HandTracker() as tracker:
        assert tracker.name == NAME
        confidence, positions = tracker.look(np.full((2, 64, 96, 3), 128, np.uint8))
        assert confidence.shape == (2, 2, 21) and positions.shape == (2, 2, 21, 2)
        assert np.isnan(confidence).all() and np.isnan(positions).all()
        with pytest.raises(InputError, match="uint8"):
            tracker.look(np.zeros((2, 64, 96, 3)))


def test_positions_are_in_frame_heights() -> None:
    """The model's own coordinates are shares of width and height; a wide frame stretches x."""
    tracker = HandTracker()
    tracker._hands = lambda frame: [  # type: ignore[method-assign]
        (1, 0.5, np.full((21, 2), 0.1)), (1, 0.9, np.full((21, 2), 0.5)), (1, 0.7, np.full((21, 2), 0.2)),
    ]  # fmt: skip
    confidence, positions = tracker.look(np.zeros((1, 50, 100, 3), np.uint8))
    assert np.isnan(confidence[0, 0]).all()
    assert confidence[0, 1] == pytest.approx(0.9)  # of two hands of one side the surer stays
    assert positions[0, 1, 0] == pytest.approx([1.0, 0.5])
