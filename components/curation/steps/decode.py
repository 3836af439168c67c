"""Decodes a file once, as stretches of 25 frames a second with 16 kHz sound that starts with the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.media import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
GAP_S = 0.1
"""A jump of the sound's clock beyond this is filled with silence."""
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
    """

    path: Path
    side: int
    longest: float
    start: float = 0.0
    end: float | None = None
    claimed: float | None = None
    pictures: int = 0
    packets: int = 0
    errors: int = 0
    seconds: float = 0.0
    fps: float | None = None
    jitter: float = 0.0
    sound_seconds: float = 0.0
    problem: str | None = None
    _times: list[float] = field(default_factory=list)

    def stretches(self) -> Iterator[Stretch]:
        """Yields the file's stretches; damage is counted, not raised, and ends the reading where it must."""
        import av

        try:
            begin, samples = self._sound()
            length = self._even_length()
            batch: list[NDArray[np.uint8]] = []
            first = self.start
            for frame in resample(self._frames(begin)):
                batch.append(frame)
                if len(batch) == length:
                    yield self._stretch(first, batch, samples)
                    first += length / FPS
                    batch = []
            if batch:
                yield self._stretch(first, batch, samples)
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

    def _stretch(
        self, first: float, batch: list[NDArray[np.uint8]], samples: NDArray[np.float32] | None
    ) -> Stretch:
        import numpy as np

        part = None
        if samples is not None:
            offset = round((first - self.start) * SAMPLE_RATE)
            part = np.zeros(len(batch) * SAMPLES_PER_FRAME, np.float32)
            there = samples[offset : offset + len(part)]
            part[: len(there)] = there
        return Stretch(first, np.stack(batch), part)

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

    def _sound(self) -> tuple[float, NDArray[np.float32] | None]:
        """Start of the picture, and the sound from the span's first picture on (None without any)."""
        import av
        import numpy as np

        with av.open(str(self.path)) as container:
            picture = container.streams.video[0]
            base = picture.time_base
            begin = float(picture.start_time * base) if picture.start_time and base else 0.0
            if not container.streams.audio:
                return begin, None
            origin = begin + self.start
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            parts: list[NDArray[np.float32]] = []
            early = position = 0
            for frame in self._packets(container, container.streams.audio[0]):
                if frame.time is not None:
                    due = round((frame.time - origin) * SAMPLE_RATE)
                    if not parts and due < 0:
                        early, position = -due, due
                    elif due - position > GAP_S * SAMPLE_RATE:
                        parts.append(np.zeros(due - position, np.float32))
                        position = due
                    if self.end is not None and due > (self.end - self.start + 1) * SAMPLE_RATE:
                        break
                for piece in resampler.resample(frame):
                    parts.append(piece.to_ndarray()[0])
                    position += len(parts[-1])
            if not parts:
                return begin, None
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
            samples = np.concatenate(parts).astype(np.float32)[early:]
            self.sound_seconds = len(samples) / SAMPLE_RATE
            return begin, samples

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
                size = size or scaled_size(frame.width, frame.height, self.side)
                self._times.append(time - self.start)
                picture = scaler.reformat(
                    frame, *size, format="rgb24", interpolation=Interpolation.AREA, threads=1
                )
                yield time - self.start, np.asarray(picture.to_ndarray(), np.uint8)

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
