"""Speech segments, envelope, clipping and speakers, on synthesised voices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.corpus.speech import sentence, synthesise
from components.perception import voice


@cache
def said(seed: int, feminine: bool) -> np.ndarray:
    return synthesise(sentence(seed, "other"), seed, "speech", feminine).samples


def test_speech_is_found_between_silences() -> None:
    speech = said(11, True)
    gap = np.zeros(16_000, np.float32)
    segments = voice.speech_segments(np.concatenate([gap, speech, gap]))
    begin, end = segments[0][0], segments[-1][1]
    assert 0.7 < begin < 1.4
    assert abs(end - (1 + len(speech) / 16_000)) < 0.5
    assert voice.speech_segments(np.zeros(32_000, np.float32)) == []
    assert voice.speech_segments(np.zeros(0, np.float32)) == []


def test_envelope_by_hand() -> None:
    samples = np.concatenate([np.full(640, 0.5), np.zeros(640), np.full(320, 1.0)]).astype(np.float32)
    assert voice.envelope(samples, 4) == pytest.approx([0.5, 0, np.sqrt(0.5), 0], abs=1e-6)


@given(frames=st.integers(1, 60), fps=st.sampled_from([24.0, 25.0, 29.97, 30.0]))
@settings(max_examples=15, deadline=None)
def test_envelope_has_a_value_a_frame(frames: int, fps: float) -> None:
    found = voice.envelope(np.full(48_000, 0.25, np.float32), frames, fps)
    assert found.shape == (frames,)
    assert found[: min(frames, int(3 * fps) - 1)] == pytest.approx(0.25, abs=1e-5)


def test_clipping_is_seen_and_speech_is_not() -> None:
    speech = said(12, False)
    assert voice.clipping_rate(speech) < 0.001
    clipped = np.clip(speech * 8, -1, 1)
    assert voice.clipping_rate(clipped) > 0.01
    assert voice.clipping_rate(clipped * 0.3) == pytest.approx(voice.clipping_rate(clipped), rel=0.1)
    assert voice.clipping_rate(np.zeros(100, np.float32)) == 0


def test_one_and_two_speakers() -> None:
    man, woman = said(13, False), said(14, True)
    for one in (man, woman):
        joined = np.concatenate([one, one])
        assert voice.speaker_change(joined, voice.speech_segments(joined)) == 1
    both = np.concatenate([man, woman])
    assert voice.speaker_change(both, voice.speech_segments(both)) == 2
    assert voice.speaker_change(both, []) == 0


def test_embeddings_have_unit_length_and_know_the_speaker() -> None:
    vectors = [
        voice.speaker_embeddings(said(s, f)).mean(0) for s, f in ((13, False), (13, False), (14, True))
    ]
    vectors = [v / np.linalg.norm(v) for v in vectors]
    assert np.allclose(np.linalg.norm(voice.speaker_embeddings(said(13, False)), axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_refusals() -> None:
    with pytest.raises(InputError, match="samples"):
        voice.speech_segments(np.zeros((2, 16_000), np.float32))
    with pytest.raises(InputError, match="not installed"):
        voice._package_file("a_package_that_is_not_there", "x")
