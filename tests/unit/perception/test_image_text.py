"""The judge's grades by hand, and a tiny judge that learns them."""

from __future__ import annotations

import pytest

from components.core import vocabulary as words
from components.perception.image_text import CRITERIA, LEFT_OUT, grade, picture_features

SEEN = {
    "hair": "bald", "attire": "red jacket", "accessories": ["hat"], "posture": "upright",
    "head": "tilted", "gaze": "downward", "hands": "not visible", "background": "park",
    "objects": [], "expression": "sad",
}  # fmt: skip


def graded(said: dict, action: str | None = "nod") -> dict[str, float]:
    return dict(zip(CRITERIA, grade(SEEN, said, action), strict=True))


def test_everything_right() -> None:
    assert graded(SEEN) == {"identity": 1.0, "pose": 1.0, "scene": 1.0, "motion": 1.0}


def test_nothing_said() -> None:
    told = graded({}, None)
    assert told["pose"] == LEFT_OUT
    assert told["motion"] == LEFT_OUT
    assert told["identity"] == pytest.approx((LEFT_OUT + LEFT_OUT + 0) / 3)


def test_a_wrong_word_is_worse_than_none() -> None:
    assert graded({**SEEN, "background": "office"})["scene"] == 0.0
    assert graded({**SEEN, "background": "unknown"})["scene"] == LEFT_OUT


def test_an_invented_object_hurts_the_scene() -> None:
    assert graded({**SEEN, "objects": ["cup"]})["scene"] == pytest.approx(0.5)


def test_hidden_hands_cannot_wave() -> None:
    assert graded(SEEN, "wave")["motion"] == 0.0
    assert grade({**SEEN, "hands": "raised"}, SEEN, "wave")[3] == 1.0


def test_picture_features() -> None:
    features = picture_features(SEEN)
    assert len(features) == sum(map(len, words.SCALARS.values())) + sum(map(len, words.LISTS.values()))
    assert features.sum() == 9  # eight scalars and a hat
    unsure = picture_features({**SEEN, "probabilities": {"hair": 0.6}})
    assert unsure.sum() == pytest.approx(8.6)
