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


def test_a_language_and_a_performance_are_told_by_the_source(tmp_path: Path, video: bytes) -> None:
    workspace = place(tmp_path, {"a.mp4": video}, CARD + "language: Finnish\ndelivery: performance\n")
    run(ONE, workspace, 0)
    (row,) = read_parquet(tmp_path / "artifacts/ingest/inventory.parquet").to_dict("records")
    assert (row["language"], row["delivery"]) == ("Finnish", "performance")
    (tmp_path / "data/raw/demo/source.yaml").write_text(CARD)
    run(ONE, workspace, 0)
    assert "language" not in read_parquet(tmp_path / "artifacts/ingest/inventory.parquet")


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


def test_several_layouts_at_once_with_spans_crops_and_gaps(tmp_path: Path, video: bytes) -> None:
    """The video is 48×32 at 25 fps and 1.2 s long; HDTF's window was measured at 64 lines."""
    name = "aaaaaaaaaaa"
    workspace = place(
        tmp_path,
        {
            "RD_annotion_time.txt": b"One.mp4 00:00-00:01 00:01-00:02\nTwo.mp4 00:00-00:05\nx.mp4 1\n",
            "RD_video_url.txt": f"One https://youtu.be/{name}\nTwo https://youtu.be/bbbbbbbbbbb\n".encode(),
            "RD_crop_wh.txt": b"One_0.mp4 16 32 0 64\n",
            "RD_resolution.txt": b"One.mp4 64\n",
            "One.mp4": video,
        },
        CARD.replace("demo", "hdtf"),
        "hdtf",
    )
    meta = b'[{"video_path": "training_video/3d_video_1/mp4/a.mp4", "start_frame": 5, "end_frame": 30}]'
    place(
        tmp_path,
        {"meta.json": meta, "training_video/3d_video_1/mp4/a.mp4": video},
        CARD.replace("demo", "humanvid"),
        "humanvid",
    )
    place(tmp_path, {"b.mp4": video})
    sources = [("hdtf", "hdtf"), ("humanvid", "humanvid"), ("folder", "demo")]
    params = IngestParams(sources=tuple(SourceParams(kind=kind, path=path) for kind, path in sources))
    run(params, workspace, 0)
    folder = tmp_path / "artifacts/ingest"
    table = read_parquet(folder / "inventory.parquet")
    assert table[["source", "start", "end", "crop", "audio"]].astype(object).where(table.notna(), None)[
        ["source", "start", "end", "crop", "audio"]
    ].values.tolist() == [
        ["demo", 0.0, None, None, "required"],
        ["hdtf", 0.0, 1.0, "8,0,16,32", "required"],
        ["hdtf", 1.0, 2.0, None, "required"],
        ["humanvid", 0.2, 1.2, None, "none"],
    ]
    assert table["source_video"].tolist()[1:3] == [f"youtube/{name}"] * 2
    assert (
        folder / "missing.csv"
    ).read_text() == "source,file,url\nhdtf,Two.mp4,https://youtu.be/bbbbbbbbbbb\n"
    assert "hdtf,RD_annotion_time.txt,3," in (folder / "malformed.csv").read_text()
    figures = read_json(folder / "metrics.json")
    assert (figures["missing"], figures["malformed"], figures["files"]) == (1, 1, 4)


def test_the_command_tells_what_is_missing(
    tmp_path: Path, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from components.curation.source_commands import app

    lists = b"URL,Start Timecode,End Timecode\nhttps://youtu.be/aaaaaaaaaaa,0:00,0:01\n"
    lists += b"https://youtu.be/bbbbbbbbbbb,0:00,0:01\nhttps://youtu.be/bbbbbbbbbbb,0:02,0:01\n"
    place(tmp_path, {"l.csv": lists, "aaaaaaaaaaa.mp4": video}, CARD.replace("demo", "emtd"), "emtd")
    place(tmp_path, {"b.mp4": video})
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(tmp_path))
    sources = "[{kind: emtd, path: emtd}, {kind: folder, path: demo}]"
    (tmp_path / "params.yaml").write_text(f"ingest: {{sources: {sources}}}\n")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("emtd (emtd): 1 clips of 1 recordings, 1 videos missing, 1 lines wrong")
    assert lines[1] == "  missing  bbbbbbbbbbb.mp4  https://www.youtube.com/watch?v=bbbbbbbbbbb"
    assert lines[2] == "  wrong    l.csv:4: the span 2 … 1 s is empty or reversed"
    assert lines[3].startswith("demo (folder): 1 clips of 1 recordings, 0 videos missing")
    assert CliRunner().invoke(app, ["check", "--source", "demo"]).exit_code == 0
    card = CliRunner().invoke(app, ["card", "talkvid"]).output
    assert "CC-BY-NC-4.0" in card and "consent: false" in card
    assert isinstance(CliRunner().invoke(app, ["card", "hdft"]).exception, InputError)
    (tmp_path / "params.yaml").write_text("ingest: {sources: [{patth: x}]}\n")
    assert isinstance(CliRunner().invoke(app, ["check"]).exception, InputError)
