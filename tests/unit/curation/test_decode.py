"""Spans, crops and bounded memory of the decoder, against the whole file decoded at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.media import SAMPLE_RATE, encode_video, read_video
from components.curation.steps.decode import SAMPLES_PER_FRAME, Decoder, Samples, Stretch


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s of 96×64 with a moving gradient (frame n is recognisable) and a chirp."""
    rows, columns = np.mgrid[0:64, 0:96]
    frames = np.stack([(columns + 2 * rows + 3 * n) % 256 for n in range(200)]).astype(np.uint8)
    times = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    sound = 0.5 * np.sin(2 * np.pi * (200 + 100 * times) * times).astype(np.float32)
    path = tmp_path_factory.mktemp("decode") / "talk.mp4"
    path.write_bytes(encode_video(np.repeat(frames[..., None], 3, -1), sound, crf=12))
    return path


def decoded(path: Path, **how) -> tuple[list[Stretch], Decoder]:
    decoder = Decoder(path, **({"side": 512, "longest": 30.0} | how))
    return list(decoder.stretches()), decoder


def test_a_span_is_the_same_pictures_and_sound_as_in_the_whole(talk: Path) -> None:
    (whole,), _ = decoded(talk)
    (part,), _ = decoded(talk, start=3.2, end=6.4)
    assert len(part.frames) == 80
    np.testing.assert_array_equal(part.frames, whole.frames[80:160])
    expected = whole.samples[80 * SAMPLES_PER_FRAME : 160 * SAMPLES_PER_FRAME]
    assert np.abs(part.samples - expected).max() < 1e-4


def test_stretches_hold_what_one_stretch_holds(talk: Path) -> None:
    (whole,), one = decoded(talk)
    parts, many = decoded(talk, longest=2.5, claimed=8.0)
    assert [len(part.frames) for part in parts] == [50, 50, 50, 50]
    np.testing.assert_array_equal(np.concatenate([part.frames for part in parts]), whole.frames)
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole.samples)
    assert (one.packets, one.errors, one.seconds) == (many.packets, many.errors, many.seconds)


def test_a_crop_is_that_part_of_the_picture(talk: Path) -> None:
    frames = read_video(talk, audio=False).frames
    (part,), _ = decoded(talk, crop=(10, 20, 40, 30))
    np.testing.assert_array_equal(part.frames, frames[:, 20:50, 10:50])
    (beyond,), _ = decoded(talk, crop=(70, 50, 40, 30))
    np.testing.assert_array_equal(beyond.frames, frames[:, 34:64, 56:96])
    (small,), _ = decoded(talk, crop=(0, 0, 60, 60), side=30)
    assert small.frames.shape[1:3] == (30, 30)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 50), max_size=12), st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_samples_come_in_any_lengths(pieces: list[int], wanted: list[int]) -> None:
    stream = np.arange(1, sum(pieces) + 1, dtype=np.float32)
    cuts = np.split(stream, np.cumsum(pieces)[:-1]) if pieces else []
    samples = Samples(iter(cuts))
    taken = [samples.take(count) for count in wanted]
    if not pieces:
        assert all(part is None for part in taken)
        return
    padded = np.concatenate([stream, np.zeros(sum(wanted), np.float32)])[: sum(wanted)]
    np.testing.assert_array_equal(np.concatenate(taken), padded)


def test_a_clock_that_jumps_by_hours_costs_no_memory(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound frame that claims to be three hours later asks for 690 MB of silence."""
    import tracemalloc

    real = Decoder._packets
    late = 3 * 3600 * SAMPLE_RATE

    def jumping(self, container, stream):
        for number, frame in enumerate(real(self, container, stream)):
            if stream.type == "audio" and number > 20:
                frame.pts += int(late / SAMPLE_RATE / frame.time_base)
            yield frame

    monkeypatch.setattr(Decoder, "_packets", jumping)
    tracemalloc.start()
    (whole,), _ = decoded(talk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(whole.samples) == 8 * SAMPLE_RATE and not whole.samples[-SAMPLE_RATE:].any()
    assert peak < 60e6
