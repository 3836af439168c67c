"""The mask of a check, by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from components.gates.checks import Check, Kind, failing, of_rate, of_threshold
from components.gates.params import SECTIONS, Rate, Span, Threshold

TABLE = pd.DataFrame(
    {
        "number": [0.0, 1.0, 2.0, None],
        "word": ["a", "b", None, "b"],
        "flag": [True, False, True, True],
    }
)


@pytest.mark.parametrize(
    ("kind", "column", "more", "expected"),
    [
        ("not_null", "number", {}, [False, False, False, True]),
        ("between", "number", {"minimum": 1}, [True, False, False, False]),
        ("between", "number", {"minimum": 0, "maximum": 1}, [False, False, True, False]),
        ("value", "number", {"maximum": 1}, [False, False, True, True]),
        ("unique", "word", {}, [False, True, False, True]),
        ("in_set", "word", {"values": ("a",)}, [False, True, False, True]),
        ("in_set", "flag", {"values": (True,)}, [False, True, False, False]),
        ("matches", "word", {"pattern": "^a"}, [False, True, False, True]),
        ("between", "word", {"minimum": 1}, [True, True, True, True]),
        ("not_null", "absent", {}, [True, True, True, True]),
    ],
)
def test_mask(kind: Kind, column: str, more: dict, expected: list[bool]) -> None:
    assert failing(Check("name", kind, column, **more), TABLE).tolist() == expected


def test_what_is_allowed_is_told() -> None:
    assert of_rate("x", "between", "n", Span(minimum=0, maximum=2.5)).allowed == "between 0 and 2.5"
    assert of_rate("x", "between", "n", Span(minimum=1, maximum=1)).allowed == "= 1"
    assert of_threshold("x", "n", Threshold(maximum=0.5)).allowed == "≤ 0.5"
    assert of_threshold("x", "n", Threshold(minimum=0.9)).allowed == "≥ 0.9"


def test_a_warn_rate_above_the_fail_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"warn rate 0\.3 is above the fail rate 0\.1"):
        Rate(warn=0.3, fail=0.1)


def test_a_threshold_without_a_bound_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs a minimum or a maximum"):
        Threshold()


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_defaults_are_valid_and_survive_yaml(section: str) -> None:
    import yaml

    model = SECTIONS[section]
    text = yaml.safe_dump(model().model_dump(mode="json"))
    assert model.model_validate(yaml.safe_load(text)) == model()
    with pytest.raises(ValidationError):
        model.model_validate({"rejectd": {}})
