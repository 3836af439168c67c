"""Speech: a text always sounds the same, pools do not overlap, the jaw follows phonemes and loudness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import InputError
from components.core.media import SAMPLE_RATE
from components.core.vocabulary import DELIVERIES
from components.corpus.recordings import RECORDINGS, recording
from components.corpus.speech import (
    POOLS,
    VISEMES,
    Speech,
    envelope,
    opening_track,
    pool_of,
    sentence,
    synthesise,
    viseme_of,
    viseme_track,
    width_track,
)


def test_pools_are_large_and_disjoint() -> None:
    pools = {pool: {sentence(seed, pool) for seed in range(400)} for pool in POOLS}
    assert all(len(texts) >= 390 for texts in pools.values())
    assert not pools["train"] & pools["test"] and not pools["test"] & pools["other"]
    assert not pools["train"] & pools["other"]


@given(seed=st.integers(0, 2**40), pool=st.sampled_from(POOLS), short=st.booleans())
def test_a_sentence_belongs_to_its_pool(seed: int, pool: str, short: bool) -> None:
    text = sentence(seed, pool, short)
    assert pool_of(text) == pool and text.endswith(".") and text[0].isupper()


def test_an_unknown_pool_delivery_or_empty_text_is_refused() -> None:
    with pytest.raises(InputError, match="pool 'valid'"):
        sentence(1, "valid")
    with pytest.raises(InputError, match="delivery 'shouting'"):
        synthesise("hello", 1, "shouting")
    with pytest.raises(InputError, match="nothing to say"):
        synthesise("…", 1)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_same_text_sounds_the_same_whatever_was_said_before(delivery: str) -> None:
    first = synthesise("The pilot opened five boxes.", 3, delivery)
    synthesise("Something else entirely, in another voice.", 4)
    again = synthesise("The pilot opened five boxes.", 3, delivery)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes
    assert first.samples.dtype == np.float32 and np.abs(first.samples).max() <= 1


def test_phonemes_are_in_order_and_sound_where_they_say() -> None:
    speech = synthesise("My brother painted the yellow house.", 5)
    assert speech.phonemes
    starts = [row[0] for row in speech.phonemes]
    assert starts == sorted(starts)
    assert all(a < b <= speech.seconds + 1e-6 for a, b, _ in speech.phonemes)
    loud = envelope(speech.samples)
    vowels = [(a + b) / 2 for a, b, s in speech.phonemes if viseme_of(s) in ("aa", "E", "O", "I")]
    assert np.mean([loud[min(int(t * 100), len(loud) - 1)] for t in vowels]) > loud.mean()


def test_visemes_of_phonemes() -> None:
    assert [viseme_of(s) for s in ("p", "f", "'aI", "u:", "_:", ";", "tS", "oU")] == [
        "PP", "FF", "aa", "U", "sil", "sil", "CH", "O",
    ]  # fmt: skip


def test_the_jaw_is_phoneme_opening_times_loudness() -> None:
    tone = np.sin(np.arange(2 * SAMPLE_RATE) * 0.3).astype(np.float32)
    speech = Speech(tone, ((0.0, 0.5, "p"), (0.5, 1.5, "a"), (1.5, 2.0, "p")))
    track = opening_track(speech, 50)
    assert track[20:30] == pytest.approx(np.ones(10)) and track[:8] == pytest.approx(np.zeros(8))
    quiet = Speech(np.zeros(2 * SAMPLE_RATE, np.float32), speech.phonemes)
    assert opening_track(quiet, 50)[25] == pytest.approx(0.15 * 1.12)
    labels = viseme_track(speech)
    assert labels[10] == VISEMES.index("PP") and labels[100] == VISEMES.index("aa") and len(labels) == 200


def test_a_recording_has_no_phonemes_and_moves_the_jaw_by_its_loudness() -> None:
    for number in range(len(RECORDINGS)):
        speech = recording(number)
        assert speech.phonemes is None and 5.0 <= speech.seconds <= 8.0 and speech.text
        assert not width_track(speech, 50).any()
    track = opening_track(speech, round(speech.seconds * 25))
    loud = envelope(speech.samples)[2::4][: len(track)]
    assert np.corrcoef(track[: len(loud)], loud)[0, 1] > 0.95
    with pytest.raises(InputError, match="no visemes"):
        viseme_track(speech)
    with pytest.raises(InputError, match="there are 4"):
        recording(4)


def test_song_is_on_the_beat_and_keeps_its_words() -> None:
    song = synthesise("She found a map.", 9, "singing")
    plain = synthesise("She found a map.", 9)
    assert song.delivery == "singing" and song.phonemes and plain.phonemes
    assert song.seconds > 0.8 * plain.seconds
    assert sum(viseme_of(s) == "PP" for *_, s in song.phonemes) >= 1
