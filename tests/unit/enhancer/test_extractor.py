"""The reader of prompts against hand-written texts and against the writer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core import vocabulary as words
from components.enhancer import phrasing
from components.enhancer.extractor import actions, cues, extract
from components.perception import captions, wording


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("A man in a red jacket.", "attire", "red jacket"),
        ("She wears a white button-up shirt", "attire", "white collared shirt"),
        ("a red jacket and later a blue jacket", "attire", "unknown"),
        ("a long, black hair", "hair", "long black"),
        ("grey curly hair", "hair", "curly grey"),
        ("blonde hair tied in a bun", "hair", "bun blond"),
        ("a ginger bun", "hair", "bun red"),
        ("a bald head", "hair", "bald"),
        ("in front of a bookshelf", "background", "bookshelf"),
        ("against a BRICK\n WALL", "background", "brick wall"),
        ("sitting upright", "posture", "upright"),
        ("body leaning to one side", "posture", "leaning"),
        ("then the person leans in", "posture", "unknown"),
        ("with a smiling expression", "expression", "smiling"),
        ("the person starts smiling", "expression", "unknown"),
        ("the person smiles", "expression", "unknown"),
        ("head slightly tilted", "head", "tilted"),
        ("their head is turned to the right", "head", "turned right"),
        ("eyes cast downward", "gaze", "downward"),
        ("looking at the camera", "gaze", "at the camera"),
        ("the person looks left", "gaze", "unknown"),
        ("hands out of frame", "hands", "not visible"),
        ("holding a red book", "hands", "holding an object"),
    ],
)
def test_scalars(text: str, name: str, value: str) -> None:
    assert extract(text)[name] == value


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("glasses and a hat", "accessories", ["glasses", "hat"]),
        ("without glasses, with a scarf", "accessories", ["scarf"]),
        ("wearing no hat", "accessories", []),
        ("holding a mug", "objects", ["cup"]),
        ("a bookshelf", "objects", []),
        ("a smartphone and a mic", "objects", ["microphone", "phone"]),
    ],
)
def test_lists(text: str, name: str, values: list[str]) -> None:
    assert extract(text)[name] == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the person nods", ["nod"]),
        ("gives a shake of the head", ["shake_head"]),
        ("waves, then points a finger", ["wave", "point"]),
        ("wavy hair", []),
        ("at this point nothing happens", []),
        ("does not wave", []),
        ("nods, and nods again", ["nod", "nod"]),
        ("turn the head to the left", ["look_left"]),
        ("head turned left", []),
        ("one hand raised", []),
        ("raises a hand", ["raise_hand"]),
        ("raise both brows", ["raise_eyebrows"]),
        ("a smiling face that smiles", ["smile"]),
        ("leaning posture", []),
    ],
)
def test_actions(text: str, expected: list[str]) -> None:
    assert actions(text) == expected


@pytest.mark.parametrize("table", [phrasing.training(), phrasing.held_out()])
def test_every_instruction_is_understood(table: dict[str, tuple[phrasing.Instruction, ...]]) -> None:
    for action, rows in table.items():
        assert rows, f"no instruction for {action}"
        for row in rows:
            assert actions(row.text) == [action], row.text


def test_held_out_wordings_never_train() -> None:
    trained = {row.text for rows in phrasing.training().values() for row in rows}
    kept = {row.text for rows in phrasing.held_out().values() for row in rows}
    assert not trained & kept
    wordings = sum(len(p) for p in phrasing.PHRASINGS.values())
    carriers = (*phrasing.CARRIERS, *phrasing.TRAINING_CARRIERS)
    assert len(trained) + len(kept) == wordings * len(carriers) and len(set(carriers)) == len(carriers)
    # The carrier that is held out whole shares no opening with one that trains.
    opening = phrasing.CARRIERS[phrasing.HELD_OUT_CARRIER].split()[:2]
    assert all(carrier.split()[:2] != opening for carrier in phrasing.TRAINING_CARRIERS)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_what_is_written_is_read(seed: int) -> None:
    statement = wording.any_statement(np.random.default_rng(seed))
    read = extract(statement.text)
    for name, value in statement.attributes.items():
        assert read[name] == (value if isinstance(value, str) else sorted(value)), statement.text
    for name in set(read) - set(statement.attributes) - {"hands"}:
        assert read[name] in (words.UNKNOWN, []), statement.text
    assert actions(statement.text) == ([statement.action] if statement.action else [])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_captions_say_what_was_seen_and_no_more(seed: int) -> None:
    seen = wording.any_attributes(np.random.default_rng(seed))
    read = extract(captions.compose(seen))
    for name in words.SCALARS:
        if name != "hands":
            assert read[name] == seen[name]
    assert read["objects"] == sorted(seen["objects"])
    assert read["accessories"] == sorted(seen["accessories"])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_case_and_white_space_do_not_matter(seed: int) -> None:
    text = wording.any_statement(np.random.default_rng(seed)).text
    assert extract(text.upper().replace(" ", "  \n")) == extract(text)
    assert cues(text.upper().replace(" ", "\t")) == cues(text)
