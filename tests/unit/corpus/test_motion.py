"""Motion: calm by default, every action moves what its name says, within its time."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.vocabulary import ACTIONS
from components.corpus.motion import PITCH, ROLL, YAW, ActionInterval, pose_track
from components.corpus.people import sample_person
from components.corpus.pose import Pose
from components.corpus.speech import Speech

QUIET = Speech(np.zeros(4 * 16000, np.float32), ())
PERSON = sample_person(6)
MOVES = {
    "nod": "pitch", "shake_head": "yaw", "tilt_head": "roll", "look_left": "gaze_x", "look_right": "gaze_x",
    "look_up": "gaze_y", "look_down": "gaze_y", "smile": "smile", "raise_eyebrows": "brow",
    "lean_in": "forward", "sway": "lean",
}  # fmt: skip


def tracks(actions: list[ActionInterval], name: str) -> np.ndarray:
    return np.array([getattr(pose, name) for pose in pose_track(PERSON, QUIET, 100, actions, 1)])


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_moves_its_part_within_its_time(action: str) -> None:
    interval = [ActionInterval(action, 1.0, 3.0)]
    if action in MOVES:
        change = np.abs(tracks(interval, MOVES[action]) - tracks([], MOVES[action]))
        assert change[25:75].max() > 0.12
        assert change[:24].max() == 0 and change[76:].max() == 0
        return
    poses = pose_track(PERSON, QUIET, 100, interval, 1)
    lifted = [any((pose.left_hand, pose.right_hand)) for pose in poses]
    assert all(lifted[26:74]) and not any(lifted[:24]) and not any(lifted[76:])


def test_directions_are_the_viewers() -> None:
    assert tracks([ActionInterval("look_left", 1, 3)], "gaze_x").min() < -0.8
    assert tracks([ActionInterval("look_right", 1, 3)], "gaze_x").max() > 0.8
    assert tracks([ActionInterval("look_up", 1, 3)], "gaze_y").min() < -0.7


def test_a_talking_head_is_calm_and_moves_smoothly() -> None:
    for seed in range(6):
        poses = pose_track(PERSON, QUIET, 200, [], seed)
        for name, limit in (("yaw", YAW), ("pitch", PITCH), ("roll", ROLL)):
            track = np.array([getattr(pose, name) for pose in poses])
            assert np.abs(track).max() <= limit + 1e-6
            assert np.abs(np.diff(track)).max() < 0.025
        assert max(pose.blink for pose in poses) == 1


def test_the_same_seed_moves_alike_and_the_mood_is_kept() -> None:
    first = pose_track(PERSON, QUIET, 50, [], 3, mood=Pose(smile=0.8, holding=True))
    assert first == pose_track(PERSON, QUIET, 50, [], 3, mood=Pose(smile=0.8, holding=True))
    assert all(pose.holding and pose.smile > 0.6 for pose in first)
    assert first != pose_track(PERSON, QUIET, 50, [], 4, mood=Pose(smile=0.8, holding=True))


def test_bad_actions_are_refused() -> None:
    with pytest.raises(InputError, match="'dance'"):
        pose_track(PERSON, QUIET, 50, [ActionInterval("dance", 0, 1)], 1)
    with pytest.raises(InputError, match="before its start"):
        pose_track(PERSON, QUIET, 50, [ActionInterval("nod", 1, 0.5)], 1)
