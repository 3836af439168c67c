"""From clips' states to figures: values as streamed, intervals as an evaluation makes them, none for FID."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.core.seeds import derive
from components.evaluation import metrics as m
from components.evaluation.panel.measures import Measure, Parts, Scene, View, measure
from components.evaluation.panel.states import Bootstrap, figure_rows, figures_of, intervals, state_of
from components.evaluation.statistics import mean_interval

BOOTSTRAP = Bootstrap(seed=3, resamples=400, level=0.9)


def states(metric, *clips):
    """State after each clip alone."""
    found = []
    for arguments in clips:
        metric.reset()
        metric.update(*arguments)
        found.append(state_of(metric))
    return found


def test_merged_states_are_what_streaming_gives():
    rng = np.random.default_rng(0)
    clips = [(torch.from_numpy(rng.normal(size=(count, 6))),) for count in (3, 9, 2)]
    streamed = m.SubjectConsistency("dino@1")
    for clip in clips:
        streamed.update(*clip)
    metric = m.SubjectConsistency("dino@1")
    assert figures_of(metric, states(metric, *clips))[""] == pytest.approx(
        float(streamed.compute()), rel=1e-14
    )
    frechet = m.FrechetDistance("inception@1")
    x, y = rng.normal(size=(2, 8, 3))
    parts = []
    for rows in (slice(0, 3), slice(3, 8)):
        frechet.reset()
        frechet.update(torch.from_numpy(x[rows]), real=True)
        frechet.update(torch.from_numpy(y[rows]), real=False)
        parts.append(state_of(frechet))
    whole = m.functional.frechet_distance_from_features(torch.from_numpy(x), torch.from_numpy(y))
    assert figures_of(frechet, parts)[""] == pytest.approx(float(whole), rel=1e-12)


def test_intervals_are_those_of_an_evaluation():
    """Clips of one frame count: the same draws, value and interval as `mean_interval` over clips."""
    values = np.random.default_rng(1).normal(4, 1, (9, 5))
    metric = m.PictureQuality("qalign@1")
    logits = [(torch.from_numpy(np.tile(row, (4, 1))),) for row in values]
    found = intervals(metric, states(metric, *logits), BOOTSTRAP, "iqa")[""]
    singles = [float(m.functional.quality_from_logits(each[0]).mean()) for each in logits]
    wanted = mean_interval(singles, derive(3, "bootstrap", "iqa"), 400, 0.9)
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    assert found.n == 9 and found.low < found.value < found.high
    again = intervals(metric, states(metric, *logits), BOOTSTRAP, "iqa")[""]
    assert again == found
    other = intervals(metric, states(metric, *logits), Bootstrap(4, 400, 0.9), "iqa")[""]
    assert other.value == found.value and other.low != found.low


def test_clips_weigh_by_their_frames_in_value_and_draws():
    metric = m.PeakSignalNoiseRatio(255.0)
    black = torch.zeros(12, 3, 4, 4)
    clips = [(black[:count], black[:count] + step) for count, step in ((12, 10.0), (3, 40.0), (3, 90.0))]
    found = intervals(metric, states(metric, *clips), BOOTSTRAP, "psnr")[""]
    single = [20 * math.log10(255 / step) for step in (10.0, 40.0, 90.0)]
    assert found.value == pytest.approx((12 * single[0] + 3 * single[1] + 3 * single[2]) / 18)
    # all three draws alike are 1 in 27, less than the tail of 1 in 20: the next worst and best are the ends
    assert found.low == pytest.approx((2 * single[2] + single[1]) / 3)
    assert found.high == pytest.approx((2 * 12 * single[0] + 3 * single[1]) / 27)


def test_a_clip_without_a_face_is_no_unit_of_the_figure_but_of_its_rate():
    metric = m.FaceSimilarity("arcface@1")
    seen, nobody = torch.tensor([[1.0, 0], [0, 1]]), torch.full((2, 2), math.nan)
    reference = torch.tensor([1.0, 0])
    parts = states(metric, (seen, reference), (nobody, reference), (seen, reference))
    found = intervals(metric, parts, BOOTSTRAP, "face_similarity")
    assert found["percent"].value == pytest.approx(50) and found["percent"].n == 2
    assert found["no_face_rate"].value == pytest.approx(1 / 3) and found["no_face_rate"].n == 3
    assert found["no_face_rate"].low == 0 and found["no_face_rate"].high > 0.5
    nowhere = intervals(metric, parts[1:2], BOOTSTRAP, "face_similarity")["percent"]
    assert math.isnan(nowhere.value) and nowhere.low is None and nowhere.n == 0


def test_one_clip_has_no_interval_and_an_infinite_figure_neither():
    metric = m.PeakSignalNoiseRatio(255.0)
    same = torch.zeros(2, 3, 4, 4)
    several = states(metric, (same, same), (same, same + 10))
    found = intervals(metric, several, BOOTSTRAP, "psnr")[""]
    assert math.isinf(found.value) and found.low is None and found.n == 2
    measures = [Measure("psnr", metric, lambda scene: None)]
    row = figure_rows(measures, {"a": Parts({"psnr": several[1]})}, set(), BOOTSTRAP)[0]
    assert row["low"] is None and row["n"] == 1 and row["interval"].startswith("none: fewer than two")


def test_why_a_distance_of_sets_has_no_interval():
    """Two sets of one distribution: nearly every resample is further apart than the sets are (value .70, 95%
    of draws .74 to 2.33), so percentiles of the draws are an interval that leaves its own figure out."""
    x, y = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 40, 6)))
    value = float(m.functional.frechet_distance_from_features(x, y))
    rows = np.random.default_rng(3).integers(0, 40, (200, 40))
    draws = [float(m.functional.frechet_distance_from_features(x[each], y[each])) for each in rows]
    assert np.mean(np.array(draws) > value) > 0.95
    assert np.quantile(draws, 0.025) > value


def test_distances_of_sets_have_no_interval_and_say_so():
    frechet = m.FrechetDistance("inception@1")
    rng = np.random.default_rng(0)

    def add(scene):
        frechet.update(torch.from_numpy(rng.normal(size=(4, 2))), real=True)
        frechet.update(torch.from_numpy(rng.normal(size=(4, 2))), real=False)

    def refuse(scene):
        raise InputError("no sound")

    each = Measure("fid_x", frechet, add, "inception", ("real",), of_set=True)
    sync = Measure("sync", m.SyncScore("syncnet@1"), refuse, "syncnet")
    view = View(np.zeros((2, 4, 4, 3), np.uint8))
    parts = {name: measure(Scene(view, view), [each, sync]) for name in "ab"}
    fid, missing = figure_rows([each, sync], parts, {"inception@1"}, BOOTSTRAP)
    assert fid["name"] == "fid_x[inception@1]" and fid["value"] > 0 and fid["n"] == 2
    assert fid["low"] is None and fid["interval"].startswith("none: a Fréchet distance")
    assert missing["value"] is None and missing["n"] == 0
    assert missing["left_out"] == ["a: no sound", "b: no sound"]
    assert measure(Scene(view), [each]) == Parts()  # nothing to compare with: not asked, no reason


def test_a_view_asks_a_network_once():
    view, asked = View(np.zeros((11, 4, 4, 3), np.uint8)), []
    for _ in range(2):
        assert view.once("dino", lambda _: asked.append(1) or 7) == 7
    assert asked == [1] and len(view.few) == 3
