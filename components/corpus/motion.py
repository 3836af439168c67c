"""How a person moves while talking: drift, blinks, glances, and the fourteen actions of the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS
from components.core.seeds import derive
from components.core.vocabulary import ACTIONS, HAND_ACTIONS
from components.corpus.pose import Hand, Pose, holding_side
from components.corpus.speech import Speech, envelope, opening_track, width_track

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.corpus.people import Person

    Track = NDArray[np.float64]

YAW, PITCH, ROLL = 0.18, 0.12, 0.015
"""Amplitudes of the slow drift of the head in radians."""


class ActionInterval(NamedTuple):
    """An action of `core.vocabulary.ACTIONS` between two times in seconds."""

    name: str
    start: float
    end: float


@dataclass
class _Tracks:
    """Everything that moves, one array (T,) each."""

    values: dict[str, Track]
    hands: dict[int, list[Hand | None]]
    t: Track


def _bump(t: Track, start: float, end: float, ramp: float = 0.3) -> Track:
    """Rises to 1 over `ramp` seconds, stays, falls back to 0 at `end`."""
    edge = min(ramp, (end - start) / 2)
    rise = np.clip((t - start) / edge, 0, 1)
    fall = np.clip((end - t) / edge, 0, 1)
    level = np.minimum(rise, fall)
    return level * level * (3 - 2 * level)


def _drift(rng: np.random.Generator, t: Track, slow: float = 0.35) -> Track:
    """A smooth wander in about [-1,1], never faster than `slow` hertz."""
    total = np.zeros_like(t)
    for share in (0.55, 0.3, 0.15):
        total += share * np.sin(2 * np.pi * (rng.uniform(0.2, 1.0) * slow * t + rng.uniform()))
    return total


def pose_track(
    person: Person,
    speech: Speech,
    frames: int,
    actions: list[ActionInterval] | tuple[ActionInterval, ...],
    seed: int,
    fps: float = FPS,
    calm: float = 1.0,
    mood: Pose | None = None,
) -> list[Pose]:
    """The pose at the middle of each frame.

    Args:
        calm: scales the drift of head and gaze; 1 is the calm talking head, 2 a lively one.
        mood: what is held throughout (smile, brow, lean, holding, gaze …); motion is added to it.

    Raises:
        InputError: an action is unknown or ends before it starts.
    """
    rest = mood or Pose()
    rng = np.random.default_rng(derive(seed, "motion", person.seed))
    t: Track = (np.arange(frames, dtype=np.float64) + 0.5) / fps
    loud = np.interp(t * 100, np.arange(max(len(speech.samples) // 160, 1)), _padded(speech))
    beat = np.convolve(loud, np.ones(7) / 7, mode="same") if frames >= 7 else loud
    v: dict[str, Track] = {
        "yaw": rest.yaw + calm * YAW * _drift(rng, t),
        "pitch": rest.pitch + calm * (PITCH * 0.8 * _drift(rng, t) + 0.03 * (beat - beat.mean())),
        "roll": rest.roll + calm * ROLL * _drift(rng, t),
        "aperture": opening_track(speech, frames, fps),
        "mouth_width": width_track(speech, frames, fps),
        "smile": rest.smile + 0.08 * _drift(rng, t),
        "blink": _blinks(rng, t),
        "gaze_x": rest.gaze_x + 0.05 * _drift(rng, t),
        "gaze_y": rest.gaze_y + 0.04 * _drift(rng, t),
        "brow": rest.brow + 0.14 * np.clip(beat - 0.4, 0, 1) + 0.05 * _drift(rng, t),
        "lean": rest.lean + calm * 0.06 * _drift(rng, t, 0.2),
        "forward": np.full(frames, rest.forward),
    }
    if rest.gaze_x == 0 and rest.gaze_y == 0:
        _glances(rng, t, v)
    tracks = _Tracks(v, {-1: [rest.left_hand] * frames, 1: [rest.right_hand] * frames}, t)
    for action in actions:
        if action.name not in ACTIONS:
            raise InputError(f"action {action.name!r} is none of {', '.join(ACTIONS)}")
        if action.end <= action.start:
            raise InputError(
                f"action {action.name} ends at {action.end} s, before its start at {action.start} s"
            )
        _act(tracks, action, person)
    limits = {
        "aperture": (0, 1),
        "blink": (0, 1),
        "forward": (0, 1),
        "yaw": (-1.4, 1.4),
        "pitch": (-0.9, 0.9),
        "roll": (-0.9, 0.9),
    }
    for name, track in v.items():
        low, high = limits.get(name, (-1, 1))
        v[name] = np.clip(track, low, high)
    rows = [{name: round(float(track[index]), 5) for name, track in v.items()} for index in range(frames)]
    return [
        replace(
            rest,
            left_hand=tracks.hands[-1][index],
            right_hand=tracks.hands[1][index],
            **rows[index],  # type: ignore[arg-type]
        )
        for index in range(frames)
    ]


def _padded(speech: Speech) -> Track:
    count = max(len(speech.samples) // 160, 1)
    loud = envelope(speech.samples)[:count]
    return np.pad(loud, (0, count - len(loud)))


def _blinks(rng: np.random.Generator, t: Track) -> Track:
    track = np.zeros_like(t)
    at = rng.uniform(0.4, 2.5)
    while len(t) and at < t[-1]:
        track = np.maximum(track, np.clip(1.25 - np.abs(t - at) / 0.085, 0, 1))
        at += rng.uniform(1.8, 4.2)
    return track


def _glances(rng: np.random.Generator, t: Track, v: dict[str, Track]) -> None:
    at = rng.uniform(1.5, 4.0)
    while len(t) and at < t[-1]:
        level = _bump(t, at, at + rng.uniform(0.4, 0.8), 0.1)
        v["gaze_x"] = v["gaze_x"] + rng.uniform(-0.35, 0.35) * level
        v["gaze_y"] = v["gaze_y"] + rng.uniform(-0.2, 0.3) * level
        at += rng.uniform(2.5, 5.0)


def _act(tracks: _Tracks, action: ActionInterval, person: Person) -> None:
    v, t = tracks.values, tracks.t
    level = _bump(t, action.start, action.end)
    since = t - action.start
    if action.name == "nod":
        v["pitch"] += level * (0.06 + 0.2 * np.sin(2 * np.pi * 1.6 * since))
    elif action.name == "shake_head":
        v["yaw"] += level * 0.34 * np.sin(2 * np.pi * 1.5 * since)
    elif action.name == "tilt_head":
        side = 1 if derive(person.seed, "tilt") % 2 else -1
        v["roll"] += level * 0.27 * side
    elif action.name in ("look_left", "look_right"):
        side = 1 if action.name == "look_right" else -1
        v["gaze_x"] = v["gaze_x"] * (1 - level) + 0.95 * side * level
        v["yaw"] = v["yaw"] * (1 - 0.7 * level) + 0.4 * side * level
    elif action.name in ("look_up", "look_down"):
        side = 1 if action.name == "look_down" else -1
        v["gaze_y"] = v["gaze_y"] * (1 - level) + 0.95 * side * level
        v["pitch"] += 0.26 * side * level
    elif action.name == "smile":
        v["smile"] = v["smile"] * (1 - level) + 0.95 * level
    elif action.name == "raise_eyebrows":
        v["brow"] = v["brow"] * (1 - level) + level
    elif action.name == "lean_in":
        v["forward"] = np.maximum(v["forward"], level)
    elif action.name == "sway":
        v["lean"] += level * 0.75 * np.sin(2 * np.pi * 0.7 * since)
    elif action.name in HAND_ACTIONS:
        _lift(tracks, action, level, person)


def _lift(tracks: _Tracks, action: ActionInterval, level: Track, person: Person) -> None:
    """Raises the hand that holds nothing."""
    side = -holding_side(person)
    rest = (side * person.shoulder * 1.12, 4.35)
    swing = np.sin(2 * np.pi * 1.8 * (tracks.t - action.start))
    for index, share in enumerate(level):
        if share <= 0:
            continue
        if action.name == "wave":
            target = (side * (2.05 + 0.3 * float(swing[index])), 0.75)
            gesture = "open"
        elif action.name == "point":
            target, gesture = (side * 2.5, 1.9), "point"
        else:
            target, gesture = (side * 1.95, 0.95), "open"
        x = rest[0] + (target[0] - rest[0]) * float(share)
        y = rest[1] + (target[1] - rest[1]) * float(share)
        tracks.hands[side][index] = Hand(round(x, 4), round(y, 4), gesture)
