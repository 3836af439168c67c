"""Perceptual fingerprints of picture and sound, for finding near-duplicates that differ in their bytes.

Picture: signs of the low DCT coefficients (pHash) of frames spread over the clip. Sound: signs of energy
differences between neighbouring bands and instants (Haitsma and Kalker, ISMIR 2002), which survive encoding
and loudness. Both are compared by their bit error rate: 0 identical, 0.5 unrelated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.media import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 8
PICTURE_BYTES = PICTURES * 8
BANDS = 17
SOUND_BYTES = (BANDS - 1) // 8
HOP = SAMPLE_RATE // 50
WINDOW = 8 * HOP
STEP = 2
"""Hops between the instants that are compared: 40 ms."""
LOWEST_HZ, HIGHEST_HZ = 150.0, 4000.0
LARGEST_LAG = 50
SHORTEST = 40


def picture_print(frames: NDArray[np.uint8]) -> bytes:
    """64 bytes: for 8 frames of (T,H,W,3), the signs of 8×8 DCT coefficients about their median."""
    import cv2
    import numpy as np

    places = np.linspace(0, len(frames) - 1, 2 * PICTURES + 1).round().astype(int)[1::2]
    bits = []
    for place in places:
        grey = cv2.cvtColor(frames[place], cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        low = cv2.dct(small)[:9, :9].ravel()[1:65]
        bits.append(low > np.median(low))
    return np.packbits(np.concatenate(bits)).tobytes()


def sound_print(samples: NDArray[np.float32] | None) -> bytes:
    """2 bytes for each 20 ms of samples (N,); empty without sound."""
    import numpy as np

    if samples is None or len(samples) < WINDOW + 2 * STEP * HOP:
        return b""
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) * WINDOW / SAMPLE_RATE
    bands = np.add.reduceat(power, edges[:-1].astype(int), axis=1)
    energy = np.log(bands + 1e-7)
    slope = np.diff(energy, axis=1)
    return np.packbits(slope[STEP:] > slope[:-STEP], axis=1).tobytes()


def picture_error(first: bytes, second: bytes) -> float:
    """Bit error rate of two picture prints, in [0,1]."""
    import numpy as np

    different = np.bitwise_xor(np.frombuffer(first, np.uint8), np.frombuffer(second, np.uint8))
    return float(np.bitwise_count(different).mean()) / 8


def sound_error(first: bytes, second: bytes) -> float:
    """Lowest bit error rate of two sound prints over lags of up to a second; 0.5 if too short to say.

    All lags at once: the second print, zeros beyond its ends, slides along the first; what the first has in
    common with those zeros is taken off again.
    """
    import numpy as np

    a, b = np.frombuffer(first, np.uint16), np.frombuffer(second, np.uint16)
    if not len(a) or not len(b):
        return 0.5
    lags = np.arange(-LARGEST_LAG, LARGEST_LAG + 1)
    begin = np.clip(lags, 0, len(a))
    end = np.maximum(begin, np.clip(len(b) + lags, 0, len(a)))
    length = end - begin
    padded = np.zeros(2 * LARGEST_LAG + len(a) + len(b), np.uint16)
    padded[LARGEST_LAG : LARGEST_LAG + len(b)] = b
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(a))[LARGEST_LAG - lags]
    bits = np.bitwise_count(windows ^ a).sum(axis=1, dtype=np.int64)
    alone = np.concatenate([[0], np.cumsum(np.bitwise_count(a), dtype=np.int64)])
    shared = bits - (alone[-1] - (alone[end] - alone[begin]))
    enough = length >= max(SHORTEST, 0.6 * min(len(a), len(b)))
    if not enough.any():
        return 0.5
    return min(0.5, float((shared[enough] / length[enough]).min()) / (8 * SOUND_BYTES))
