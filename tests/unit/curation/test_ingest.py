"""What is there: every file once, bad ones with their problem, and one clear line for what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import read_json, read_parquet
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation.ingest import run
from components.curation.params import IngestParams, SourceParams
from components.curation.probe import is_cut_short, probe
from components.curation.sources import READERS, reader

CARD = "name: demo\nlicence: CC0-1.0\nconsent: true\nsplit: auto\n"
ONE = IngestParams(sources=(SourceParams(path="demo"),))


@pytest.fixture(scope="module")
def video() -> bytes:
    frames = np.random.default_rng(0).integers(0, 255, (30, 32, 48, 3), np.uint8)
    return encode_video(frames, np.zeros(30 * 640, np.float32))


def place(root: Path, files: dict[str, bytes], card: str | None = CARD, folder: str = "demo") -> Workspace:
    for name, content in files.items():
        path = root / "data/raw" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if card is not None:
        (root / "data/raw" / folder / "source.yaml").write_text(card)
    return Workspace(root)


def test_every_file_has_a_row_and_bad_ones_a_problem(tmp_path: Path, video: bytes) -> None:
    workspace = place(
        tmp_path,
        {"b.mp4": video, "a b.mp4": b"junk" * 99, "sub/c.MP4": b"", "d.mp4": video[: len(video) // 2],
         "n.txt": b"x", "b.txt": "Grüße\n".encode()},
    )  # fmt: skip
    run(ONE, workspace, 0)
    table = read_parquet(tmp_path / "artifacts/ingest/inventory.parquet").set_index("file")
    assert list(table.index) == ["demo/a b.mp4", "demo/b.mp4", "demo/d.mp4", "demo/sub/c.MP4"]
    good = table.loc["demo/b.mp4"]
    assert (good["width"], good["height"], good["fps"], good["has_audio"]) == (48, 32, 25, True)
    assert good["duration"] == pytest.approx(1.2) and good["source_video"] == "demo/b"
    assert good["caption"] == "Grüße" and good["licence"] == "CC0-1.0" and bool(good["consent"])
    assert table.loc["demo/a b.mp4", "problem"].startswith("corrupt: cannot be opened")
    assert table.loc["demo/sub/c.MP4", "problem"] == "corrupt: the file is empty"
    assert table.loc["demo/d.mp4", "problem"].startswith("truncated: ")
    figures = read_json(tmp_path / "artifacts/ingest/metrics.json")
    assert (figures["files"], figures["unreadable"]) == (4, 3)


def test_the_same_files_give_the_same_bytes_elsewhere(tmp_path: Path, video: bytes) -> None:
    tables = []
    for name in ("one", "two"):
        run(ONE, place(tmp_path / name, {"x.mp4": video, "y.mp4": video[:500]}), 0)
        tables.append((tmp_path / name / "artifacts/ingest/inventory.parquet").read_bytes())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("files", "card", "message"),
    [
        ({}, CARD, "is missing"),
        ({"n.txt": b""}, CARD, "holds no video"),
        ({"v.mp4": b""}, None, "source.yaml is missing"),
        ({"v.mp4": b""}, "- a\n", "must hold fields"),
        ({"v.mp4": b""}, "name: [x\n", "is not YAML"),
        ({"v.mp4": b""}, "name: x\nlicence: y\n", "consent: Field required"),
        ({"v.mp4": b""}, CARD + "lisence: z\n", "lisence: Extra inputs"),
        ({"v.mp4": b""}, CARD.replace("auto", "valid"), "split: Input should be 'auto' or 'test'"),
    ],
)
def test_a_bad_source_is_told_in_one_line(
    tmp_path: Path, files: dict, card: str | None, message: str
) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    workspace = place(tmp_path, files, card if files else None)
    with pytest.raises(InputError, match=message) as caught:
        run(ONE, workspace, 0)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "artifacts").exists()


def test_no_data_at_all_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc pull data.dvc"):
        run(ONE, Workspace(tmp_path), 0)


def test_two_sources_of_one_name_and_paths_outside_are_refused(tmp_path: Path, video: bytes) -> None:
    place(tmp_path, {"a.mp4": video}, folder="one")
    workspace = place(tmp_path, {"a.mp4": video}, folder="two")
    both = IngestParams(sources=(SourceParams(path="one"), SourceParams(path="two")))
    with pytest.raises(InputError, match="both named 'demo'"):
        run(both, workspace, 0)
    with pytest.raises(InputError, match="leaves its folder"):
        run(IngestParams(sources=(SourceParams(path="../../etc"),)), workspace, 0)


def test_an_unknown_reader_lists_those_there_are() -> None:
    assert set(READERS) >= {"folder"}
    with pytest.raises(InputError, match="'hdft' is unknown; there are: .*folder"):
        reader("hdft")


def test_cut_short_is_told_from_damaged(tmp_path: Path, video: bytes) -> None:
    path = tmp_path / "v.mp4"
    for content, expected in (
        (video, False),
        (video[: len(video) // 2], True),
        (b"junk" * 200, False),
        (b"", False),
    ):
        path.write_bytes(content)
        assert is_cut_short(path) is expected
    scrambled = bytearray(video)
    scrambled[40:] = np.random.default_rng(1).integers(0, 256, len(video) - 40, np.uint8).tobytes()
    path.write_bytes(bytes(scrambled))
    assert probe(path).problem is not None


@pytest.mark.parametrize("index_first", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_a_cut_file_is_truncated_wherever_it_was_cut(
    tmp_path: Path, video: bytes, share: float, index_first: bool
) -> None:
    path = tmp_path / "v.mp4"
    content = with_index_first(video) if index_first else video
    path.write_bytes(content[: round(len(content) * share)])
    assert is_cut_short(path)


@pytest.mark.parametrize("head", [48, 64, 200])
@pytest.mark.parametrize("noise", [4_000, 400_000])
def test_noise_behind_a_good_head_is_corrupt(tmp_path: Path, video: bytes, head: int, noise: int) -> None:
    path = tmp_path / "v.mp4"
    for seed in range(20):
        path.write_bytes(video[:head] + np.random.default_rng(seed).bytes(noise))
        problem = probe(path).problem
        assert problem is not None and problem.startswith("corrupt: ")


def with_index_first(video: bytes) -> bytes:
    """The same boxes with moov before mdat (its offsets are then wrong, which no one here reads)."""
    boxes, position = {}, 0
    while position < len(video):
        length = int.from_bytes(video[position : position + 4], "big")
        boxes[video[position + 4 : position + 8]] = video[position : position + length]
        position += length
    return boxes[b"ftyp"] + boxes[b"moov"] + boxes[b"mdat"]
