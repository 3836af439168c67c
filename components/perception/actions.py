"""Which actions of the vocabulary a person makes, read off the face mesh over time: rules, nothing learnt.

Every signal is taken against the clip's own median, because people differ at rest. A rule fires where its
signal stays beyond its threshold for most of a second. Hands are seen as bare skin beside the head, so a
raised and a waving hand are told, pointing is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.core.errors import InputError
from components.core.vocabulary import ACTIONS, REGIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Series = NDArray[np.float64]

NAME = "mesh-rules"
SHORTEST_S = 0.7
"""An action lasts at least this long."""
LONGEST_GAP_S = 0.45
"""Two stretches of one action closer than this are one."""
FEWEST_LOOKS = 8
BROWS = ((105, 159), (334, 386))
"""Middle of each brow and of the upper lid below it."""


@dataclass(frozen=True)
class Done:
    """An action of `core.vocabulary.ACTIONS`, from `start` to `end` in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Signals:
    """One value a look (K,): angles in radians, the rest in face heights or as in `perception.landmarks`;
    each less its median. `hand` is the share of the grid beside the head that is skin, and `hand_x` where."""

    times: Series
    yaw: Series
    pitch: Series
    roll: Series
    gaze_x: Series
    gaze_y: Series
    smile: Series
    brow: Series
    x: Series
    size: Series
    hand: Series
    hand_x: Series


def signals(
    landmarks: NDArray[np.floating],
    places: NDArray[np.integer],
    fps: float,
    masks: NDArray[np.uint8] | None = None,
    neutral: NDArray[np.floating] | None = None,
) -> Signals:
    """Signals of landmarks (K,478,3) at frames `places` (K,); masks (K,5,g,g) uint8 of `REGIONS`, if any.
    neutral (478,3): the person at rest; without it, the clip's own medians are.

    Raises:
        InputError: the counts differ.
    """
    import numpy as np

    from components.perception.landmarks import face_height, gaze, head_pose, smile

    if len(landmarks) != len(places):
        raise InputError(f"{len(landmarks)} meshes for {len(places)} frames")
    points = np.asarray(landmarks, np.float64)
    if neutral is not None:
        points = np.concatenate([np.asarray(neutral, np.float64)[None], points])
    poses = np.array([head_pose(each) for each in points]).reshape(-1, 3)
    looks = np.array([gaze(each) for each in points]).reshape(-1, 2)
    heights = np.array([face_height(each) for each in points])
    usual = max(float(np.median(heights)), 1e-6) if len(heights) else 1.0
    lift = sum(np.linalg.norm(points[:, brow, :2] - points[:, lid, :2], axis=1) for brow, lid in BROWS) / (
        2 * np.maximum(heights, 1e-6)
    )
    hand, hand_x = _hands(masks, len(landmarks))

    def rest(values: Series) -> Series:
        if neutral is not None:
            return values[1:] - values[0]
        return values - np.median(values) if len(values) else values

    return Signals(
        times=np.asarray(places, np.float64) / fps,
        yaw=rest(poses[:, 0]),
        pitch=rest(poses[:, 1]),
        roll=rest(poses[:, 2]),
        gaze_x=rest(looks[:, 0]),
        gaze_y=rest(looks[:, 1]),
        smile=rest(np.array([smile(each) for each in points])),
        brow=rest(lift),
        x=rest(points[:, :, 0].mean(axis=1) / usual),
        size=rest(np.log(np.maximum(heights, 1e-6))),
        hand=hand,
        hand_x=hand_x,
    )


def _hands(masks: NDArray[np.uint8] | None, count: int) -> tuple[Series, Series]:
    """Share of the cells beside and above the chin that are hand, and their mean column in [0,1]."""
    import numpy as np

    if masks is None or not count:
        return np.zeros(count), np.zeros(count)
    hands = masks[:, REGIONS.index("hands")].astype(np.float64) / 255
    upper = hands[:, : hands.shape[1] // 2]
    columns = np.linspace(0, 1, hands.shape[2])
    total = upper.sum(axis=(1, 2))
    return total / upper[0].size, (upper.sum(axis=1) @ columns) / np.maximum(total, 1e-6)


def _smooth(values: Series, reach: int = 1) -> Series:
    """Mean over 2·reach + 1 looks, edges repeated."""
    import numpy as np

    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).mean(axis=1)


