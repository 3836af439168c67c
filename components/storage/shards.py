"""WebDataset shards: tar files whose members `<key>.<part>` belong to one sample.

The bytes of a shard depend on its samples alone: members carry no time, owner or path, and parts are
written in sorted order. Readable by the `webdataset` library and by `read_shards` here.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError
from components.core.files import write_bytes

PATTERN = "clips-%05d.tar"


@dataclass(frozen=True)
class Sample:
    """One sample: its key and its parts by file ending, e.g. {"mp4": …, "wav": …, "json": …}."""

    key: str
    parts: Mapping[str, bytes]


def encode_shard(samples: Iterable[Sample]) -> bytes:
    """The tar file of `samples`, in the given order.

    Raises:
        InputError: a key is empty, holds a dot or slash (a reader splits names there), or comes twice.
    """
    buffer = io.BytesIO()
    seen: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            if not sample.key or set("./\\") & set(sample.key) or sample.key in seen:
                raise InputError(f"sample key {sample.key!r} is empty, holds a dot or slash, or comes twice")
            seen.add(sample.key)
            for part in sorted(sample.parts):
                member = tarfile.TarInfo(f"{sample.key}.{part}")
                member.size = len(sample.parts[part])
                member.mode = 0o644
                archive.addfile(member, io.BytesIO(sample.parts[part]))
    return buffer.getvalue()


def write_shards(
    folder: Path, samples: Iterable[Sample], samples_per_shard: int, pattern: str = PATTERN
) -> list[Path]:
    """Writes shards of `samples_per_shard` samples each, one shard in memory at a time, each atomically.

    Returns:
        The shards in order. No samples, no shards.
    """
    paths: list[Path] = []
    batch: list[Sample] = []

    def flush() -> None:
        paths.append(write_bytes(folder / (pattern % len(paths)), encode_shard(batch)))
        batch.clear()

    for sample in samples:
        batch.append(sample)
        if len(batch) == samples_per_shard:
            flush()
    if batch:
        flush()
    return paths


def list_shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order.

    Raises:
        InputError: there is none.
    """
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise InputError(f"no shard (*.tar) in {folder}")
    return paths


def read_shard(path: Path) -> Iterator[Sample]:
    """Streams the samples of one shard in its order.

    Raises:
        InputError: the file is missing or is not a whole tar file.
    """
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r|") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None:
                    continue
                stem, _, part = member.name.partition(".")
                if stem != key and parts:
                    yield Sample(key, parts)
                    parts = {}
                key, parts[part] = stem, content.read()
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"shard {path} cannot be read ({error})") from error
    if parts:
        yield Sample(key, parts)


def read_shards(folder: Path) -> Iterator[Sample]:
    """Streams the samples of all shards of a folder, one sample in memory at a time.

    Raises:
        InputError: there is no shard, or one cannot be read.
    """
    for path in list_shards(folder):
        yield from read_shard(path)
