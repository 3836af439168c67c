"""What a file claims about itself, without decoding its pictures."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

KNOWN_BOXES = frozenset(
    b"ftyp free skip wide styp uuid moov mdat moof mfra meta pdin sidx ssix prft emsg udta".split()
)


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

    Such a file is whole as far as it goes: it was truncated, not damaged.
    """
    size = path.stat().st_size
    kinds: list[bytes] = []
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length, kind = struct.unpack(">I4s", head[:8])
            if kind not in KNOWN_BOXES:
                return False
            kinds.append(kind)
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
            elif length == 0:
                return b"moov" not in kinds
            if length < 8:
                return False
            position += length
    return bool(kinds) and (position > size or (b"mdat" in kinds and b"moov" not in kinds))


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
            rate = stream.average_rate or stream.guessed_rate
            return Probe(
                True,
                bool(container.streams.audio),
                duration,
                float(rate) if rate else None,
                stream.codec_context.width,
                stream.codec_context.height,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        kind = "truncated" if is_cut_short(path) else "corrupt"
        return Probe(problem=f"{kind}: cannot be opened ({error.strerror or error})")