def _swing(values: Series, reach: int = 3) -> Series:
    """Strength of a swing faster than about 0.6 Hz: local standard deviation of what smoothing removes."""
    import numpy as np

    fast = values - _smooth(values, reach)
    padded = np.pad(fast, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).std(axis=1)


RULES: dict[str, Callable[[Signals], NDArray[np.bool_]]] = {
    "nod": lambda s: (_swing(s.pitch) > 0.1) & (_swing(s.pitch) > _swing(s.yaw)),
    "shake_head": lambda s: (_swing(s.yaw) > 0.14) & (_swing(s.yaw) > _swing(s.pitch)),
    "tilt_head": lambda s: abs(_smooth(s.roll)) > 0.14,
    "look_left": lambda s: (_smooth(s.yaw) < -0.19) & (_swing(s.yaw) < 0.14),
    "look_right": lambda s: (_smooth(s.yaw) > 0.19) & (_swing(s.yaw) < 0.14),
    "look_up": lambda s: (_smooth(s.pitch) < -0.14) & (_swing(s.pitch) < 0.11),
    "look_down": lambda s: (_smooth(s.pitch) > 0.14) & (_swing(s.pitch) < 0.11) & (_smooth(s.smile) < 0.1),
    "smile": lambda s: _smooth(s.smile) > 0.1,
    "raise_eyebrows": lambda s: _smooth(s.brow) > 0.025,
    "lean_in": lambda s: _smooth(s.size) > 0.1,
    "sway": lambda s: (_swing(s.x, 4) > 0.14) & (_swing(s.yaw) < 0.1),
    "wave": lambda s: (s.hand > 0.01) & (_swing(s.hand_x) > 0.02),
    "raise_hand": lambda s: (s.hand > 0.01) & (_swing(s.hand_x) <= 0.02),
}
"""Thresholds were set on clips of rendered people whose actions are known (tests tell the rates)."""


def recognise(
    landmarks: NDArray[np.floating],
    places: NDArray[np.integer],
    fps: float = 25,
    *,
    masks: NDArray[np.uint8] | None = None,
    hands: bool = True,
    neutral: NDArray[np.floating] | None = None,
) -> list[Done]:
    """The actions of a clip in order of their start; none if the mesh fitted too rarely.

    Args:
        landmarks: (K,478,3) of the frames `places` (K,), ascending; about five looks a second are enough.
        masks: (K,5,g,g) uint8, see `curation.steps.regions`; without them hand actions are not told.
        hands: whether hands can be in the picture.
        neutral: (478,3), the person at rest, as on a reference picture: a pose that is held all along is an
            action then. Without it people are taken to be at rest for most of a clip.

    Raises:
        InputError: the counts differ.
    """
    if len(places) < FEWEST_LOOKS:
        return []
    seen = signals(landmarks, places, fps, masks if hands else None, neutral)
    found = [
        Done(name, start, end)
        for name in ACTIONS
        if name in RULES
        for start, end in _stretches(RULES[name](seen), seen.times)
    ]
    return sorted(found, key=lambda each: (each.start, ACTIONS.index(each.name)))


def _stretches(active: NDArray[np.bool_], times: Series) -> list[tuple[float, float]]:
    """(start, end) in seconds of the stretches that are long enough, short gaps closed."""
    spans: list[tuple[float, float]] = []
    for index in active.nonzero()[0]:
        now = float(times[index])
        if spans and now - spans[-1][1] <= LONGEST_GAP_S:
            spans[-1] = (spans[-1][0], now)
        else:
            spans.append((now, now))
    return [(round(a, 3), round(b, 3)) for a, b in spans if b - a >= SHORTEST_S]
