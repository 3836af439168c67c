"""Video, audio and pictures through PyAV and Pillow, with bytes that depend on content alone."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FPS = 25


@dataclass(frozen=True)
class Video:
    """frames (T,H,W,3) uint8 RGB; times (T,) seconds; samples (N,) float32 in [-1,1] at 16 kHz, or None;
    codec: of the pictures in the file, with its pixel format."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    fps: float
    samples: NDArray[np.float32] | None
    codec: str = ""


def read_video(path: Path, *, audio: bool = True, max_frames: int | None = None) -> Video:
    """Decodes a file once: all frames and (if wanted and present) the sound as 16 kHz mono.

    Raises:
        InputError: the file is missing, cannot be decoded, or holds no picture.
    """
    import av
    import numpy as np

    frames: list[NDArray[Any]] = []
    times: list[float] = []
    sound: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: no video stream")
            picture = container.streams.video[0]
            picture.thread_type = "NONE"
            fps = float(picture.average_rate or picture.guessed_rate or FPS)
            codec = f"{picture.codec_context.name} {picture.codec_context.pix_fmt}"
            streams: list[Any] = [picture]
            resampler = None
            if audio and container.streams.audio:
                streams.append(container.streams.audio[0])
                resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(*streams):
                if isinstance(frame, av.VideoFrame):
                    if max_frames is None or len(frames) < max_frames:
                        frames.append(frame.to_ndarray(format="rgb24"))
                        times.append(float(frame.time or 0.0))
                elif resampler is not None:
                    sound += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            if resampler is not None:
                sound += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be decoded ({error})") from error
    if not frames:
        raise InputError(f"{path}: no picture could be decoded")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{path}: the picture size changes inside the file")
    samples = np.concatenate(sound).astype(np.float32) if sound else None
    return Video(np.stack(frames), np.asarray(times), fps, samples, codec)


def encode_video(
    frames: NDArray[np.uint8],
    samples: NDArray[np.float32] | None = None,
    *,
    fps: float | Fraction = FPS,
    crf: int = 18,
    audio_bitrate: int = 64_000,
    times: NDArray[np.float64] | None = None,
) -> bytes:
    """An mp4 (h264, yuv420p; AAC mono 16 kHz) of frames (T,H,W,3) uint8 with even H and W.

    One encoder thread, CPU-independent arithmetic, bit-exact muxing: the same input gives the same bytes.
    `times` (T,) in seconds makes the frame rate variable.
    """
    import av
    import numpy as np

    if frames.ndim != 4 or frames.shape[3] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
        raise InputError(f"frames must be (T,H,W,3) with even H and W, got {frames.shape}")
    buffer = io.BytesIO()
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture = container.add_stream("libx264", rate=rate)
        picture.height, picture.width = frames.shape[1:3]
        picture.pix_fmt = "yuv420p"
        picture.options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "flags": "+bitexact"}
        # Otherwise x264 (as in PyAV's wheel) takes fast paths whose result depends on where buffers happen to
        # lie: the same frames gave five different files in one process.
        picture.options["x264-params"] = "cpu-independent=1"
        picture.codec_context.thread_count = 1
        base = Fraction(1, 90_000)
        picture.codec_context.time_base = base
        sound = None
        if samples is not None:
            sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            sound.bit_rate = audio_bitrate
            sound.options = {"flags": "+bitexact"}
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            seconds = Fraction(float(times[index])) if times is not None else Fraction(index) / rate
            frame.time_base = base
            frame.pts = round(seconds / base)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if sound is not None and samples is not None:
            step = 1024
            for begin in range(0, len(samples), step):
                part = np.ascontiguousarray(samples[None, begin : begin + step], dtype=np.float32)
                piece = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                piece.sample_rate = SAMPLE_RATE
                piece.time_base = Fraction(1, SAMPLE_RATE)
                piece.pts = begin
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return buffer.getvalue()


def write_video(
    path: Path, frames: NDArray[np.uint8], samples: NDArray[np.float32] | None = None, **how
) -> Path:
    """Writes `encode_video(frames, samples, **how)` atomically."""
    return write_bytes(path, encode_video(frames, samples, **how))


def read_audio(path: Path) -> NDArray[np.float32]:
    """The sound of any audio or video file as (N,) float32 mono at 16 kHz.

    Raises:
        InputError: the file is missing, has no sound or cannot be decoded.
    """
    import av
    import numpy as np

    parts: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path}: no audio stream")
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(container.streams.audio[0]):
                parts += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be decoded ({error})") from error
    if not parts:
        raise InputError(f"{path}: no sound could be decoded")
    return np.concatenate(parts).astype(np.float32)


def encode_wav(samples: NDArray[np.float32]) -> bytes:
    """16-bit mono WAV at 16 kHz of samples (N,) in [-1,1] (clipped)."""
    import numpy as np

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return buffer.getvalue()


def write_wav(path: Path, samples: NDArray[np.float32]) -> Path:
    """Writes `encode_wav(samples)` atomically."""
    return write_bytes(path, encode_wav(samples))


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture as (H,W,3) uint8 RGB.

    Raises:
        InputError: the file is missing or is not a picture.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: not a readable picture ({error})") from error


def write_image(path: Path, image: NDArray[np.uint8], quality: int = 90) -> Path:
    """Writes (H,W,3) uint8 as PNG or JPEG, by the file's ending."""
    from PIL import Image

    buffer = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(image).save(buffer, kind, **({} if kind == "PNG" else {"quality": quality}))
    return write_bytes(path, buffer.getvalue())
