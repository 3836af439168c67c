"""Listens to a sound before it is used for generation, and says what to expect of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.core.media import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME = SAMPLE_RATE // 50
WINDOW = 1024
LOUD_PERCENTILE, QUIET_PERCENTILE = 90, 8
FLOOR_DB = -17.0
"""Clean speech (synthetic and recorded) falls below −18.6 dB of its loud frames in its pauses; with noise or
music at 10 dB they stay above −16.2 dB, with noise at 20 dB below −17.6 dB."""
NOISE_FLATNESS = 0.3
"""Spectral flatness of the pauses: noise 0.52 … 0.57, music 0.00 … 0.12, a second voice 0.02 … 0.27."""
MUSIC_FLATNESS = 0.05
SHORTEST_S = 2.0
"""Shorter sounds need not have a pause."""
SILENT = 1e-3


class Hearing(NamedTuple):
    """loud: RMS of loud frames; floor_db: the pauses' level below it; flatness: of the pauses' spectrum;
    clipped: share of samples at full scale."""

    loud: float
    floor_db: float
    flatness: float
    clipped: float


def listen(samples: NDArray[np.float32]) -> Hearing:
    """Measures a sound (N,) in [-1,1] at 16 kHz, N ≥ 1."""
    sound = np.asarray(samples, np.float64)
    clipped = float((np.abs(sound) >= 0.999).mean())
    count = len(sound) // FRAME
    if not count:
        return Hearing(float(np.sqrt((sound**2).mean())), -120.0, 1.0, clipped)
    level = np.sqrt((sound[: count * FRAME].reshape(count, FRAME) ** 2).mean(1))
    loud = float(np.percentile(level, LOUD_PERCENTILE))
    quiet = float(np.percentile(level, QUIET_PERCENTILE))
    floor = 20 * np.log10(max(quiet, 1e-6) / max(loud, 1e-6))
    starts = np.flatnonzero(level <= quiet) * FRAME
    starts = starts[starts + WINDOW <= len(sound)][:500]
    if not len(starts):
        return Hearing(loud, float(floor), 1.0, clipped)
    pieces = np.stack([sound[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(pieces, 2 * WINDOW)) ** 2
    band = power[:, 20:800] + 1e-14  # 160 Hz … 6.2 kHz
    flatness = float(np.median(np.exp(np.log(band).mean(1)) / band.mean(1)))
    return Hearing(loud, float(floor), flatness, clipped)


def complaints(samples: NDArray[np.float32]) -> list[str]:
    """What will suffer, in sentences; empty for clean speech of one voice."""
    heard = listen(samples)
    if heard.loud < SILENT:
        return ["the audio is silent: the mouth will hardly move"]
    found = []
    if len(samples) >= SHORTEST_S * SAMPLE_RATE and heard.floor_db > FLOOR_DB:
        if heard.flatness > NOISE_FLATNESS:
            found.append("the audio is noisy: expect weak lip-sync and a mouth that moves in pauses")
        elif heard.flatness < MUSIC_FLATNESS:
            found.append("there is music under the speech: expect the mouth to move with it")
        else:
            found.append("voices overlap (or something else sounds in the pauses): expect a mixed lip-sync")
    if heard.clipped > 0.005:
        found.append("the audio is clipped: expect weak lip-sync")
    return found
