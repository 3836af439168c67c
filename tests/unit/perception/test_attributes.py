"""The attribute model on a handful of rendered people: schema, files, repeatability, mirrors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.core import vocabulary as words
from components.core.files import digest_tree
from components.perception import attributes
from components.perception.people import People
from components.perception.trunk import BODY, MESH_FEATURES, body_view, square


@pytest.fixture(scope="module")
def people() -> People:
    from components.corpus.people import sample_person
    from components.corpus.pose import Pose, attributes_of
    from components.corpus.render import render

    rows, pictures = [], []
    for number in range(12):
        person, pose = sample_person(5000 + number), Pose(holding=number % 2 == 0)
        pictures.append(render(person, pose, 112, "close-up"))
        rows.append(
            {
                "person": number, "held_out": number >= 10, "framing": "close-up",
                "attributes": json.dumps(attributes_of(person, pose, "close-up")),
                "x0": 30.0, "y0": 25.0, "x1": 82.0, "y1": 77.0,
            }
        )  # fmt: skip
    images = np.stack(pictures)
    return People(images, images, pd.DataFrame(rows))


@pytest.fixture(scope="module")
def folder(people: People, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attributes")
    told = attributes.train(people, path, 1, epochs=1, batch=4, width=4)
    assert set(told) == {f"accuracy_{name}" for name in (*words.SCALARS, *words.LISTS)}
    return path


def test_schema(folder: Path, people: People) -> None:
    model = attributes.AttributeModel.load(folder)
    for row in model.predict(people.pictures[:2], threshold=0.0):
        for name, values in words.SCALARS.items():
            assert row[name] in (*values, words.UNKNOWN)
            assert 0 <= row["probabilities"][name] <= 1
        for name, values in words.LISTS.items():
            assert set(row[name]) <= set(values)


def test_no_face_no_facial_attributes(folder: Path) -> None:
    model = attributes.AttributeModel.load(folder)
    row = model.predict(np.full((1, 90, 120, 3), 127, np.uint8), threshold=0.0)[0]
    assert {row[name] for name in attributes.FACE_SCALARS} == {words.UNKNOWN}


def test_unsure_is_unknown(folder: Path, people: People) -> None:
    model = attributes.AttributeModel.load(folder)
    row = model.predict(people.pictures[:1], threshold=1.01)[0]
    assert {row[name] for name in words.SCALARS} == {words.UNKNOWN}
    assert row["objects"] == []


def test_the_same_seed_gives_the_same_bytes(folder: Path, people: People, tmp_path: Path) -> None:
    attributes.train(people, tmp_path, 1, epochs=1, batch=4, width=4)
    assert digest_tree(tmp_path) == digest_tree(folder)


def test_mirrored_attributes() -> None:
    seen = {"head": "turned left", "gaze": "to the right", "hands": "raised", "objects": ["cup"]}
    assert attributes.mirrored(seen) == {
        "head": "turned right", "gaze": "to the left", "hands": "raised", "objects": ["cup"],
    }  # fmt: skip
    assert attributes.mirrored(attributes.mirrored(seen)) == seen


def test_views_have_their_sizes() -> None:
    frame = np.zeros((50, 80, 3), np.uint8)
    assert square(frame).shape == (112, 112, 3)
    assert body_view(square(frame), (40, 20, 70, 55)).shape == (BODY, BODY, 3)
    assert MESH_FEATURES > 50
