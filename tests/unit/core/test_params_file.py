"""One value changes, everything else keeps its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.core.params_file import set_value

ROOT = Path(__file__).parents[3]


def test_a_key_is_added_changed_and_emptied(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    lines = (ROOT / "params.yaml").read_text().splitlines(keepends=True)
    before = "".join(line for line in lines if not line.startswith("  readmit:"))
    path.write_text(before)
    set_value(path, "curate", "readmit", {"b-0": "fine: really", "a-1": "ok # no"}, "by hand")
    first = path.read_text()
    expected = yaml.safe_load(before)
    expected["curate"]["readmit"] = {"a-1": "ok # no", "b-0": "fine: really"}
    assert yaml.safe_load(first) == expected
    added = set(first.splitlines()) - set(before.splitlines())
    assert len(added) == 3 and "  readmit:  # by hand" in added
    set_value(path, "curate", "readmit", {"c-0": "x"})
    set_value(path, "curate", "crf", 3)
    set_value(path, "curate", "readmit", {})
    content = yaml.safe_load(path.read_text())
    assert content["curate"].pop("crf") == 3 and content["curate"].pop("readmit") == {}
    assert content == yaml.safe_load(before)
    assert [
        line for line in path.read_text().splitlines() if line in before.splitlines()
    ] == before.splitlines()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(InputError, match="is missing"):
        set_value(path, "a", "b", 1)
    path.write_text("a: {b: 1}\n")
    with pytest.raises(InputError, match="no section 'a'"):
        set_value(path, "a", "b", 2)
    assert path.read_text() == "a: {b: 1}\n"


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=30), max_size=4))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, value: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("one:\n  a: 1  # first\n\ntwo:\n  b: 2\n")
    set_value(path, "one", "a", value)
    assert yaml.safe_load(path.read_text()) == {"one": {"a": value}, "two": {"b": 2}}
