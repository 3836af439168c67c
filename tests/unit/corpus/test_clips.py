"""Clips and faults: the truth is true, and every fault is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE, read_video
from components.corpus.clips import Clip, make_clip
from components.corpus.faults import FAULTS, apply_fault, encoded, jittered, resampled, shifted
from components.corpus.speech import pool_of


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(21, 5, seconds=4.0, pool="test")


def test_a_clip_is_as_long_as_its_truth_says(clip: Clip) -> None:
    truth = clip.truth
    assert clip.frames.shape == (100, 128, 128, 3) and len(clip.samples) == 4 * SAMPLE_RATE
    assert truth["n_frames"] == 100 and truth["seconds"] == 4.0 and truth["person"] == 21
    assert len(truth["aperture"]) == len(truth["head"]["yaw"]) == len(truth["blink"]) == 100
    assert all(pool_of(part + ".") == "test" for part in truth["text"].rstrip(".").split(". "))
    assert truth["expected"] == {"outcome": "keep", "reason": ""}


def test_the_same_seeds_give_the_same_bytes(clip: Clip) -> None:
    assert encoded(make_clip(21, 5, seconds=4.0, pool="test")).data == encoded(clip).data


def test_clips_without_a_length_last_five_to_eight_seconds() -> None:
    for seed in range(3):
        made = make_clip(3, seed, size=32, delivery=("speech", "emotional", "singing")[seed])
        assert 5.0 <= made.truth["seconds"] <= 8.0


def test_the_mesh_sees_the_mouth_that_the_truth_tells(clip: Clip) -> None:
    from components.perception.faces import FaceMesh
    from components.perception.landmarks import aperture

    with FaceMesh() as mesh:
        points = [mesh.landmarks(frame) for frame in clip.frames]
    seen = np.array([np.nan if found is None else aperture(found) for found in points])
    truth = np.array(clip.truth["aperture"])
    assert np.isfinite(seen).all()
    assert np.corrcoef(seen, truth)[0, 1] > 0.9
    late = np.roll(seen, 5)
    lags = range(-10, 11)
    scores = [np.corrcoef(late[15:-15], truth[15 + lag : len(truth) - 15 + lag])[0, 1] for lag in lags]
    assert lags[int(np.argmax(scores))] == -5


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="framing"):
        make_clip(1, 1, framing="wide")
    with pytest.raises(InputError, match="no frame"):
        make_clip(1, 1, seconds=0.01)
    with pytest.raises(InputError, match="fault 'rain'"):
        apply_fault("rain", 1, 1)


def test_sound_shifts_by_whole_frames() -> None:
    samples = np.arange(6400, dtype=np.float32)
    late, early = shifted(samples, 2), shifted(samples, -2)
    assert not late[:1280].any() and late[1280] == 0 and late[1281] == 1
    assert early[0] == 1280 and not early[-1280:].any()


def test_rates_keep_the_duration() -> None:
    frames = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    assert len(resampled(frames, 30)) == 60
    kept, times = jittered(100, np.random.default_rng(1))
    assert kept[0] == 0 and kept[-1] == 99 and (np.diff(times) > 0).all()
    assert len(set(np.diff(times).round(3))) > 1 and 50 < len(kept) < 85


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_is_in_the_file_and_in_the_truth(kind: str, tmp_path: Path) -> None:
    made = apply_fault(kind, 40, 9, pool="train", seconds=2.2)
    truth = made.truth
    assert truth["fault"] == kind
    assert (truth["expected"]["outcome"], truth["expected"]["reason"]) == FAULTS[kind]
    path = tmp_path / "clip.mp4"
    path.write_bytes(made.data)
    if kind in ("truncated", "corrupt"):
        with pytest.raises(InputError, match="cannot be decoded"):
            read_video(path)
        return
    video = read_video(path)
    assert (video.samples is None) == (kind == "no_audio")
    if kind == "offset":
        assert 4 <= abs(truth["expected"]["offset_frames"]) <= 10
    elif kind == "frame_rate":
        assert video.fps == pytest.approx(30, abs=0.1)
    elif kind == "variable_rate":
        assert len(set(np.diff(video.times).round(2))) > 1
    elif kind == "too_short":
        assert len(video.frames) / FPS < 2
    elif kind == "hard_cut":
        steps = np.abs(np.diff(video.frames.astype(int), axis=0)).mean((1, 2, 3))
        assert int(steps.argmax()) == round(truth["expected"]["cut_seconds"] * FPS) - 1
    elif kind == "silence":
        assert video.samples is not None and np.abs(video.samples).max() < 0.01
    elif kind == "clipped_audio":
        assert video.samples is not None and (np.abs(video.samples) > 0.98).mean() > 0.02
    elif kind == "duplicate":
        assert video.frames.shape[1] == 112
