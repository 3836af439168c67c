"""What is said and how it sounds: disjoint pools of sentences, voices with phoneme times, mouth shapes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE
from components.core.seeds import derive
from components.core.vocabulary import DELIVERIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

POOLS = ("train", "test", "other")
OPENERS = (
    "today",
    "in the morning",
    "after lunch",
    "every spring",
    "on the way home",
    "before the storm",
    "last summer",
    "at the old harbour",
    "once a week",
    "near the bridge",
    "by the window",
    "this evening",
)
SUBJECTS = (
    "my brother",
    "the young teacher",
    "a quiet farmer",
    "our neighbour",
    "the brave pilot",
    "she",
    "he",
    "an old friend",
    "the baker",
    "our team",
    "the little girl",
    "a famous painter",
    "the captain",
    "everybody",
)
VERBS = (
    "found",
    "painted",
    "opened",
    "carried",
    "followed",
    "brought",
    "borrowed",
    "admired",
    "moved",
    "repaired",
    "watched",
    "lost",
    "imagined",
    "measured",
    "offered",
    "polished",
)
OBJECTS = (
    "a wooden boat",
    "the yellow house",
    "five heavy boxes",
    "a pot of warm soup",
    "the broken window",
    "a map of the village",
    "two loaves of bread",
    "the purple umbrella",
    "an open book",
    "a big green apple",
    "the moon above the farm",
    "some fresh coffee",
    "a robot with blue arms",
    "the oldest tree",
)
ENDINGS = (
    "and laughed out loud",
    "before the people arrived",
    "without a word",
    "for the whole family",
    "because it was warm outside",
    "while the music played",
    "and ran away",
    "over the wide river",
    "with a happy smile",
    "but nobody believed it",
    "from above the garden",
    "and came back at four",
)


@dataclass(frozen=True)
class Speech:
    """samples (N,) float32 in [-1,1] at 16 kHz; phonemes as (start_s, end_s, symbol), None when unknown."""

    samples: NDArray[np.float32]
    phonemes: tuple[tuple[float, float, str], ...] | None
    text: str = ""
    delivery: str = "speech"

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def pool_of(text: str) -> str:
    """The pool a sentence belongs to, by a hash of its words: pools cannot overlap."""
    share = hashlib.sha256(re.sub(r"[^a-z ]", "", text.lower()).encode()).digest()[0]
    return "test" if share < 64 else "train" if share < 160 else "other"


def sentence(seed: int, pool: str, short: bool = False) -> str:
    """A sentence of a pool, out of tens of thousands each (a few hundred short ones).

    Raises:
        InputError: there is no such pool.
    """
    if pool not in POOLS:
        raise InputError(f"sentence pool {pool!r} is none of {', '.join(POOLS)}")
    rng = np.random.default_rng(derive(seed, "sentence"))
    while True:
        slots = (SUBJECTS, VERBS, OBJECTS) if short else (OPENERS, SUBJECTS, VERBS, OBJECTS, ENDINGS)
        words = " ".join(str(rng.choice(choices)) for choices in slots)
        text = f"{words[0].upper()}{words[1:]}."
        if pool_of(text) == pool:
            return text


# --- sound and mouth -------------------------------------------------------------------------------------

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "RR", "aa", "E", "I", "O", "U")
"""Mouth shapes; index 0 is silence."""
SHAPES: dict[str, tuple[float, float]] = {
    "sil": (0.0, 0.0),
    "PP": (0.0, -0.1),
    "FF": (0.1, 0.1),
    "TH": (0.26, 0.1),
    "DD": (0.3, 0.1),
    "kk": (0.36, 0.05),
    "CH": (0.26, -0.6),
    "SS": (0.16, 0.4),
    "RR": (0.32, -0.5),
    "aa": (1.0, 0.15),
    "E": (0.66, 0.55),
    "I": (0.42, 0.85),
    "O": (0.74, -0.65),
    "U": (0.36, -1.0),
}
"""Per viseme: how far it opens [0,1] and how wide it is [-1,1]."""
_PHONEMES = {
    "PP": "p b m",
    "FF": "f v",
    "TH": "T D",
    "DD": "t d n l t# 4 * ?",
    "kk": "k g N h x",
    "CH": "S Z tS dZ j",
    "SS": "s z",
    "RR": "r r- 3 3:",
    "aa": "a aa a: A: A@ A aI aU V V0",
    "E": "E e e: eI E@ e@ @ @2 @5 @L @-",
    "I": "i i: I i@ I# I2 i@3",
    "O": "O O: O@ o@ oU oI OI 0 0# o o:",
    "U": "u u: U U@ w W w# 8",
}
_TABLE = {symbol: name for name, symbols in _PHONEMES.items() for symbol in symbols.split()}
_FIRST = {
    "p": "PP",
    "b": "PP",
    "m": "PP",
    "f": "FF",
    "v": "FF",
    "T": "TH",
    "D": "TH",
    "t": "DD",
    "d": "DD",
    "n": "DD",
    "l": "DD",
    "k": "kk",
    "g": "kk",
    "N": "kk",
    "h": "kk",
    "S": "CH",
    "Z": "CH",
    "s": "SS",
    "z": "SS",
    "r": "RR",
    "3": "RR",
    "w": "U",
    "a": "aa",
    "A": "aa",
    "V": "aa",
    "e": "E",
    "E": "E",
    "@": "E",
    "i": "I",
    "I": "I",
    "j": "I",
    "o": "O",
    "O": "O",
    "0": "O",
    "u": "U",
    "U": "U",
}


def viseme_of(symbol: str) -> str:
    """The viseme of an espeak-ng phoneme mnemonic; pauses and unknown marks are silence."""
    bare = symbol.strip("'\",%=|_;: ") if symbol not in _TABLE else symbol
    return _TABLE.get(bare) or _FIRST.get(bare[:1], "sil")


def viseme_track(speech: Speech, rate_hz: int = 100) -> NDArray[np.int64]:
    """Index into `VISEMES` at the middle of each 1/rate_hz, (N,).

    Raises:
        InputError: the phonemes of this speech are not known.
    """
    if speech.phonemes is None:
        raise InputError("a recording without phoneme times has no visemes; use opening_track")
    track = np.zeros(int(speech.seconds * rate_hz), np.int64)
    middle = (np.arange(len(track)) + 0.5) / rate_hz
    for start, end, symbol in speech.phonemes:
        track[(middle >= start) & (middle < end)] = VISEMES.index(viseme_of(symbol))
    return track


def envelope(samples: NDArray[np.float32], rate_hz: int = 100) -> NDArray[np.float64]:
    """Loudness in [0,1], (N,): root mean square of 50 ms around each 1/rate_hz over its 95th percentile."""
    count = int(len(samples) / SAMPLE_RATE * rate_hz)
    if not count:
        return np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    centre = (np.arange(count) + 0.5) * SAMPLE_RATE / rate_hz
    low = np.clip((centre - 400).astype(int), 0, len(samples))
    high = np.clip((centre + 400).astype(int), 0, len(samples))
    level = np.sqrt((total[high] - total[low]) / np.maximum(high - low, 1))
    return np.clip(level / max(float(np.percentile(level, 95)), 1e-4), 0, 1)


def _soften(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")[: len(values)]


def _per_frame(values: NDArray[np.float64], frames: int, fps: float) -> NDArray[np.float64]:
    middle = (np.arange(frames) + 0.5) / fps * 100 - 0.5
    return (
        np.interp(middle, np.arange(len(values)), values, left=0.0, right=0.0)
        if len(values)
        else np.zeros(frames)
    )


def opening_track(speech: Speech, frames: int, fps: float = FPS) -> NDArray[np.float64]:
    """How far the jaw is open in each frame, (frames,) in [0,1]: phoneme opening × (.15 + .85·envelope).

    Without phonemes it is the envelope alone.
    """
    loud = envelope(speech.samples)
    if speech.phonemes is None:
        return np.clip(_per_frame(_soften(loud, 9), frames, fps), 0, 1)
    target = np.array([SHAPES[name][0] for name in VISEMES])[viseme_track(speech)]
    length = min(len(target), len(loud))
    track = _soften(target[:length], 9) * (0.15 + 0.85 * loud[:length])
    return np.clip(_per_frame(_soften(track, 5), frames, fps) * 1.12, 0, 1)


def width_track(speech: Speech, frames: int, fps: float = FPS) -> NDArray[np.float64]:
    """How wide (1) or rounded (−1) the mouth is in each frame, (frames,)."""
    if speech.phonemes is None:
        return np.zeros(frames)
    wide = np.array([SHAPES[name][1] for name in VISEMES])[viseme_track(speech)]
    return np.clip(_per_frame(_soften(wide, 11), frames, fps), -1, 1)


# --- synthesis -------------------------------------------------------------------------------------------

VARIANTS = {True: ("f1", "f2", "f3", "f4", "f5"), False: ("m1", "m2", "m3", "m4", "m5", "m7", "m8")}
LANGUAGES = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp")


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice; pitch and range 0–99, rate in words a minute."""

    name: str
    pitch: int
    span: int
    rate: int


