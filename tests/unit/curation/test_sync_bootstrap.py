"""The parts of a bootstrap that need no training: cutting, moving, holding out, choosing a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.core.errors import InputError
from components.curation.params import CurateParams
from components.curation.scores import tidy
from components.curation.steps.decode import SAMPLES_PER_FRAME
from components.curation.sync_bootstrap import (
    EDGE,
    BootstrapParams,
    Take,
    aligned,
    around,
    score,
    split,
    threshold,
    usable,
)
from tests.unit.curation.test_decide import GOOD

FRAMES = 60


def take(folder: Path, name: str = "t", recording: str = "r") -> Take:
    """A clip whose sound tells the frame it belongs to."""
    path = folder / f"{name}.npz"
    frames = np.repeat(np.arange(-EDGE, FRAMES + EDGE), SAMPLES_PER_FRAME).astype(np.float32)
    np.savez(path, mouths=np.zeros((FRAMES, 48, 48, 3), np.uint8), sound=frames)
    return Take(name, recording, path)


def test_sound_around_a_window_is_silent_beyond_the_clip() -> None:
    samples = np.repeat(np.arange(1, 91), SAMPLES_PER_FRAME).astype(np.float32)
    frames = around(samples, 15, FRAMES)[::SAMPLES_PER_FRAME]
    expected = [max(0, n) if n <= 90 else 0 for n in range(16 - EDGE, 16 + FRAMES + EDGE)]
    assert frames.tolist() == expected


@pytest.mark.parametrize("offset", [-15, -4, 0, 7, 15])
def test_an_aligned_chunk_has_its_sound_moved_back(tmp_path: Path, offset: int) -> None:
    from components.perception.sync_training import MARGIN

    with np.load(aligned(take(tmp_path), offset, tmp_path / "out")) as data:
        sound = data["sound"][0][::SAMPLES_PER_FRAME]
        assert data["mouths"].shape == (1, FRAMES, 48, 48, 3)
    assert sound.tolist() == list(range(-MARGIN - offset, FRAMES + MARGIN - offset))


def test_the_offset_that_is_found_is_the_one_that_is_undone(tmp_path: Path) -> None:
    """The convention of `sync_training.measure`: sound taken k frames late has the offset k."""

    class Planted:
        def score(self, mouths, samples):
            """A model that knows the truth: frame 0 belongs to sound 4."""
            begin = samples[0]
            return type("Scores", (), {"offset": round(float(begin)) - 4, "confidence": 9.0})()

    one = take(tmp_path)
    ((offset, _),) = score(Planted(), [one])
    assert offset == -4
    from components.perception.sync_training import MARGIN

    with np.load(aligned(one, offset, tmp_path / "out")) as data:
        assert data["sound"][0][MARGIN * SAMPLES_PER_FRAME] == 4


def test_no_recording_is_on_both_sides(tmp_path: Path) -> None:
    takes = [Take(str(n), f"r{n % 9}", tmp_path) for n in range(40)]
    rest, apart = split(takes, 0.2)
    assert len(rest) + len(apart) == 40 and 8 <= len(apart) <= 13
    assert not {t.source_video for t in rest} & {t.source_video for t in apart}
    assert split(takes[::-1], 0.2)[1][::-1] == apart  # names decide, not the order
    with pytest.raises(InputError, match="too few recordings"):
        split([Take(str(n), "one", tmp_path) for n in range(40)], 0.2)


def test_a_threshold_lets_no_more_pass_than_asked() -> None:
    values = np.random.default_rng(0).normal(2, 1, 200).tolist()
    for rate in (0.0, 0.02, 0.05, 0.5):
        limit = threshold(values, rate)
        assert np.mean(np.array(values) >= limit) <= rate
        assert np.mean(np.array(values) >= limit) >= rate - 1 / 200


def test_what_is_learnt_from_shows_one_face_and_carries_a_voice() -> None:
    changes = [{}, {"sync_confidence": -9.0}, {"has_sound": False}, {"face_rate": 0.2}, {"voice_rate": 0.0},
               {"n_frames": 40}, {"second_face_rate": 0.9}, {"problem": "corrupt: x"}]  # fmt: skip
    table = pd.DataFrame([tidy(GOOD | change) for change in changes])
    table = table.assign(clip_id=[f"c{n}" for n in range(8)], key=[f"k{n}" for n in range(8)], segment=0)
    found = usable(table, BootstrapParams(), CurateParams())
    assert sorted(found["clip_id"]) == ["c0", "c1"]  # out of sync or not: nobody knows yet
