"""Damaged and odd video files of every kind that a large collection holds, made from a seed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from components.core.media import SAMPLE_RATE, encode_video

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Mutant:
    """A file: what was done to it, its name's ending and its bytes."""

    kind: str
    ending: str
    data: bytes


def mutants(count: int, seed: int, frames: Frames, samples: NDArray[np.float32]) -> Iterator[Mutant]:
    """`count` files, the kinds in turn, from a clip of frames (T,H,W,3) with samples (N,)."""
    rng = np.random.default_rng(seed)
    whole = encode_video(frames, samples)
    silent = encode_video(frames)
    makers = list(MAKERS.items())
    for number in range(count):
        kind, make = makers[number % len(makers)]
        # No two files are the same: a free box with the number at the end, pictures moved by as many pixels.
        base = silent if number % 7 == 6 else whole
        base += (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        ending, data = make(rng, base, np.roll(frames, number, axis=2), samples)
        yield Mutant(kind, ending, data)


def _truncated(rng, base, frames, samples) -> tuple[str, bytes]:
    return ".mp4", base[: int(rng.integers(1, len(base)))]


def _flipped_bits(rng, base, frames, samples) -> tuple[str, bytes]:
    data = bytearray(base)
    for place in rng.integers(0, len(data), int(rng.integers(1, 200))):
        data[place] ^= 1 << int(rng.integers(8))
    return ".mp4", bytes(data)


def _flipped_header(rng, base, frames, samples) -> tuple[str, bytes]:
    """Bits of the index (moov), whose tables the demuxer believes."""
    data = bytearray(base)
    begin = data.index(b"moov")
    for place in rng.integers(begin, len(data), int(rng.integers(1, 12))):
        data[place] ^= 1 << int(rng.integers(8))
    return ".mp4", bytes(data)


def _zeroed(rng, base, frames, samples) -> tuple[str, bytes]:
    data = bytearray(base)
    begin = int(rng.integers(0, len(data)))
    end = min(len(data), begin + int(rng.integers(16, len(data))))
    data[begin:end] = bytes(end - begin)
    return ".mp4", bytes(data)


def _empty(rng, base, frames, samples) -> tuple[str, bytes]:
    return ".mp4", b"" if rng.random() < 0.5 else bytes(int(rng.integers(1, 5000)))


def _wrong_extension(rng, base, frames, samples) -> tuple[str, bytes]:
    choice = int(rng.integers(5))
    if choice == 0:
        return str(rng.choice([".mkv", ".avi", ".webm"])), base
    if choice == 1:
        return ".mp4", b"<!DOCTYPE html><html><body>Not found</body></html>" * int(rng.integers(1, 999))
    if choice == 2:
        return ".mp4", _picture(frames[0], "JPEG")
    if choice == 3:
        return ".mov", _picture(frames[0], "PNG")
    return ".mp4", b"PK\x03\x04" + rng.bytes(3000)


def _picture(frame: Frames, kind: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind)
    return buffer.getvalue()


def _box(data: bytearray, kind: bytes, offset: int, value: int, width: int = 4, nth: int = 0) -> None:
    """Writes a big-endian number into the nth box of a kind, `offset` bytes into its content."""
    place = -1
    for _ in range(nth + 1):
        found = data.find(kind, place + 1)
        if found < 0:
            break
        place = found
    if place >= 0:
        data[place + 4 + offset : place + 4 + offset + width] = value.to_bytes(width, "big")


def _huge_values(rng, base, frames, samples) -> tuple[str, bytes]:
    data = bytearray(base)
    most = (1 << 31) - 1
    kind, offset, value, width = [
        (b"tkhd", 76, 65535 << 16, 4),  # width
        (b"tkhd", 80, 65535 << 16, 4),  # height
        (b"avc1", 24, 65535, 2),  # width of the sample entry
        (b"avc1", 26, 65535, 2),
        (b"stts", 4, most, 4),  # entries
        (b"stts", 8, most, 4),  # samples of one duration
        (b"stts", 12, most, 4),  # that duration
        (b"stsz", 8, most, 4),  # samples
        (b"stsc", 4, most, 4),
        (b"stco", 4, most, 4),
        (b"mdhd", 12, 1, 4),  # timescale
        (b"mdhd", 12, 0, 4),
        (b"avcC", 6, 65535, 2),  # length of the parameter set
        (b"mdat", -8, most, 4),
    ][int(rng.integers(14))]
    _box(data, kind, offset, value, width, int(rng.integers(2)))
    return ".mp4", bytes(data)


def _hours_claimed(rng, base, frames, samples) -> tuple[str, bytes]:
    """Three hours in the headers, or in the time stamps of the last pictures."""
    if rng.random() < 0.4:
        times = np.arange(len(frames)) / 25
        times[-2:] += 3 * 3600
        return ".mp4", encode_video(frames, samples, times=times)
    data = bytearray(base)
    _box(data, b"mvhd", 16, 3 * 3600 * 1000)
    for track in range(2):
        _box(data, b"tkhd", 20, 3 * 3600 * 1000, nth=track)
        _box(data, b"mdhd", 16, 3 * 3600 * 12800, nth=track)
    return ".mp4", bytes(data)


def _odd_pixels(rng, base, frames, samples) -> tuple[str, bytes]:
    ending, codec, pixels, muxer = [
        (".mp4", "libx264", "yuv444p", "mp4"), (".mp4", "libx264", "gray", "mp4"),
        (".mp4", "libx264", "yuv422p10le", "mp4"), (".mkv", "ffv1", "bgr0", "matroska"),
        (".mkv", "ffv1", "yuva420p", "matroska"), (".mkv", "ffv1", "gray16le", "matroska"),
        (".avi", "mjpeg", "yuvj444p", "avi"), (".webm", "libvpx-vp9", "yuv420p", "webm"),
        (".mov", "prores_ks", "yuv422p10le", "mov"), (".avi", "rawvideo", "pal8", "avi"),
        (".mkv", "libx264rgb", "rgb24", "matroska"), (".avi", "rawvideo", "rgb555le", "avi"),
    ][int(rng.integers(12))]  # fmt: skip
    return ending, _encoded(frames, codec, "rgb8" if pixels == "pal8" else pixels, muxer)


def _odd_sizes(rng, base, frames, samples) -> tuple[str, bytes]:
    height, width = [(1, 1), (2, 2), (1, 64), (64, 1), (3, 5), (15, 17), (2, 512), (301, 7)][
        int(rng.integers(8))
    ]
    rows, columns = np.arange(height) * frames.shape[1] // height, np.arange(width) * frames.shape[2] // width
    small = frames[:, rows][:, :, columns]
    return ".mov", _encoded(small, "png", "rgb24", "mov")


def _odd_times(rng, base, frames, samples) -> tuple[str, bytes]:
    """One picture, 0.5 or 240 frames a second, gaps, sound much longer or shorter than the picture."""
    choice = int(rng.integers(6))
    if choice == 0:
        return ".mp4", encode_video(frames[:1], samples)
    if choice == 1:
        return ".mp4", encode_video(frames[:8], samples, fps=0.5)
    if choice == 2:
        return ".mp4", encode_video(frames, samples, fps=240)
    if choice == 3:
        times = np.sort(rng.uniform(0, 12, len(frames)))
        return ".mp4", encode_video(frames, samples, times=times)
    if choice == 4:
        return ".mp4", encode_video(frames, np.tile(samples, 12))
    return ".mp4", encode_video(frames, samples[: SAMPLE_RATE // 10])


def _spliced(rng, base, frames, samples) -> tuple[str, bytes]:
    """The head of one file and the tail of another, or noise in the middle."""
    other = encode_video(frames[::-1])
    cut = int(rng.integers(1, min(len(base), len(other))))
    if rng.random() < 0.5:
        return ".mp4", base[:cut] + other[cut:]
    noise = rng.bytes(int(rng.integers(1, 2000)))
    return ".mp4", base[:cut] + noise + base[cut + len(noise) :]


def _odd_streams(rng, base, frames, samples) -> tuple[str, bytes]:
    """Sound alone, a sound stream without a packet, a rotated picture, another codec's tag."""
    choice = int(rng.integers(3))
    if choice == 0:
        from components.core.media import encode_wav

        return ".mp4", encode_wav(samples)
    data = bytearray(base)
    if choice == 1:
        _box(data, b"tkhd", 40, 0x00000000)
        _box(data, b"tkhd", 44, 0x00010000)
    else:
        place = data.find(b"avc1", data.find(b"stsd"))
        data[place : place + 4] = [b"hvc1", b"vp09", b"mp4v", b"xxxx"][int(rng.integers(4))]
    return ".mp4", bytes(data)


def _encoded(frames: Frames, codec: str, pixels: str, muxer: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


MAKERS: dict[str, Callable[..., tuple[str, bytes]]] = {
    "truncated": _truncated,
    "flipped bits": _flipped_bits,
    "flipped header": _flipped_header,
    "zeroed": _zeroed,
    "empty": _empty,
    "wrong extension": _wrong_extension,
    "huge values": _huge_values,
    "hours claimed": _hours_claimed,
    "odd pixels": _odd_pixels,
    "odd sizes": _odd_sizes,
    "odd times": _odd_times,
    "spliced": _spliced,
    "odd streams": _odd_streams,
}
