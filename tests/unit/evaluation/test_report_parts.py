"""Numbers for people, ticks, charts, and the enhancer's figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.core.files import read_json
from components.enhancer.scoring import Outcome
from components.evaluation.enhancer_cases import Cases, case_rows, report_cases
from components.evaluation.report.data import charts_of, duration
from components.evaluation.report.figures import Series, interval_bar, line_chart, short, trace
from components.evaluation.table import Table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (0, "0"), (3, "3"), (0.5, "0.5"), (0.12345, "0.123"), (12.34, "12.3"), (123.4, "123"),
        (-0.25, "−0.25"), (25_000, "25k"), (math.inf, "∞"), (math.nan, "–"), (0.01234, "0.0123"),
        (1e-6, "1.0e−06"),
    ],
)  # fmt: skip
def test_short_numbers(value, shown):
    assert short(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.84, "0.8 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_chart_survives_gaps_and_constants():
    line = Series("loss <a>", [0, 1, 2, 3], [1.0, math.nan, 0.5, 0.5])
    drawing = line_chart([line])
    assert drawing.startswith("<svg") and "nan" not in drawing and "&lt;a&gt;" in drawing
    assert line_chart([Series("flat", [0, 1], [2.0, 2.0])])
    assert line_chart([Series("point", [0], [2.0])]) == ""
    assert line_chart([Series("loss", [0, 1], [0.0, 1.0])], logarithmic=True) == ""
    assert "nan" not in trace({"sound": [0.1, None, 0.3], "made": [None, None, None]}, 1.0)
    assert interval_bar(math.nan, None, None, None, (0, 1)) == ""


def test_related_curves_share_a_chart():
    history = [
        {"step": s, "loss": 1 / (s + 1), "validation_loss": 1.1 / (s + 1), "lr": 0.1} for s in range(5)
    ]
    charts = charts_of(history)
    assert [chart["names"] for chart in charts] == ["loss|validation_loss", "lr"]


def test_enhancer_figures_and_examples(tmp_path):
    def side(rewards, kept):
        terms = [{"img": 0.5, "time": None}] * 4
        return Outcome(["a text"] * 4, np.array(rewards), terms, np.array(kept), np.ones(4, bool), {})

    cases = Cases(
        ["nod", "nod twice", "wave", "smile"], ["nod", "nod", "wave", "smile"],
        np.zeros((4, 112, 112, 3), np.uint8), np.array([False, True, False, False]),
        side([0.5, 0.6, 0.7, math.nan], [True, False, True, True]), side([0.7, 0.9, 0.8, 0.9], [True] * 4),
        side([0.4] * 4, [True] * 4), side([0.8, 0.8, 0.8, 0.8], [True] * 4),
        [{"pose": "upright"}] * 3 + [{"pose": "leaning"}], 7,
    )  # fmt: skip
    table = Table({}, seed=1, resamples=100, level=0.95)
    report_cases(table, cases, tmp_path)
    rows = {row["name"]: row for row in table.metrics}
    assert rows["enhancer_reward_gain"]["value"] == pytest.approx(0.4)
    assert rows["enhancer_reward_gain_greedy"]["value"] == pytest.approx(0.2)
    assert rows["enhancer_reward_gain_greedy"]["n"] == 3  # unscorable on one side: left out
    assert (rows["enhancer_action_kept"]["value"], rows["enhancer_action_kept"]["control"]) == (1.0, 0.75)
    single = case_rows(cases)
    figures = [name for name in single[0] if name.startswith("enhancer_")]
    for name in figures:  # the table's figures are the means of the single cases
        values = [row[name] for row in single if row[name] is not None]
        assert rows[name]["value"] == pytest.approx(sum(values) / len(values), abs=1e-6)
        assert rows[name]["n"] == len(values)
    assert single[3]["enhancer_reward_gain_greedy"] is None and single[3]["enhancer_reward_greedy"] == 0.9
    assert [row["picture"] for row in single] == [single[0]["picture"]] * 4
    assert single[0]["seen"] == single[2]["seen"] != single[3]["seen"]
    examples = read_json(tmp_path / "enhancer" / "examples.json")
    assert [row["action"] for row in examples] == [
        "nod",
        "wave",
        "smile",
    ]  # a curated clip first, no action twice
    assert examples[0]["instruction"] == "nod twice"
    assert examples[0]["terms_after"] == {"img": 0.5, "time": None}
    assert (tmp_path / examples[0]["picture"]).exists()


def test_a_logarithmic_chart_of_small_values_is_drawn():
    assert "<svg" in line_chart([Series("loss", [0, 1, 2], [1e-8, 1e-3, 0.5])], logarithmic=True)
