"""People and pictures: a seed always gives the same pixels, people differ, words match pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.core import vocabulary
from components.core.errors import InputError
from components.corpus.people import dress, sample_person
from components.corpus.render import Hand, Pose, attributes_of, region_masks, render

SIZE = 64


def test_a_person_depends_on_the_seed_alone() -> None:
    assert sample_person(5) == sample_person(5)
    assert sample_person(5) != sample_person(6)
    np.testing.assert_array_equal(
        render(sample_person(5), Pose(), SIZE), render(sample_person(5), Pose(), SIZE)
    )


def test_a_picture_does_not_depend_on_what_was_drawn_before() -> None:
    first = render(sample_person(1), Pose(aperture=0.5), SIZE)
    for seed in range(2, 6):
        render(sample_person(seed), Pose(yaw=0.3), SIZE, "upper body")
    np.testing.assert_array_equal(first, render(sample_person(1), Pose(aperture=0.5), SIZE))


def test_other_clothes_leave_the_face_as_it_was() -> None:
    person = sample_person(8)
    dressed = dress(person, 3)
    attributes = dressed.attributes
    assert replace(dressed, attributes={}, background_seed=0, light=0) == replace(
        person, attributes={}, background_seed=0, light=0
    )
    assert attributes["hair"] == person.attributes["hair"]
    assert dress(person, 3) == dressed and dress(person, 4) != dressed


@pytest.mark.parametrize("framing", vocabulary.FRAMINGS)
def test_pictures_and_masks_have_the_asked_size(framing: str) -> None:
    person, pose = sample_person(2), Pose(left_hand=Hand(-2.0, 0.8))
    picture = render(person, pose, SIZE, framing)
    masks = region_masks(person, pose, SIZE, framing)
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert set(masks) == set(vocabulary.REGIONS)
    assert all(mask.shape == (SIZE, SIZE) and mask.dtype == bool for mask in masks.values())
    assert masks["eyes"].any() and masks["mouth"].any() and masks["jaw"].any()
    assert masks["hands"].any() == (framing != "close-up")
    rows = {name: np.argwhere(mask)[:, 0].mean() for name, mask in masks.items() if mask.any()}
    assert rows["eyes"] < rows["mouth"]


def test_the_open_mouth_changes_the_mouth_and_little_else() -> None:
    person = sample_person(4)
    shut, wide = render(person, Pose(), 128), render(person, Pose(aperture=1.0), 128)
    change = np.abs(shut.astype(int) - wide).max(2) > 24
    masks = region_masks(person, Pose(aperture=1.0), 128)
    lower = masks["mouth"] | masks["jaw"]
    assert change[masks["mouth"]].mean() > 0.4
    assert not change[masks["eyes"]].any()
    assert change[: np.argwhere(lower)[:, 0].min() - 2].sum() == 0


def test_an_unknown_framing_is_refused() -> None:
    with pytest.raises(InputError, match="framing 'portrait'"):
        render(sample_person(1), Pose(), SIZE, "portrait")


def test_attributes_follow_the_schema_and_the_pose() -> None:
    for seed in range(40):
        person = dress(sample_person(seed), seed)
        for framing in vocabulary.FRAMINGS:
            seen = attributes_of(person, Pose(), framing)
            assert set(seen) == set(vocabulary.SCALARS) | set(vocabulary.LISTS)
            assert all(seen[name] in values for name, values in vocabulary.SCALARS.items())
            assert all(set(seen[name]) <= set(values) for name, values in vocabulary.LISTS.items())
    person = sample_person(3)
    assert attributes_of(person, Pose(yaw=0.4), "close-up")["head"] == "turned right"
    assert attributes_of(person, Pose(roll=-0.2), "close-up")["head"] == "tilted"
    assert attributes_of(person, Pose(gaze_x=-0.8), "close-up")["gaze"] == "to the left"
    assert attributes_of(person, Pose(smile=-0.9), "close-up")["expression"] == "sad"
    assert attributes_of(person, Pose(lean=0.8), "close-up")["posture"] == "leaning"
    assert attributes_of(person, Pose(), "close-up")["objects"] == []
    assert attributes_of(person, Pose(holding=True), "close-up")["objects"] == person.attributes["objects"]
    assert attributes_of(person, Pose(right_hand=Hand(2, 1)), "full body")["hands"] == "raised"


@pytest.mark.parametrize("name", ("attire", "hair", "background"))
def test_every_value_of_the_vocabulary_can_be_seen(name: str) -> None:
    person = replace(sample_person(11), attributes={**sample_person(11).attributes, "accessories": []})
    pictures = [
        render(replace(person, attributes={**person.attributes, name: value}), Pose(), 112)
        for value in vocabulary.SCALARS[name]
    ]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            assert (np.abs(picture.astype(int) - other).max(2) > 12).sum() > 60


def test_every_accessory_and_object_can_be_seen() -> None:
    person = replace(sample_person(11), attributes={**sample_person(11).attributes, "accessories": []})
    plain = render(person, Pose(), 112).astype(int)
    for worn in vocabulary.ACCESSORIES:
        wearing = replace(person, attributes={**person.attributes, "accessories": [worn]})
        assert (np.abs(render(wearing, Pose(), 112) - plain).max(2) > 16).sum() > 20, worn
    mouth = region_masks(person, Pose(), 112)["mouth"]
    shown = []
    for thing in vocabulary.OBJECTS:
        holder = replace(person, attributes={**person.attributes, "objects": [thing]})
        picture = render(holder, Pose(holding=True), 112)
        assert not (np.abs(picture - plain).max(2) > 8)[mouth].any(), thing
        shown.append(picture)
    assert len({picture.tobytes() for picture in shown}) == len(vocabulary.OBJECTS)
