"""Where another voice takes over: a reader, then a synthetic voice; one reader alone has no such moment."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.media import SAMPLE_RATE
from components.corpus.recordings import recording
from components.corpus.speech import synthesise
from components.curation.params import Limits
from components.curation.steps.sound import turns, voice_change
from components.perception.voice import speech_segments

LIMIT = Limits().max_voice_change


@pytest.fixture(scope="module")
def reader() -> np.ndarray:
    return recording(0).samples[: 5 * SAMPLE_RATE]


@pytest.fixture(scope="module")
def other() -> np.ndarray:
    words = "the weather in the north is cold and clear today and nobody here expects any rain before sunday"
    samples = synthesise(words, 3, "speech", True).samples[: 5 * SAMPLE_RATE]
    return (0.1 * samples / np.sqrt((samples**2).mean())).astype(np.float32)


def test_a_second_voice_is_cut_off_where_it_begins(reader: np.ndarray, other: np.ndarray) -> None:
    both = np.concatenate([reader, other])
    assert voice_change(both, speech_segments(both)) > LIMIT
    (moment,) = turns(both, LIMIT, 2.0)
    assert moment == pytest.approx(len(reader) / SAMPLE_RATE, abs=0.6)


def test_three_turns_are_three_pieces(reader: np.ndarray, other: np.ndarray) -> None:
    found = turns(np.concatenate([reader, other, reader]), LIMIT, 2.0)
    expected = np.cumsum([len(reader), len(other)]) / SAMPLE_RATE
    assert found == pytest.approx(expected.tolist(), abs=0.8)


def test_one_voice_and_a_short_word_are_not_cut(reader: np.ndarray, other: np.ndarray) -> None:
    assert turns(reader, LIMIT, 2.0) == []
    assert turns(np.concatenate([reader, other[:SAMPLE_RATE]]), LIMIT, 2.0) == []
    assert turns(np.zeros(SAMPLE_RATE, np.float32), LIMIT, 2.0) == []
