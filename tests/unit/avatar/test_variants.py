"""Changed copies of a clip: everything moves together, grey stays grey, left becomes right."""

from __future__ import annotations

import numpy as np
import pytest

from components.avatar.clips import CuratedClip
from components.avatar.variants import Variant, mirrored_words, variant, varied

PLAIN = Variant(False, (1.0, 1.0), 0.0, 0.0, (1.0, 1.0, 1.0), 1.0)
SIZE, FRAMES, CELLS = 64, 2, 16
POINTS = [(20, 24), (44, 26), (33, 36), (32, 46), (14, 28), (50, 30)]


def clip(colour=(0, 0, 0)):
    frames = np.full((FRAMES, SIZE, SIZE, 3), colour, np.uint8)
    keypoints = np.tile(np.array(POINTS, np.float32) + 0.5, (FRAMES, 1, 1))
    regions = np.zeros((FRAMES, 5, CELLS, CELLS), np.float32)
    regions[:, 1, 11, 8] = 1  # the mouth's cell
    boxes = np.tile(np.array([12, 14, 52, 54], np.float32), (FRAMES, 1))
    return CuratedClip("c-0", "train", "close-up", "p", frames, None, boxes, keypoints, regions)


def centre(picture):
    """Middle of mass of a plane, in pixels (a pixel's middle is at +0.5)."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]] + 0.5
    mass = picture.astype(float)
    return (x * mass).sum() / mass.sum(), (y * mass).sum() / mass.sum()


@pytest.mark.parametrize("number", range(1, 7))
def test_points_boxes_and_regions_move_with_the_picture(number):
    made = variant(3, "c-0", number)
    assert made is not None and made.mirrored == (number % 2 == 1)
    shape = Variant(made.mirrored, made.stretch, made.taper, 0.0, (1.0, 1.0, 1.0), 1.0)
    for index, (x, y) in enumerate(POINTS):
        one = clip()
        one.frames[:, y - 1 : y + 2, x - 1 : x + 2] = 255
        after = varied(one, shape)
        place = [1, 0, 2, 3, 5, 4].index(index) if made.mirrored else index
        assert centre(after.frames[0, ..., 0]) == pytest.approx(after.keypoints[0, place], abs=0.35)
    after = varied(clip(), shape)
    mouth = np.array(centre(after.regions[0, 1])) * SIZE / CELLS
    assert mouth == pytest.approx(varied(clip(), shape).keypoints[0, 3], abs=3)
    left, top, right, low = after.boxes[0]
    inside = after.keypoints[0]
    assert (inside > [left, top]).all() and (inside < [right, low]).all()


def test_mirrored_twice_is_the_clip():
    one = clip()
    one.frames[:] = np.random.default_rng(0).integers(0, 256, one.frames.shape, np.uint8)
    flip = Variant(True, (1.0, 1.0), 0.0, 0.0, (1.0, 1.0, 1.0), 1.0)
    once = varied(one, flip)
    assert np.array_equal(once.frames, one.frames[:, :, ::-1])
    twice = varied(once, flip)
    assert np.array_equal(twice.frames, one.frames) and np.allclose(twice.keypoints, one.keypoints)
    assert np.allclose(twice.boxes, one.boxes) and np.allclose(twice.regions, one.regions)


def test_colours():
    turned = Variant(False, (1.0, 1.0), 0.0, 0.3, (1.0, 1.0, 1.0), 1.0)
    assert (varied(clip((90, 90, 90)), turned).frames == 90).all()
    # cos 0.3 = 0.9553, (1 - cos)/3 = 0.0149, sin/√3 = 0.1706: 200 · (0.9702, 0.1855, -0.1557), black below 0.
    assert varied(clip((200, 0, 0)), turned).frames[0, 0, 0].tolist() == [194, 37, 0]
    gain = Variant(False, (1.0, 1.0), 0.0, 0.0, (0.5, 1.0, 1.0), 1.0)
    assert (varied(clip((200, 90, 60)), gain).frames[0, 0, 0] == [100, 90, 60]).all()
    dark = Variant(False, (1.0, 1.0), 0.0, 0.0, (1.0, 1.0, 1.0), 2.0)
    assert (varied(clip((128, 128, 128)), dark).frames == round(128**2 / 255)).all()
    assert varied(clip(), None).frames is not None and variant(3, "c-0", 0) is None
    assert np.array_equal(varied(clip((9, 99, 199)), PLAIN).frames, clip((9, 99, 199)).frames)


def test_variants_follow_from_seed_and_clip():
    assert variant(3, "c-0", 2) == variant(3, "c-0", 2)
    assert len({variant(seed, name, n) for seed in (3, 4) for name in ("a", "b") for n in (1, 2)}) == 8


def test_left_is_right_in_a_mirrored_clip():
    caption, actions = mirrored_words(
        "A man, gaze to the left.", ({"action": "look_right", "start": 0.2, "end": 1.0},)
    )
    assert caption == "A man, gaze to the right."
    assert actions == ({"action": "look_left", "start": 0.2, "end": 1.0},)
