"""What the sound holds: share of voice, number of speakers, clipping, and how it is delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.core.media import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOP = 160
FULL_SCALE = 0.95
PITCH_WINDOW = 640
CLEAR = 0.6
"""Periodicity from which on a pitch is trusted."""
VOICE_WINDOW_S, VOICE_HOP_S = 1.6, 0.2
VOICE_STRADDLE = 4
"""Hops from a moment to the nearest window that lies wholly on one side of it."""
REACH_S = 4.0
HELD = 15
"""Hops over which a pitch must hold: 150 ms."""
SURE = 0.8
SUNG_BEAT = 0.19
"""Strength of the beat from which on a voice is taken to sing; see `rhythm`."""
EMOTIONAL_RANGE = 6.0
"""Semitones between the quartiles of the pitch of a lively voice; calm readers stay below 5."""


@dataclass(frozen=True)
class Sound:
    """voice_rate and clipping in [0,1]; voice_change: see that function; loudness in dBFS; delivery and its
    confidence in [0,1], see `delivery`."""

    voice_rate: float
    voice_change: float
    clipping: float
    loudness: float
    delivery: str
    delivery_confidence: float


def listen(samples: NDArray[np.float32]) -> Sound:
    """Measures 16 kHz samples (N,), N ≥ 1."""
    import numpy as np

    from components.perception import voice

    power = float(np.mean(samples.astype(np.float64) ** 2))
    spans = voice.speech_segments(samples)
    spoken = sum(end - start for start, end in spans)
    label, sure = delivery(samples, spans)
    return Sound(
        min(1.0, spoken * SAMPLE_RATE / len(samples)),
        voice_change(samples, spans),
        clipping(samples),
        10 * float(np.log10(max(power, 1e-12))),
        label,
        sure,
    )


def voice_change(samples: NDArray[np.float32], spans: list[tuple[float, float]]) -> float:
    """How much the voice after some moment differs from the voice before it, at the moment where most.

    Cosine distance of the mean speaker embeddings of both sides (windows that straddle the moment left out)
    plus a hundredth for each semitone between their median pitches. About 0.2 for one voice, up to 0.3 when
    recordings of one reader are joined, 0.4 and more when a voice of another pitch takes over. 0 where
    there is too little speech to tell.
    """
    return speaker_change(samples, spans)[0]


def turns(samples: NDArray[np.float32], limit: float, shortest: float) -> list[float]:
    """Seconds at which another voice takes over by more than `limit`, in order.

    The voices `REACH_S` before and after a moment are compared: of a longer talk both sides would be mixes.
    Pieces are looked at again; nobody is cut off who spoke for less than `shortest` seconds.
    """
    from components.perception import voice

    change, moment = speaker_change(samples, voice.speech_segments(samples), REACH_S)
    if change <= limit or not shortest <= moment <= len(samples) / SAMPLE_RATE - shortest:
        return []
    border = round(moment * SAMPLE_RATE)
    before = turns(samples[:border], limit, shortest)
    after = turns(samples[border:], limit, shortest)
    return [*before, moment, *(moment + later for later in after)]


def speaker_change(
    samples: NDArray[np.float32], spans: list[tuple[float, float]], reach: float | None = None
) -> tuple[float, float]:
    """(`voice_change`, the second at which it is); (0, 0) where there is too little speech to tell.

    `reach`: seconds of speech on either side that count; None: all.
    """
    import numpy as np

    from components.perception.voice import speaker_embeddings

    parts = [samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in spans]
    speech = np.concatenate(parts) if parts else samples[:0]
    vectors = speaker_embeddings(speech, VOICE_HOP_S) if len(speech) > SAMPLE_RATE else np.zeros((0, 1))
    best, moment = 0.0, 0
    most = len(vectors) if reach is None else max(1, round(reach / VOICE_HOP_S))
    for index in range(VOICE_STRADDLE, len(vectors) - VOICE_STRADDLE):
        end, begin = index - VOICE_STRADDLE + 1, index + VOICE_STRADDLE
        before = vectors[max(0, end - most) : end].mean(axis=0)
        after = vectors[begin : begin + most].mean(axis=0)
        norms = float(np.linalg.norm(before) * np.linalg.norm(after))
        distance = 1 - float(before @ after) / max(norms, 1e-9)
        if distance > best:
            best, moment = distance, index
    if not moment:
        return 0.0, 0.0
    tones, clear = pitch(speech)
    border = int((moment * VOICE_HOP_S + VOICE_WINDOW_S / 2) * SAMPLE_RATE / HOP)
    hops = len(tones) if reach is None else round(reach * SAMPLE_RATE / HOP)
    parts_of = slice(max(0, border - hops), border), slice(border, border + hops)
    sides = [tones[part][clear[part] > CLEAR] for part in parts_of]
    when = _in_clip(moment * VOICE_HOP_S + VOICE_WINDOW_S / 2, spans)
    if min(len(side) for side in sides) < HELD:
        return best, when
    return best + abs(float(np.median(sides[0]) - np.median(sides[1]))) / 100, when


def _in_clip(spoken: float, spans: list[tuple[float, float]]) -> float:
    """The moment of a clip at which `spoken` seconds of its speech (`spans`, joined) have passed."""
    for begin, end in spans:
        if spoken <= end - begin:
            return begin + spoken
        spoken -= end - begin
    return spans[-1][1] if spans else 0.0


def clipping(samples: NDArray[np.float32]) -> float:
    """Share of samples (N,) that are cut off: at full scale, or in flat tops of a sound made quieter since.

    A lossy codec turns flat tops into ripples around full scale, hence both measures.
    """
    import numpy as np

    from components.perception import voice

    return max(float((np.abs(samples) >= FULL_SCALE).mean()), voice.clipping_rate(samples))


def pitch(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(tone, clearness) each 10 ms of samples (N,): semitones above 55 Hz, and periodicity in [0,1].

    Normalised autocorrelation over 40 ms; the first peak within 0.9 of the highest between 65 and 600 Hz.
    """
    import numpy as np

    size, shortest, longest = 2 * PITCH_WINDOW, SAMPLE_RATE // 600, SAMPLE_RATE // 65
    if len(samples) < size:
        return np.zeros(0), np.zeros(0)
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::HOP]
    spectrum = np.fft.rfft(windows[:, :PITCH_WINDOW], 2 * size).conj() * np.fft.rfft(windows, 2 * size)
    shared = np.fft.irfft(spectrum, axis=1)[:, : longest + 2]
    energy = np.cumsum(np.pad(windows**2, ((0, 0), (1, 0))), axis=1)
    lags = np.arange(longest + 2)
    power = energy[:, PITCH_WINDOW + lags] - energy[:, lags]
    likeness = shared / np.sqrt(np.maximum(power * power[:, :1], 1e-12))
    inner = likeness[:, shortest : longest + 1]
    peak = (inner >= likeness[:, shortest - 1 : longest]) & (inner >= likeness[:, shortest + 1 : longest + 2])
    height = np.where(peak, inner, -1.0)
    best = height.max(axis=1)
    lag = (height >= 0.9 * best[:, None]).argmax(axis=1) + shortest
    return 12 * np.log2(SAMPLE_RATE / lag / 55), np.clip(best, 0, 1)