@lru_cache(maxsize=1024)
def voice_of(seed: int, feminine: bool | None = None) -> Voice:
    """The voice of a person: the same seed always speaks alike."""
    rng = np.random.default_rng(derive(seed, "voice"))
    female = bool(rng.random() < 0.5) if feminine is None else feminine
    name = f"{rng.choice(LANGUAGES)}+{rng.choice(VARIANTS[female])}"
    pitch = int(rng.integers(52, 84) if female else rng.integers(18, 52))
    return Voice(name, pitch, int(rng.integers(36, 62)), int(rng.integers(138, 176)))


def synthesise(text: str, seed: int, delivery: str = "speech", feminine: bool | None = None) -> Speech:
    """Speaks a text with the voice of `seed`.

    emotional: a wide pitch range, louder and faster; singing: a word on each beat, on a melody, over drums.

    Raises:
        InputError: the delivery is unknown or the text holds nothing to say.
    """
    if delivery not in DELIVERIES:
        raise InputError(f"delivery {delivery!r} is none of {', '.join(DELIVERIES)}")
    if not re.search("[a-zA-Z0-9]", text):
        raise InputError("the text holds nothing to say")
    voice = voice_of(seed, feminine)
    if delivery == "singing":
        return _sing(text, seed, voice)
    if delivery == "emotional":
        rng = np.random.default_rng(derive(seed, "emotion", text))
        lively = bool(rng.random() < 0.6)
        voice = Voice(
            voice.name,
            min(voice.pitch + (14 if lively else -8), 99),
            92 if lively else 16,
            voice.rate + (18 if lively else -22),
        )
    samples, phonemes = _speak(text, voice)
    return Speech(_level(samples), phonemes, text, delivery)


