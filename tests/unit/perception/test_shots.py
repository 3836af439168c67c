"""Cuts: a planted one is found exactly, motion and light are not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.corpus.people import dress, sample_person
from components.corpus.pose import Pose
from components.corpus.render import render
from components.perception import shots


def talking(seed: int, frames: int, clothes: int = 0) -> np.ndarray:
    person = dress(sample_person(1_900_100 + seed), clothes)
    t = np.arange(frames)
    poses = [Pose(yaw=0.25 * np.sin(i / 7), aperture=float(abs(np.sin(i / 2)))) for i in t]
    return np.stack([render(person, pose, 64) for pose in poses])


def test_planted_cut_is_found_exactly() -> None:
    clip = np.concatenate([talking(0, 34), talking(1, 40)])
    assert shots.cuts(clip) == [34]


def test_two_cuts() -> None:
    clip = np.concatenate([talking(0, 30), talking(2, 30), talking(3, 25)])
    assert shots.cuts(clip) == [30, 60]


def test_one_shot_has_no_cut_and_costs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "_network", lambda: pytest.fail("a quiet clip needs no network"))
    assert shots.cuts(talking(0, 50)) == []
    brighter = (talking(0, 50) * np.linspace(0.5, 1, 50)[:, None, None, None]).astype(np.uint8)
    assert shots.cuts(brighter) == []
    assert shots.cuts(talking(0, 1)) == []


def test_random_generators_are_left_alone() -> None:
    shots._network.cache_clear()
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    shots._network()
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_refusal() -> None:
    with pytest.raises(InputError, match="uint8"):
        shots.cuts(np.zeros((4, 8, 8), np.uint8))
