"""What a file claims about itself, without decoding its pictures."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

KNOWN_BOXES = frozenset(
    b"ftyp free skip wide styp uuid moov mdat moof mfra meta pdin sidx ssix prft emsg udta".split()
)

FEWEST_UNITS = 2
"""So many coded units in a row behind lengths that fit are no accident."""
NOISE_BYTES = 65_536
"""Looked at to tell noise from media."""
MOST_PIXELS = 2**26
"""Twice a picture of 8K. One beyond is a damaged header, and would take gigabytes to decode."""
FEWEST_NOISE_BYTES = 512
UNIFORM_CHI_SQUARED = 255 + 6 * 510**0.5
"""Six standard deviations above the mean: random bytes stay below it."""


@dataclass(frozen=True)
class Probe:
    """Claims of the container. duration in s; fps is the average rate; `problem` is None if readable."""

    has_video: bool = False
    has_audio: bool = False
    duration: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    problem: str | None = None


def is_cut_short(path: Path) -> bool:
    """Whether an ISO file (mp4, mov) ends before its last box does, or misses its index after the media.

    Such a file is whole as far as it goes: it was truncated, not damaged. Without an index that tells what
    the media is, a last box that holds noise is damage.
    """
    size = path.stat().st_size
    kinds: list[bytes] = []
    content = position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length, kind = struct.unpack(">I4s", head[:8])
            if kind not in KNOWN_BOXES:
                return False
            kinds.append(kind)
            content = position + 8
            if length == 1 and len(head) == 16:
                length, content = struct.unpack(">Q", head[8:])[0], position + 16
            elif length == 0:  # to the end of the file
                length = size - position
            if length < 8:
                return False
            position += length
        if b"moov" in kinds[:-1]:
            return position > size
        if position > size or kinds[-1:] == [b"mdat"] or (b"mdat" in kinds and b"moov" not in kinds):
            return not _holds_noise(file, kinds[-1], content, position)
    return False


def _holds_noise(file: BinaryIO, kind: bytes, begin: int, end: int) -> bool:
    """Whether the content of a box, from `begin` to `end` in `file`, is random bytes.

    Coded pictures (H.264, H.265) are units behind their lengths. Where too few of these fit, it may be sound
    or another codec's media, which noise is told from by its even histogram.
    """
    units = 0
    while kind == b"mdat" and units < FEWEST_UNITS:
        file.seek(begin)
        head = file.read(5)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 5 or not 0 < length <= end - begin - 4 or head[4] & 0x80:
            break
        begin, units = begin + 4 + length, units + 1
    file.seek(begin)
    return units < FEWEST_UNITS and is_noise(file.read(NOISE_BYTES))


def is_noise(data: bytes) -> bool:
    """Whether all byte values are about equally frequent (Pearson's χ², 255 degrees of freedom).

    Too few bytes tell nothing and are not called noise.
    """
    if len(data) < FEWEST_NOISE_BYTES:
        return False
    expected = len(data) / 256
    return sum((data.count(value) - expected) ** 2 for value in range(256)) / expected < UNIFORM_CHI_SQUARED


def probe(path: Path) -> Probe:
    """Reads the container's claims; never raises for a bad file, but says what is wrong in `problem`."""
    import av

    if path.stat().st_size == 0:
        return Probe(problem="corrupt: the file is empty")
    try:
        with av.open(str(path)) as container:
            duration = container.duration / av.time_base if container.duration else None
            if not container.streams.video:
                return Probe(
                    False, bool(container.streams.audio), duration, problem="corrupt: no video stream"
                )
            stream = container.streams.video[0]
            if stream.duration and stream.time_base:
                duration = float(stream.duration * stream.time_base)
            if stream.codec_context is None:
                return Probe(True, bool(container.streams.audio), duration, problem="corrupt: unknown codec")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > MOST_PIXELS:
                return Probe(
                    True,
                    bool(container.streams.audio),
                    duration,
                    width=width,
                    height=height,
                    problem=f"corrupt: it claims pictures of {width}×{height}",
                )
            rate = stream.average_rate or stream.guessed_rate
            return Probe(
                True,
                bool(container.streams.audio),
                duration,
                float(rate) if rate else None,
                width,
                height,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        kind = "truncated" if is_cut_short(path) else "corrupt"
        reason = getattr(error, "strerror", None) or error  # a ValueError has none
        return Probe(problem=f"{kind}: cannot be opened ({reason})")
