"""The key of work in progress: other parameters, inputs or code give another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import InputError
from components.enhancer import training
from components.enhancer.params import EnhancerSftParams
from components.enhancer.training import content_key


def test_the_key_changes_with_parameters_inputs_and_seed() -> None:
    keys = [
        content_key("sft", EnhancerSftParams(), 1, ["a"]),
        content_key("sft", EnhancerSftParams(steps=7), 1, ["a"]),
        content_key("sft", EnhancerSftParams(), 2, ["a"]),
        content_key("sft", EnhancerSftParams(), 1, ["b"]),
    ]
    assert len(set(keys)) == 4
    assert content_key("sft", EnhancerSftParams(), 1, ["a"]) == keys[0]


def test_the_key_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    inside, alone = tmp_path / "room" / "pairs.py", tmp_path / "text.py"
    inside.write_text("A = 1\n")
    alone.write_text("B = 1\n")
    monkeypatch.setattr(training, "SOURCES", (inside.parent, alone))
    first = content_key("sft", 1)
    assert content_key("sft", 1) == first
    inside.write_text("A = 2\n")
    second = content_key("sft", 1)
    alone.write_text("B = 2\n")
    assert len({first, second, content_key("sft", 1)}) == 3
    alone.unlink()
    with pytest.raises(InputError, match="text.py is missing"):
        content_key("sft", 1)


def test_what_the_texts_and_rewards_are_made_by_is_in_the_key() -> None:
    names = {f"{place.parent.name}/{place.name}" for place in training.SOURCES}
    assert {"components/enhancer", "perception/text.py", "perception/wording.py", "core/seeds.py"} <= names
    assert all(place.exists() for place in training.SOURCES)