def _speak(text: str, voice: Voice) -> tuple[NDArray[np.float64], tuple[tuple[float, float, str], ...]]:
    from components.corpus import espeak

    return espeak.speak(text, voice.name, voice.pitch, voice.span, voice.rate)


def _level(samples: NDArray[np.float64], target: float = 0.09) -> NDArray[np.float32]:
    """Sets the loudness of the voiced part; peaks stay below 0.9."""
    size = 400
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    power = np.sqrt((blocks**2).mean(1)) if len(blocks) else np.zeros(1)
    voiced = power[power > 0.1 * power.max()] if power.max() > 0 else power
    gain = target / max(float(voiced.mean()), 1e-6)
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    return (samples * min(gain, 0.9 / max(peak, 1e-6))).astype(np.float32)


def _sing(text: str, seed: int, voice: Voice) -> Speech:
    rng = np.random.default_rng(derive(seed, "song", text))
    step = 60 / float(rng.integers(112, 140)) / 2
    scale = np.array((0, 2, 4, 7, 9, 12)) * 2.2
    note, cursor = int(rng.integers(1, 4)), 2
    words = text.split()
    length = int((len(words) * 3 + 8) * step * SAMPLE_RATE) + SAMPLE_RATE * 4
    sound = np.zeros(length)
    phonemes: list[tuple[float, float, str]] = []
    for word in words:
        note = int(np.clip(note + rng.integers(-1, 2), 0, len(scale) - 1))
        tuned = Voice(
            voice.name, int(np.clip(voice.pitch - 12 + scale[note], 0, 99)), 0, max(voice.rate - 34, 90)
        )
        part, marks = _speak(word, tuned)
        spoken = [mark for mark in marks if viseme_of(mark[2]) != "sil"]
        if not spoken:
            continue
        first, last = spoken[0][0], spoken[-1][1]
        begin = cursor * step
        piece = part[int(first * SAMPLE_RATE) : int((last + 0.06) * SAMPLE_RATE)]
        at = int(begin * SAMPLE_RATE)
        sound[at : at + len(piece)] += piece
        phonemes += [(begin + a - first, begin + b - first, symbol) for a, b, symbol in spoken]
        cursor += max(1, int(np.ceil((last - first) / step)))
    seconds = cursor * step + 0.3
    voiced = _level(sound[: int(seconds * SAMPLE_RATE)])
    return Speech(voiced + _drums(len(voiced), step, rng), tuple(phonemes), text, "singing")


def _drums(length: int, step: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A soft kick on the beat and a hat between, (length,)."""
    track = np.zeros(length + SAMPLE_RATE)
    t = np.arange(int(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    kick = np.sin(2 * np.pi * (95 * t - 220 * t**2)) * np.exp(-t * 34) * 0.09
    hat = rng.normal(0, 1, len(t)) * np.exp(-t * 160) * 0.012
    for index in range(int(length / SAMPLE_RATE / step) + 1):
        at = int(index * step * SAMPLE_RATE)
        track[at : at + len(t)] += kick if index % 2 == 0 else hat
    return track[:length].astype(np.float32)
