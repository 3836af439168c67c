"""Near-duplicates are found through another size, another loudness and a late start; look-alikes are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.duplicates import Print, find, same
from components.curation.params import CurateParams
from components.curation.steps.fingerprint import picture_error, picture_print, sound_error, sound_print

PARAMS = CurateParams()


def scene(seed: int, frames: int = 50, size: int = 96) -> np.ndarray:
    rng = np.random.default_rng(seed)
    place = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    clip = np.repeat(place[None], frames, axis=0)
    for index in range(frames):
        cv2.circle(clip[index], (size // 2, 20 + index), 12, (200, 60, 60), -1)
    return clip


def speech(seed: int, seconds: float = 4.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(int(seconds * 16_000))
    level = np.repeat(rng.random(int(seconds * 8)) ** 2, 2_000)
    return (np.convolve(noise, rng.standard_normal(24) / 8, "same") * level * 0.1).astype(np.float32)


def printed(name: str, frames: np.ndarray, samples: np.ndarray | None, file: str = "") -> Print:
    return Print(name, file or f"{name}.mp4", picture_print(frames), sound_print(samples))


def test_another_size_and_quality_is_the_same_picture() -> None:
    rng = np.random.default_rng(0)
    clip = scene(1)
    small = np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in clip])
    noisy = np.clip(small + rng.normal(0, 4, small.shape), 0, 255).astype(np.uint8)
    assert picture_error(picture_print(clip), picture_print(noisy)) < 0.06
    assert picture_error(picture_print(clip), picture_print(scene(2))) > 0.25


def test_sound_is_the_same_when_quieter_noisier_and_later() -> None:
    samples = speech(1)
    late = np.concatenate([np.zeros(8_000, np.float32), 0.3 * samples])
    late += np.random.default_rng(3).normal(0, 1e-4, len(late)).astype(np.float32)
    assert sound_error(sound_print(samples), sound_print(late)) < 0.2
    assert sound_error(sound_print(samples), sound_print(speech(2))) > 0.4
    assert sound_error(sound_print(samples), b"") == 0.5


def test_the_first_of_a_kind_is_kept() -> None:
    clip, samples = scene(1), speech(1)
    smaller = np.stack([cv2.resize(frame, (80, 80)) for frame in clip])
    found = find(
        [
            printed("a", clip, samples),
            printed("b", scene(2), speech(2)),
            printed("c", smaller, 0.5 * samples),
            printed("d", clip, speech(3)),  # the same place, something else is said
            printed("e", scene(4), samples),  # the same words over another picture
            printed("f", clip, samples),
        ],
        PARAMS,
    )
    assert found == {"c": "a", "f": "a"}


def test_without_sound_only_a_close_match_counts() -> None:
    clip = scene(1)
    moved = np.roll(clip, 9, axis=2)
    found = find([printed("a", clip, None), printed("b", clip, None), printed("c", moved, None)], PARAMS)
    assert found == {"b": "a"}


def test_pieces_of_one_file_are_no_duplicates_of_each_other() -> None:
    clip, samples = scene(1), speech(1)
    found = find(
        [
            printed("a-0", clip, None, "a.mp4"),
            printed("a-1", clip, None, "a.mp4"),
            printed("b-0", clip, None, "b.mp4"),  # the same bytes once more: a copy, both pieces of it
            printed("b-1", clip, None, "b.mp4"),
            printed("c-0", scene(2), samples, "c.mp4"),
            printed("c-1", scene(2), samples, "c.mp4"),
            printed("d-0", scene(2), samples, "d.mp4"),
        ],
        PARAMS,
    )
    assert found == {"b-0": "a-0", "b-1": "a-0", "d-0": "c-0"}


def slow_sound_error(first: bytes, second: bytes) -> float:
    """The definition, lag by lag."""
    a, b = (np.unpackbits(np.frombuffer(each, np.uint8)).reshape(-1, 16) for each in (first, second))
    best = 0.5
    for lag in range(-50, 51):
        pairs = [(i, i - lag) for i in range(len(a)) if 0 <= i - lag < len(b)]
        if len(pairs) >= max(40, 0.6 * min(len(a), len(b))):
            rows = np.array(pairs)
            best = min(best, float((a[rows[:, 0]] != b[rows[:, 1]]).mean()))
    return best


@pytest.mark.parametrize("lengths", [(200, 200), (200, 90), (41, 260), (39, 300), (1, 1), (60, 0)])
def test_sliding_over_all_lags_is_comparing_lag_by_lag(lengths: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(lengths))
    first = rng.integers(0, 65536, lengths[0], np.uint16)
    second = rng.integers(0, 65536, lengths[1], np.uint16)
    shared = min(lengths[0] - 7, lengths[1])
    if shared > 0:  # the same 7 instants later, with some bits wrong
        second[:shared] = first[7 : 7 + shared] ^ (1 << rng.integers(0, 16, shared)).astype(np.uint16)
    one, other = first.tobytes(), second.tobytes()
    assert sound_error(one, other) == pytest.approx(slow_sound_error(one, other), abs=1e-12)
    assert sound_error(other, one) == pytest.approx(slow_sound_error(other, one), abs=1e-12)


def one_by_one(clips: list[Print]) -> dict[str, str]:
    """The definition: each clip against the originals before it with which it shares a chunk."""
    originals: list[Print] = []
    copies = {}
    for clip in clips:
        chunks = np.frombuffer(clip.picture, np.uint16)
        for other in originals:
            if (np.frombuffer(other.picture, np.uint16) == chunks).any() and same(other, clip, PARAMS):
                copies[clip.clip_id] = other.clip_id
                break
        else:
            originals.append(clip)
    return copies


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_sorting_finds_what_comparing_one_by_one_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 2, (4, 512), np.uint8)
    voices = rng.integers(0, 65536, (3, 60), np.uint16)
    clips = []
    for number in range(30):
        wrong = rng.random(512) < rng.choice((0.0, 0.03, 0.1))
        picture = np.packbits(scenes[rng.integers(4)] ^ wrong).tobytes()
        sound = voices[rng.integers(3)].tobytes() if rng.random() < 0.8 else b""
        clips.append(Print(str(number), f"{rng.integers(20)}.mp4", picture, sound))
    assert find(clips, PARAMS) == one_by_one(clips)
