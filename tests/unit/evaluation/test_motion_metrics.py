"""Smoothness, dynamic degree, beats, seams, hands and actions against VBench's loops and worked numbers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.evaluation.metrics import (
    ActionAccuracy,
    BeatAlignment,
    DynamicDegree,
    HandKeypoints,
    MotionSmoothness,
    SeamScore,
    SubjectConsistency,
    TemporalFlicker,
)
from components.evaluation.metrics.functional import (
    action_accuracy,
    action_table,
    dynamic_degree,
    flow_speed,
    hand_keypoint_scores,
    kinematic_beats,
    motion_smoothness,
    seam_score,
    subject_consistency,
    temporal_flicker,
)

NAN = float("nan")


def test_flicker_matches_vbench():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
    mae = np.mean([np.mean(cv2.absdiff(a, b)) for a, b in zip(frames[:-1], frames[1:], strict=True)])
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    assert float(temporal_flicker(tensor)) == pytest.approx((255 - mae) / 255, abs=1e-12)
    with pytest.raises(InputError, match="NaN"):
        temporal_flicker(torch.full((2, 3, 4, 4), NAN))


@pytest.mark.parametrize("count", [3, 4, 9, 10])
def test_smoothness_matches_vbench(count):
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    kept = frames[::2]
    between = ((kept[:-1].astype(int) + kept[1:]) // 2).astype(np.uint8)
    woven = [kept[0]]  # the list VBench takes every second of
    for middle, end in zip(between, kept[1:], strict=True):
        woven += [middle, end]
    scores = [np.mean(cv2.absdiff(a, b)) for a, b in zip(frames[1::2], woven[1::2], strict=False)]
    found = motion_smoothness(
        torch.from_numpy(frames).permute(0, 3, 1, 2), torch.from_numpy(between).permute(0, 3, 1, 2)
    )
    assert float(found) == pytest.approx((255 - np.mean(scores)) / 255, abs=1e-12)


def test_smoothness_refusals():
    with pytest.raises(InputError, match="T ≥ 3"):
        motion_smoothness(torch.zeros(2, 3, 4, 4), torch.zeros(0, 3, 4, 4))
    with pytest.raises(InputError, match="interpolated frames"):
        motion_smoothness(torch.zeros(5, 3, 4, 4), torch.zeros(1, 3, 4, 4))
    with pytest.raises(InputError, match="NaN"):
        motion_smoothness(torch.full((3, 3, 4, 4), NAN), torch.zeros(1, 3, 4, 4))


def vbench_moves(flows, fps):
    """`DynamicDegree` of VBench: get_score, set_params and check_move."""
    scores = []
    for u, v in flows:
        rad = np.sqrt(np.square(u) + np.square(v))
        cut = int(rad.shape[0] * rad.shape[1] * 0.05)
        scores.append(np.mean(abs(np.sort(-rad.flatten()))[:cut]))
    frames = len(flows) + 1
    threshold = max(1.0, 8.0 / fps) * 6.0 * (min(flows.shape[-2:]) / 256.0)
    needed, count = round(4 * (frames / 16.0)), 0
    for score in scores:
        count += score > threshold
        if count >= needed:
            return True, scores
    return False, scores


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 20), st.floats(0.1, 3), st.sampled_from([4.0, 8.0, 25.0]))
def test_dynamic_degree_matches_vbench(seed, pairs, size, fps):
    rng = np.random.default_rng(seed)
    strength = rng.uniform(0, size, (pairs, 1, 1, 1))
    flow = rng.normal(size=(pairs, 2, 24, 40)) * strength * 0.4
    moves, speeds = vbench_moves(flow, fps)
    tensor = torch.from_numpy(flow)
    assert flow_speed(tensor).tolist() == pytest.approx(speeds, rel=1e-9)
    assert bool(dynamic_degree(tensor, fps)) == moves


def test_dynamic_degree_refusals():
    with pytest.raises(InputError, match="at least 3 frames"):
        dynamic_degree(torch.zeros(1, 2, 16, 16))
    with pytest.raises(InputError, match="NaN"):
        dynamic_degree(torch.full((4, 2, 16, 16), NAN))
    with pytest.raises(InputError, match="too small"):
        flow_speed(torch.zeros(4, 2, 3, 3))


def test_kinematic_beats_of_a_swinging_joint():
    """A joint on a sine of 1 Hz is slowest at its turning points, twice a second."""
    times = torch.arange(100, dtype=torch.float64) / 50
    joints = torch.stack([torch.sin(2 * math.pi * times), torch.zeros(100).double()], 1)[:, None]
    beats = kinematic_beats(joints, fps=50)
    assert beats.tolist() == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=0.5 / 50 + 1e-9)
    still = kinematic_beats(torch.zeros(10, 3, 2), fps=25)
    assert not len(still)
    flat = torch.tensor([0.0, 3, 4, 5, 6, 9])[:, None, None].expand(6, 1, 2)  # speeds 3 1 1 1 3
    assert kinematic_beats(flat, fps=1).tolist() == pytest.approx([2.5])
    with pytest.raises(InputError, match="not finite"):
        kinematic_beats(torch.full((5, 1, 2), NAN))


def test_seam_by_hand():
    frames = torch.cumsum(torch.tensor([0.0, 1, 1, 1, 5, 1, 1]), 0)[:, None, None, None].expand(7, 3, 2, 2)
    assert float(seam_score(frames, torch.tensor([4]))) == pytest.approx(5)
    assert float(seam_score(frames, torch.tensor([2, 4]))) == pytest.approx(3)
    still = torch.zeros(5, 3, 2, 2)
    assert float(seam_score(still, torch.tensor([2]))) == 1
    still = torch.cat([still, still + 9])
    assert math.isinf(float(seam_score(still, torch.tensor([5]))))
    for seams, words in (([], "at least one seam"), ([0], "outside"), ([7], "outside")):
        with pytest.raises(InputError, match=words):
            seam_score(frames, torch.tensor(seams))
    with pytest.raises(InputError, match="no ordinary step"):
        seam_score(frames[:3], torch.tensor([1, 2]))


def test_hands_by_hand():
    confidence = torch.tensor([0.5, 1.0, NAN, NAN]).view(4, 1, 1).expand(4, 1, 2)
    places = torch.tensor([[0.0, 0], [0.2, 0.4], [NAN, NAN], [NAN, NAN]]).view(4, 1, 1, 2).expand(4, 1, 2, 2)
    scores = hand_keypoint_scores(confidence, places)
    assert scores.confidence == pytest.approx(0.75)
    assert scores.variance == pytest.approx(0.1**2 + 0.2**2)
    assert scores.no_hand_rate == 0.5
    none = hand_keypoint_scores(torch.full((3, 2, 21), NAN), torch.full((3, 2, 21, 2), NAN))
    assert math.isnan(none.confidence) and math.isnan(none.variance) and none.no_hand_rate == 1
    with pytest.raises(InputError, match="both a confidence"):
        hand_keypoint_scores(torch.ones(2, 1, 1), torch.full((2, 1, 1, 2), NAN))
    with pytest.raises(InputError, match="outside"):
        hand_keypoint_scores(torch.full((2, 1, 1), 1.5), torch.zeros(2, 1, 1, 2))
    metric = HandKeypoints("toy")
    metric.update(confidence, places)
    metric.update(torch.full((3, 2, 21), NAN), torch.full((3, 2, 21, 2), NAN))
    result = metric.compute()
    assert float(result["confidence"]) == pytest.approx(0.75)
    assert float(result["missing"]) == 0.5 and float(result["no_hand_rate"]) == 0.75


def test_actions_by_name():
    asked, seen = action_table(["nod", None, "wave", "smile"], [{"nod", "smile"}, {"nod"}, set(), {"smile"}])
    assert float(action_accuracy(asked, seen)) == pytest.approx(2 / 3)
    metric = ActionAccuracy(network="mesh-rules")
    metric.update(asked[:3], seen[:3])
    metric.update(asked[3:], seen[3:])
    assert float(metric.compute()) == pytest.approx(2 / 3)
    assert math.isnan(float(action_accuracy(torch.tensor([-1]), torch.ones(1, 3))))
    with pytest.raises(InputError, match="unknown action 'jump'"):
        action_table(["jump"], [set()])
    with pytest.raises(InputError, match="outside"):
        action_accuracy(torch.tensor([3]), torch.ones(1, 3))


@pytest.mark.parametrize("order", [1, -1])
def test_the_accumulating_twins(order):
    generator = torch.Generator().manual_seed(2)
    sizes = [5, 8, 13][::order]
    clips = [torch.rand(n, 3, 24, 24, generator=generator) * 255 for n in sizes]
    flicker, smooth, dynamic, seam, beats, subject = (
        TemporalFlicker(), MotionSmoothness("mean"), DynamicDegree("toy"), SeamScore(), BeatAlignment(0.1),
        SubjectConsistency("toy"),
    )  # fmt: skip
    wanted = {name: [] for name in ("flicker", "smooth", "dynamic", "seam", "beats")}
    steps = []
    for clip in clips:
        between = (clip[:-2:2] + clip[2::2]) / 2
        flow = torch.randn(len(clip) - 1, 2, 24, 24, generator=generator)
        flicker.update(clip)
        smooth.update(clip, between)
        dynamic.update(flow)
        seam.update(clip, torch.tensor([2]))
        beats.update(clip[:, 0, 0, 0] / 100, clip[:3, 0, 0, 0] / 100)
        subject.update(clip.flatten(1))
        wanted["flicker"].append(float(temporal_flicker(clip)))
        wanted["smooth"].append(float(motion_smoothness(clip, between)))
        wanted["dynamic"].append(float(dynamic_degree(flow)))
        wanted["seam"].append(float(seam_score(clip, torch.tensor([2]))))
        steps += [float(subject_consistency(clip.flatten(1)))] * (len(clip) - 1)
    assert float(flicker.compute()) == pytest.approx(np.mean(wanted["flicker"]), abs=1e-12)
    assert float(smooth.compute()) == pytest.approx(np.mean(wanted["smooth"]), abs=1e-12)
    assert float(dynamic.compute()) == np.mean(wanted["dynamic"])
    assert float(seam.compute()) == pytest.approx(np.mean(wanted["seam"]), abs=1e-12)
    assert 0 <= float(beats.compute()) <= 1
    assert float(subject.compute()) == pytest.approx(np.mean(steps), abs=1e-12)
