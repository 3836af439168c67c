"""Decodes a file once, as stretches of 25 frames a second with 16 kHz sound that starts with the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.media import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
GAP_S = 0.1
"""A jump of the sound's clock beyond this is filled with silence."""
SOUND_LEAD_S = 1.0
"""Sound is decoded from this long before a span on: a decoder's first packets after a jump are not whole."""
LEAST_SIDE = 16
"""Pictures (or crops) with a shorter side show no face, and the steps cannot look at them."""
LONGEST_HOLD_S = 5.0
"""A picture that would stand longer than this is damage, not a slow frame rate."""


@dataclass(frozen=True)
class Stretch:
    """frames (T,H,W,3) uint8 at 25 fps; samples (640·T,) float32 or None; start in seconds of the file."""

    start: float
    frames: NDArray[np.uint8]
    samples: NDArray[np.float32] | None

    def part(self, first: int, last: int) -> Stretch:
        """Frames first … last − 1 with their sound."""
        heard = None
        if self.samples is not None:
            heard = self.samples[first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME]
        return Stretch(self.start + first / FPS, self.frames[first:last], heard)


@dataclass
class Decoder:
    """Reads one file in stretches of bounded length; what it met is known after the last stretch.

    Attributes:
        side: frames with a longer short side are scaled down to it.
        longest: length of a stretch in seconds; the file is cut evenly into parts no longer than this.
        start, end: the span to read, seconds; `end` None reads to the end.
        claimed: duration the container claims, seconds.
        crop: (left, top, width, height) of the part of the picture that counts, raw pixels; None: all.
    """

    path: Path
    side: int
    longest: float
    start: float = 0.0
    end: float | None = None
    claimed: float | None = None
    crop: tuple[int, int, int, int] | None = None
    pictures: int = 0
    packets: int = 0
    errors: int = 0
    seconds: float = 0.0
    fps: float | None = None
    jitter: float = 0.0
    problem: str | None = None
    _times: list[float] = field(default_factory=list)

    def stretches(self) -> Iterator[Stretch]:
        """Yields the file's stretches; damage is counted, not raised, and ends the reading where it must."""
        import av
        import numpy as np

        try:
            begin = self._begin()
            sound = Samples(self._sound(begin))
            length = self._even_length()
            batch: list[NDArray[np.uint8]] = []
            first = self.start
            for frame in resample(self._frames(begin)):
                batch.append(frame)
                if len(batch) == length:
                    yield Stretch(first, np.stack(batch), sound.take(len(batch) * SAMPLES_PER_FRAME))
                    first += length / FPS
                    batch = []
            if batch:
                yield Stretch(first, np.stack(batch), sound.take(len(batch) * SAMPLES_PER_FRAME))
            sound.skip()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.errors += 1
            self.problem = f"corrupt: {error}"
        self._account()

    def _even_length(self) -> int:
        """Frames of a stretch, so that the claimed duration falls into equal parts."""
        import math

        total = (self.end if self.end is not None else self.claimed or 0.0) - self.start
        parts = max(1, math.ceil(total / self.longest - 1e-6))
        return math.floor(self.longest * FPS) if parts == 1 else math.ceil(total / parts * FPS)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Decoded frames of a stream; a damaged packet is counted and skipped."""
        import av

        source = container.demux(stream)
        while True:
            try:
                packet = next(source)
            except StopIteration:
                return
            except av.FFmpegError:
                self.packets += 1
                self.errors += 1
                return
            self.packets += packet.size > 0
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.errors += 1

    def _begin(self) -> float:
        """Where the picture's clock begins, seconds."""
        import av

        with av.open(str(self.path)) as container:
            picture = container.streams.video[0]
            base = picture.time_base
            return float(picture.start_time * base) if picture.start_time and base else 0.0

    def _sound(self, begin: float) -> Iterator[NDArray[np.float32]]:
        """The sound from the span's first picture on, piece by piece; nothing if there is none."""
        import av
        import numpy as np

        with av.open(str(self.path)) as container:
            if not container.streams.audio:
                return
            stream = container.streams.audio[0]
            origin = begin + self.start
            if self.start > SOUND_LEAD_S and stream.time_base:
                container.seek(int((origin - SOUND_LEAD_S) / float(stream.time_base)), stream=stream)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            early = position = 0
            started = False

            def trimmed(part: NDArray[np.float32]) -> NDArray[np.float32]:
                nonlocal early, started
                dropped = min(early, len(part))
                early, started = early - dropped, True
                return part[dropped:]

            for frame in self._packets(container, stream):
                silence = 0
                if frame.time is not None:
                    due = round((frame.time - origin) * SAMPLE_RATE)
                    if not started and due < 0:
                        early, position = -due, due
                    elif due - position > GAP_S * SAMPLE_RATE:
                        silence = due - position
                        position = due
                    if self.end is not None and due > (self.end - self.start + 1) * SAMPLE_RATE:
                        break
                while silence > 0:  # a damaged clock may ask for hours of it
                    yield trimmed(np.zeros(min(silence, SAMPLE_RATE), np.float32))
                    silence -= SAMPLE_RATE
                for piece in resampler.resample(frame):
                    part = piece.to_ndarray()[0].astype(np.float32)
                    position += len(part)
                    yield trimmed(part)
            for piece in resampler.resample(None) if started else ():
                yield trimmed(piece.to_ndarray()[0].astype(np.float32))

    def _frames(self, begin: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(seconds since the span's start, frame) of every picture of the span."""
        import av
        import numpy as np
        from av.video.reformatter import Interpolation, VideoReformatter

        size: tuple[int, int] | None = None
        scaler = VideoReformatter()
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            if self.start > 0 and stream.time_base:
                container.seek(int((begin + self.start) / float(stream.time_base)), stream=stream)
            for frame in self._packets(container, stream):
                self.errors += bool(frame.is_corrupt)
                time = (frame.time if frame.time is not None else begin + len(self._times) / FPS) - begin
                if time < self.start - 1e-6:
                    continue
                if self.end is not None and time >= self.end - 1e-6:
                    return
                if self._times and time - self.start - self._times[-1] > LONGEST_HOLD_S:
                    self.errors += 1
                    self.problem = f"corrupt: the pictures' clock jumps by {time - self._times[-1]:.0f} s"
                    return
                size = size or self._size(frame.width, frame.height)
                if min(size if self.crop is None else self.crop[2:]) < LEAST_SIDE:
                    self.problem = f"corrupt: its pictures have {frame.width}×{frame.height} pixels"
                    return
                self._times.append(time - self.start)
                picture = scaler.reformat(
                    frame, *size, format="rgb24", interpolation=Interpolation.AREA, threads=1
                )
                yield time - self.start, self._cropped(np.asarray(picture.to_ndarray(), np.uint8), frame)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """What a frame is scaled to: its crop's short side counts, where there is one."""
        if self.crop is None:
            return scaled_size(width, height, self.side)
        scale = min(1.0, self.side / min(self.crop[2:]))
        return max(2, round(width * scale)), max(2, round(height * scale))

    def _cropped(self, picture: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:
        """The crop of a scaled frame, with even sides, moved into the picture where it reaches beyond."""
        import numpy as np

        if self.crop is None:
            return picture
        height, width = picture.shape[:2]
        left, top, wide, tall = (round(side * height / frame.height) for side in self.crop)
        wide, tall = max(2, min(wide, width) // 2 * 2), max(2, min(tall, height) // 2 * 2)
        left, top = min(max(left, 0), width - wide), min(max(top, 0), height - tall)
        return np.ascontiguousarray(picture[top : top + tall, left : left + wide])

    def _account(self) -> None:
        """Fills the figures that need all time stamps."""
        import numpy as np

        self.pictures = len(self._times)
        if self.pictures < 2:
            self.seconds = self.pictures / FPS
            return
        steps = np.diff(np.sort(np.asarray(self._times)))
        mean = float(steps.mean())
        self.fps = 1 / mean if mean > 0 else None
        self.jitter = float(steps.std() / mean) if mean > 0 else 0.0
        self.seconds = float(self._times[-1] - self._times[0]) + mean


class Samples:
    """Sound that is taken from a stream of pieces in any lengths; no more than one piece is kept."""

    def __init__(self, pieces: Iterator[NDArray[np.float32]]) -> None:
        first = next(pieces, None)
        self._pieces = pieces if first is None else chain([first], pieces)
        self._rest: NDArray[np.float32] | None = None
        self._any = first is not None

    def take(self, count: int) -> NDArray[np.float32] | None:
        """The next `count` samples, silence after the end; None if there is no sound at all."""
        import numpy as np

        if not self._any:
            return None
        part = np.zeros(count, np.float32)
        filled = 0
        while filled < count:
            piece = self._rest if self._rest is not None else next(self._pieces, None)
            if piece is None:
                break
            used = min(len(piece), count - filled)
            part[filled : filled + used] = piece[:used]
            filled += used
            self._rest = piece[used:] if used < len(piece) else None
        return part

    def skip(self) -> None:
        """Reads what is left, so that its damage is counted."""
        for _ in self._pieces:
            pass


def scaled_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Even (width, height) whose short side is at most `side`, aspect kept."""
    scale = min(1.0, side / min(width, height))
    if scale == 1.0:
        return width, height
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def resample(frames: Iterator[tuple[float, NDArray[np.uint8]]]) -> Iterator[NDArray[np.uint8]]:
    """Frames at exactly 25 fps from (seconds, frame) in order: each instant j/25 gets the nearest picture.

    Pictures held for long are repeated, surplus ones left out; a file at 25 fps passes unchanged. Ends with
    the last picture.
    """
    last: tuple[float, NDArray[np.uint8]] | None = None
    count = 0
    for time, frame in frames:
        while last is not None and time - count / FPS > count / FPS - last[0] + 1e-6:
            yield last[1]
            count += 1
        last = (time, frame)
    if last is not None:
        while count / FPS <= last[0] + 0.5 / FPS:
            yield last[1]
            count += 1