def rhythm(samples: NDArray[np.float32]) -> float:
    """Strength of a beat in samples (N,), about 0.1 for speech, 0.25 and more over a beat.

    Highest autocorrelation of the onset strength (spectral flux, 10 ms hops) at lags of 0.3 to 1.2 s.
    """
    import numpy as np

    if len(samples) < 3 * SAMPLE_RATE // 2:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(samples, 512)[::HOP] * np.hanning(512)
    level = np.log1p(100 * np.abs(np.fft.rfft(windows, axis=1)))
    onset = np.maximum(np.diff(level, axis=0), 0).sum(axis=1)
    onset -= onset.mean()
    spectrum = np.abs(np.fft.rfft(onset, 2 * len(onset))) ** 2
    echo = np.fft.irfft(spectrum)[: len(onset)]
    return float(echo[30:120].max() / max(float(echo[0]), 1e-9))


def delivery(samples: NDArray[np.float32], spans: list[tuple[float, float]]) -> tuple[str, float]:
    """("speech" | "emotional" | "singing", confidence in [0,1]) of 16 kHz samples with voice in `spans` (s).

    Singing goes with a beat; an emotional voice covers a wide range of pitch. Approximate: where a source
    carries a label, the label is used instead.
    """
    import numpy as np

    parts = [samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in spans]
    tones, clear = pitch(np.concatenate(parts) if parts else samples[:0])
    voiced = tones[clear > SURE]
    if len(voiced) < 4 * HELD:
        return "speech", 0.0
    beat = rhythm(samples)
    spread = float(np.subtract(*np.quantile(voiced, (0.75, 0.25))))
    if beat >= SUNG_BEAT:
        return "singing", min(1.0, 0.5 + (beat - SUNG_BEAT) / SUNG_BEAT)
    if spread >= EMOTIONAL_RANGE:
        return "emotional", min(1.0, 0.5 + (spread - EMOTIONAL_RANGE) / 12)
    return "speech", min(1.0, 0.5 + min((SUNG_BEAT - beat) / SUNG_BEAT, (EMOTIONAL_RANGE - spread) / 12))
