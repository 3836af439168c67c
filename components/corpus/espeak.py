"""espeak-ng through ctypes: samples and the time of each phoneme.

The library (GPL-3) comes with the `espeakng-loader` package and is loaded for each utterance anew (10 ms):
its oscillators and noise keep their state, even over `espeak_Terminate`, so that the same text would sound
different, bit by bit, after other texts.
"""

from __future__ import annotations

import _ctypes
import ctypes
import threading

import numpy as np
from numpy.typing import NDArray

from components.core.errors import InputError, SyncDreamerError
from components.core.media import SAMPLE_RATE

SYNCHRONOUS = 2
PHONEME_EVENTS = 1
UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4
SEED = 1
"""Of the breath and flutter of some voices; unset, they differ from run to run."""
LIST_END, PHONEME, END = 0, 7, 6


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Engine:
    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate = self.library.espeak_Initialize(
            SYNCHRONOUS, 200, str(espeakng_loader.get_data_path()).encode(), PHONEME_EVENTS
        )
        if self.rate <= 0:
            raise SyncDreamerError("espeak-ng did not start: its voice data cannot be read")
        self.parts: list[NDArray[np.int16]] = []
        self.marks: list[tuple[int, str]] = []
        self.callback = _Callback(self._take)
        self.library.espeak_SetSynthCallback(self.callback)

    def _take(
        self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if wave and count:
            self.parts.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != LIST_END:
            event = events[index]
            if event.type == PHONEME:
                self.marks.append((event.audio_position, bytes(event.id.string).decode("utf-8", "ignore")))
            elif event.type == END:
                self.marks.append((event.audio_position, ""))
            index += 1
        return 0

    def close(self) -> None:
        """Ends the engine and unloads the library with all its state."""
        self.library.espeak_Terminate()
        _ctypes.dlclose(self.library._handle)


_lock = threading.Lock()


def _resample(wave: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Band-limited change of rate to 16 kHz by cutting the spectrum."""
    common = int(np.gcd(SAMPLE_RATE, rate))
    up, down = SAMPLE_RATE // common, rate // common
    blocks = 2 * (-(-len(wave) // (2 * down)) + 1)
    spectrum = np.fft.rfft(wave, blocks * down)
    made = np.fft.irfft(spectrum[: blocks * up // 2 + 1], blocks * up) * (up / down)
    return made[: len(wave) * up // down]


def speak(
    text: str, voice: str, pitch: int, span: int, rate: int
) -> tuple[NDArray[np.float64], tuple[tuple[float, float, str], ...]]:
    """Samples (N,) at 16 kHz in [-1,1] and (start_s, end_s, phoneme mnemonic) of what was said.

    Raises:
        InputError: espeak-ng has no such voice.
    """
    with _lock:
        engine = _Engine()
        try:
            if engine.library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise InputError(f"espeak-ng has no voice {voice!r}")
            engine.library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
            for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, span)):
                engine.library.espeak_SetParameter(parameter, value, 0)
            data = text.encode() + b"\0"
            status = engine.library.espeak_Synth(data, len(data), 0, 0, 0, UTF8, None, None)
        finally:
            engine.close()
    if status != 0 or not engine.parts:
        raise SyncDreamerError(f"espeak-ng could not speak {text!r} (status {status})")
    samples = _resample(np.concatenate(engine.parts).astype(np.float64) / 32768, engine.rate)
    seconds = len(samples) / SAMPLE_RATE
    marks = sorted(engine.marks, key=lambda mark: mark[0])
    phonemes = []
    for index, (position, symbol) in enumerate(marks):
        begin = position / 1000
        end = marks[index + 1][0] / 1000 if index + 1 < len(marks) else seconds
        if symbol and end > begin:
            phonemes.append((round(begin, 4), round(min(end, seconds), 4), symbol))
    return samples, tuple(phonemes)
