"""Shards: bytes depend on content alone, and the webdataset library reads them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from components.core.errors import InputError
from components.storage.shards import Sample, encode_shard, read_shards, write_shards

SAMPLES = [
    Sample(
        f"{index:016x}-0", {"wav": bytes([index]) * 5, "mp4": b"video" * index, "json": b'{"n": %d}' % index}
    )
    for index in range(5)
]


def test_bytes_do_not_depend_on_the_clock_or_the_order_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode_shard(SAMPLES)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    turned = [Sample(sample.key, dict(reversed(list(sample.parts.items())))) for sample in SAMPLES]
    assert encode_shard(turned) == first


def test_round_trip_over_several_shards(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, iter(SAMPLES), samples_per_shard=2)
    assert [path.name for path in paths] == ["clips-00000.tar", "clips-00001.tar", "clips-00002.tar"]
    assert list(read_shards(tmp_path)) == SAMPLES
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]


def test_webdataset_reads_them(tmp_path: Path) -> None:
    import webdataset

    paths = write_shards(tmp_path, SAMPLES, samples_per_shard=3)
    data = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False, empty_check=False)
    read = list(data)
    assert [sample["__key__"] for sample in read] == [sample.key for sample in SAMPLES]
    assert [json.loads(sample["json"])["n"] for sample in read] == list(range(5))
    assert read[3]["mp4"] == b"video" * 3


@pytest.mark.parametrize("key", ["", "a.b", "a/b"])
def test_a_key_that_a_reader_would_split_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="sample key"):
        encode_shard([Sample(key, {"json": b"{}"})])


def test_the_same_key_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        encode_shard([SAMPLES[0], SAMPLES[0]])


def test_an_empty_folder_and_a_torn_shard_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shard"):
        list(read_shards(tmp_path))
    (tmp_path / "clips-00000.tar").write_bytes(encode_shard(SAMPLES)[:700])
    with pytest.raises(InputError, match="cannot be read"):
        list(read_shards(tmp_path))
