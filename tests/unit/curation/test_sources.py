"""Readers of the published layouts: every known quirk, to the exact segment; wrong lines are told, not fatal.

The fixtures have the layouts of the published lists. Videos are empty files: a reader opens none.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.errors import InputError
from components.curation.sources import Crop, Listing, Missing, reader
from components.curation.sources.humanvid import camera
from components.curation.sources.layout import seconds, youtube_id

CARD = "name: {name}\nlicence: CC-BY-4.0\nconsent: true\nsplit: auto\n"
A, B, C, D = "CPCoMyuBRM0", "uBWJJvynXpA", "y-JQqnqmEgg", "RApGxN-O9Qc"


def laid_out(folder: Path, name: str, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.yaml").write_text(CARD.format(name=name))
    for file, content in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def segments(found: Listing, folder: Path) -> list[tuple]:
    return [
        (e.path.relative_to(folder.resolve()).as_posix(), e.start, e.end, e.source_video)
        for e in found.entries
    ]


def problems(found: Listing) -> list[str]:
    return [str(each) for each in found.malformed]


HDTF = {
    "HDTF_dataset/RD_video_url.txt": f"Radio11 https://www.youtube.com/watch?v={A}&t=6s\n"
    f"Radio24 https://www.youtube.com/watch?v={B}\n",
    "HDTF_dataset/RD_annotion_time.txt": "Radio11.mp4 00:30-01:00 01:30-02:30\n",
    "HDTF_dataset/RD_crop_wh.txt": "Radio11_0.mp4 412 599 0 599\nRadio11_1.mp4 557 478 0 478\n",
    "HDTF_dataset/RD_resolution.txt": "Radio11.mp4 720\nRadio24.mp4 0\n",
    "HDTF_dataset/RD_crop_ratio.txt": "Radio11_0.mp4 1.2\nRadio11_1.mp4 1.2\n",
    # a byte order mark, and a subset whose clip has no crop
    "HDTF_dataset/WDA_video_url.txt": b"\xef\xbb\xbf" + f"Maloney2 https://youtu.be/{C}\n".encode(),
    "HDTF_dataset/WDA_annotion_time.txt": "Maloney2.mp4 00:05-04:40",
    "HDTF_dataset/WDA_resolution.txt": "Maloney2.mp4 360\n",
    # trailing spaces, also a non-breaking one; a resolution of 0; lines that are wrong
    "HDTF_dataset/WRA_video_url.txt": f"King https://www.youtube.com/watch?v={D}\n",
    "HDTF_dataset/WRA_annotion_time.txt": "King.mp4 00:20-00:40 \u00a0\n\nBad.mp4 00:40-00:20\n"
    "Odd.mp4 0:a-1:00\nNone.mp4\nGone.mp4 00:00-00:10\n",
    "HDTF_dataset/WRA_crop_wh.txt": "King_0.mp4 319 492 11 492\nKing_1.mp4 319 492\nKing_2.mp4 1 0 1 9\n",
    "HDTF_dataset/WRA_resolution.txt": "King.mp4 0\nGone.mp4 abc\n",
}


def test_hdtf(tmp_path: Path) -> None:
    videos = {"videos/Radio11.mp4": "", "videos/Maloney2.mp4": "", "raw/WRA_King.mp4": ""}
    folder = laid_out(tmp_path, "hdtf", HDTF | videos)
    found = reader("hdtf")(folder)
    assert segments(found, folder) == [
        ("raw/WRA_King.mp4", 20.0, 40.0, f"youtube/{D}"),
        ("videos/Maloney2.mp4", 5.0, 280.0, f"youtube/{C}"),
        ("videos/Radio11.mp4", 30.0, 60.0, f"youtube/{A}"),
        ("videos/Radio11.mp4", 90.0, 150.0, f"youtube/{A}"),
    ]
    assert [e.crop for e in found.entries] == [
        None,  # its resolution is 0: nobody knows what its window refers to
        None,
        Crop(412, 0, 599, 599, 720),
        Crop(557, 0, 478, 478, 720),
    ]
    assert found.missing == [Missing("Gone.mp4", "")]
    assert problems(found) == [
        "HDTF_dataset/WRA_annotion_time.txt:3: the span 40 … 20 s is empty or reversed",
        "HDTF_dataset/WRA_annotion_time.txt:4: '0:a' is not a time (HH:MM:SS)",
        "HDTF_dataset/WRA_annotion_time.txt:5: None has no times",
        "HDTF_dataset/WRA_crop_wh.txt:2: 4 values are expected after King_1.mp4, not 2",
        "HDTF_dataset/WRA_crop_wh.txt:3: the window of King_2.mp4 is empty",
        "HDTF_dataset/WRA_resolution.txt:2: whole numbers are expected after Gone.mp4: abc",
    ]


def test_hdtf_finished_clips_come_before_whole_videos(tmp_path: Path) -> None:
    videos = {"Radio11.mp4": "", "Radio11_0.mp4": "", "x/RD_Radio11_001.mp4": ""}
    folder = laid_out(tmp_path, "hdtf", HDTF | videos)
    found = reader("hdtf")(folder)
    assert [(e.path.name, e.start, e.end, e.crop) for e in found.entries] == [
        ("Radio11_0.mp4", 0.0, None, None),
        ("RD_Radio11_001.mp4", 0.0, None, None),
    ]
    assert {each.file for each in found.missing} == {"Maloney2.mp4", "King.mp4", "Gone.mp4"}
    assert f"https://youtu.be/{C}" in {each.url for each in found.missing}


def test_a_crop_follows_the_video_that_is_on_disk() -> None:
    crop = Crop(412, 0, 599, 600, 720)
    assert crop.at(720) == (412, 0, 599, 600) and crop.at(1080) == (618, 0, 898, 900)
    assert crop.at(None) == (412, 0, 599, 600)


def test_avspeech(tmp_path: Path) -> None:
    train = (
        f"{A},4.9,8.0,0.5,0.25\n{B},90.5,95.5,0.1,0.9\n{A},4.9,8.0,0.5,0.25\n{C},3,2,.5,.5\nshort,1,2,.5,.5\n"
    )
    train += f"{C},0,4,1.5,.5\n{C},1,x,.5,.5\n{C},1,5,.5\n"
    files = {
        "avspeech_train.csv": train,
        "avspeech_test.csv": f"{D},7.233333,12.0,0.5,0.5\n{C},0,5,0.5,0.5\n",
        f"clips/{A}_004.900000-008.000000.mp4": "",
        f"whole/{B}.mp4": "",
        f"{D}_007.233333-012.000000.mp4": "",
    }
    folder = laid_out(tmp_path, "avspeech", files)
    found = reader("avspeech")(folder)
    assert segments(found, folder) == [
        (f"{D}_007.233333-012.000000.mp4", 0.0, None, f"youtube/{D}"),
        (f"clips/{A}_004.900000-008.000000.mp4", 0.0, None, f"youtube/{A}"),
        (f"whole/{B}.mp4", 90.5, 95.5, f"youtube/{B}"),
    ]
    assert [e.split for e in found.entries] == ["test", None, None]
    url = f"https://www.youtube.com/watch?v={C}&t=0s"
    assert found.missing == [Missing(f"{C}_000.000000-005.000000.mp4", url)]
    assert problems(found) == [
        f"avspeech_train.csv:3: {A} 4.9 … 8 s is listed before",
        "avspeech_train.csv:4: the span 3 … 2 s is empty or reversed",
        "avspeech_train.csv:5: 'short' is not the id of a YouTube video",
        "avspeech_train.csv:6: the face's centre 1.5, 0.5 is not within 0 … 1",
        "avspeech_train.csv:7: could not convert string to float: 'x'",
        "avspeech_train.csv:8: 5 values are expected, there are 4",
    ]


def test_emtd_is_for_testing_whatever_its_card_says(tmp_path: Path) -> None:
    rows = [
        f"https://www.youtube.com/watch?v={A},00:00:54.596,00:01:01.561",
        f"https://www.youtube.com/watch?app=desktop&v={B},00:02:04.207,01:02:11.006",
        f"https://www.youtube.com/watch?v={C}&t=355s,00:05:17.317,00:05:19.528",
        f"https://www.youtube.com/watch?v={C}&t=355s,00:05:20.000,00:05:18.000",
        f"https://example.org/{C},00:00:00.000,00:00:05.000",
        f"https://www.youtube.com/watch?v={D},00:00:01.000,00:00:09.500",
    ]
    name = "echomimicv2_benchmark_url+start_timecode+end_timecode.txt"
    files = {
        name: "\n".join(["URL,Start Timecode,End Timecode", *rows]) + "\n",
        "notes.txt": "something else\n",
        f"ori/{A}.mp4": "",
        f"cut/001_{B}.mp4": "",
        f"ori/{C}&t=355s.mp4": "",
    }
    folder = laid_out(tmp_path, "emtd", files)
    found = reader("emtd")(folder)
    assert segments(found, folder) == [
        (f"cut/001_{B}.mp4", 0.0, None, f"youtube/{B}"),
        (f"ori/{A}.mp4", 54.596, 61.561, f"youtube/{A}"),
        (f"ori/{C}&t=355s.mp4", 317.317, 319.528, f"youtube/{C}"),
    ]
    assert {e.card.split for e in found.entries} == {"test"}
    assert found.missing == [Missing(f"{D}.mp4", f"https://www.youtube.com/watch?v={D}")]
    assert problems(found) == [
        f"{name}:5: the span 320 … 318 s is empty or reversed",
        f"{name}:6: 'https://example.org/{C}' is not the address of a YouTube video",
    ]


def talkvid(name: str, video: str, start: float, end: float, **more: object) -> dict:
    return {
        "id": name, "height": 1080, "width": 1920, "fps": 24.0, "start-time": start, "start-frame": 0,
        "end-time": end, "end-frame": 121, "durations": f"{end - start:.3f}s",
        "info": {"Person ID": "597", "Video Link": f"https://www.youtube.com/watch?v={video}"},
        "description": " A man talks. ", "dover_scores": 8.9, "head_detail": {"scores": {"avg_movement": 98}},
    } | more  # fmt: skip


def test_talkvid(tmp_path: Path) -> None:
    one = f"videovideo{A}-scene1-scene1"
    items = [
        talkvid(one, A, 0.1, 5.141666666666667),
        talkvid(f"videovideo{B}-scene2", B, 10.0, 16.5, description="")
        | {"info": {"Video Link": f"https://www.youtube.com/watch?v={B}", "Language": "Polish "}},
        talkvid(f"videovideo{C}-scene1", C, 1.0, 9.0),
        talkvid(one, A, 0.1, 5.141666666666667),
        talkvid("long", A, 0.0, 5.0, durations="7.5s"),
        talkvid("null", A, 0.0, 5.0) | {"end-time": None},
        {"id": "bare"},
        ["not", "an", "object"],
    ]
    lists = {"filtered_video_clips.json": "[\n" + ",\n".join(map(json.dumps, items)) + "\n]\n"}
    folder = laid_out(tmp_path, "talkvid", lists | {f"clips/{one}.mp4": "", f"raw/{B}.mp4": ""})
    found = reader("talkvid")(folder)
    assert segments(found, folder) == [
        (f"clips/{one}.mp4", 0.0, None, f"youtube/{A}"),
        (f"raw/{B}.mp4", 10.0, 16.5, f"youtube/{B}"),
    ]
    assert [e.caption for e in found.entries] == ["A man talks.", None]
    assert [e.language for e in found.entries] == [None, "Polish"]
    assert found.missing == [Missing(f"videovideo{C}-scene1.mp4", f"https://www.youtube.com/watch?v={C}")]
    file = "filtered_video_clips.json"
    told = problems(found)
    assert told[0] == f"{file}:5: {one} is listed before"
    assert told[1] == f"{file}:6: durations says 7.5 s, the times say 5.000 s"
    assert told[2].startswith(f"{file}:7: start-time and end-time must be numbers")
    assert told[3] == f"{file}:8: 'start-time' is missing"
    assert told[4].startswith(f"{file}:9: ") and len(told) == 5 + 2  # the list's three strings, one each


def test_broken_json_costs_the_broken_object_only(tmp_path: Path) -> None:
    good = [json.dumps(talkvid(name, A, 0.0, 5.0)) for name in ("one", "two", "three")]
    text = f'[\n{good[0]},\n{{"id": "torn", "start-time": }},\n{good[1]},\n{good[2]}\n]'
    folder = laid_out(tmp_path, "t", {"list.json": text, "one.mp4": "", "two.mp4": "", "three.mp4": ""})
    found = reader("talkvid")(folder)
    assert [e.path.stem for e in found.entries] == ["one", "three", "two"]
    assert problems(found) == ["list.json:3: not JSON: Expecting value"]
    rows = laid_out(tmp_path / "rows", "t", {"list.jsonl": "\n".join(good), "two.mp4": ""})
    assert len(reader("talkvid")(rows).entries) == 1


def test_hallo3_folders_and_list(tmp_path: Path) -> None:
    files = {
        "videos/0001.mp4": "",
        "videos/0002.mp4": "",
        "caption/0001.txt": " A woman. \n",
        "caption/0003.txt": "x",
    }
    folder = laid_out(tmp_path, "hallo3", files)
    found = reader("hallo3")(folder)
    assert [(e.path.name, e.caption) for e in found.entries] == [("0001.mp4", "A woman."), ("0002.mp4", None)]
    assert [each.file for each in found.missing] == ["videos/0003.mp4"]
    listed = [
        {"video_path": "/data/train/videos/0002.mp4", "caption": "A man.", "face_emb_path": "x.pt"},
        {"video_path": "./videos/0001.mp4"},
        {"video_path": "videos/0009.mp4"},
        {"caption": "no video"},
        {"video_path": "../.."},
    ]
    (folder / "train.json").write_text(json.dumps(listed))
    found = reader("hallo3")(folder)
    assert [(e.path.name, e.caption) for e in found.entries] == [
        ("0001.mp4", "A woman."),
        ("0002.mp4", "A man."),
    ]
    assert [each.file for each in found.missing] == ["videos/0009.mp4"]
    assert found.missing[0].url.startswith("https://huggingface.co/")
    assert "'video_path' is missing" in problems(found)[0] and "leaves its folder" in problems(found)[1]


def test_humanvid_without_lists_takes_both_parts_and_has_no_sound(tmp_path: Path) -> None:
    files = {
        "data/pexels-my-h/videos/0/4919657-hd_1920_1080_24fps.mp4": "",
        "data/pexels-my-h/dwpose/0/4919657-hd_1920_1080_24fps.mp4": "",
        "data/pexels-my-v/videos/9/77.mp4": "",
        "training_video/3d_video_1/mp4/a.mp4": "",
        "training_video/3d_video_1/dwpose/a.mp4": "",
        "training_video/generated_video_10/mp4/a.mp4": "",
        "pexels_urls.txt": "https://videos.pexels.com/video-files/1/1.mp4\n",
        "pexels_urls_new.txt": "https://videos.pexels.com/video-files/4919657/4919657-uhd_24fps.mp4\n"
        "https://videos.pexels.com/video-files/77/77-hd.mp4\nhttps://videos.pexels.com/video-files/5/5-hd.mp4\nhm\n",
        "data/pexels-my-h/camera/0/4919657-hd_1920_1080_24fps.txt": "0 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1 .5 .6\n"
        "2 0 0 0 0 0 0 1 .5 .6 1.0\n3 0 0 0 0 0 0 1 .5\n4 0 0 nil 0 0 0 1\n",
        "training_video/3d_video_1/camera/a.txt": "0 0 0\n",
    }
    folder = laid_out(tmp_path, "humanvid", files)
    found = reader("humanvid")(folder)
    assert [e.path.relative_to(folder.resolve()).as_posix() for e in found.entries] == [
        "data/pexels-my-h/videos/0/4919657-hd_1920_1080_24fps.mp4",
        "data/pexels-my-v/videos/9/77.mp4",
        "training_video/3d_video_1/mp4/a.mp4",
        "training_video/generated_video_10/mp4/a.mp4",
    ]
    assert len({e.source_video for e in found.entries}) == 4
    assert {e.card.audio for e in found.entries} == {"none"}
    url = "https://videos.pexels.com/video-files/5/5-hd.mp4"
    assert found.missing == [Missing("5-hd.mp4", url)]
    file = "data/pexels-my-h/camera/0/4919657-hd_1920_1080_24fps.txt"
    assert problems(found) == [
        f"{file}:4: 9 columns; there must be 8, 10 or 11",
        f"{file}:5: could not convert string to float: 'nil'",
        "pexels_urls_new.txt:4: 'hm' is not the address of an mp4 file",
        "training_video/3d_video_1/camera/a.txt:1: 3 columns; there must be 8, 10 or 11",
    ]


def test_humanvid_segments_are_frames(tmp_path: Path) -> None:
    h = "./data/pexels-my-h/videos/0/123-hd.mp4"
    meta = [
        {"video_path": h, "kps_path": "…", "start_frame": 250, "end_frame": 500},
        {"video_path": h, "kps_path": "…", "start_frame": 0, "end_frame": 250},
        {"video_path": "/mnt/data/ue_rendered/training_video/3d_video_2/mp4/b.mp4", "kps_path": "…"},
        {"video_path": "data/pexels-my-v/videos/1/9-hd.mp4", "start_frame": 0, "end_frame": 10},
        {"video_path": h, "start_frame": 10, "end_frame": 10},
    ]
    files = {
        "data/json_files/pexels-ue_horizontal.json": json.dumps(meta),
        h: "",
        "training_video/3d_video_2/mp4/b.mp4": "",
        "urls_new.txt": "https://videos.pexels.com/video-files/9/9-uhd_24fps.mp4\n",
    }
    folder = laid_out(tmp_path, "humanvid", files)
    found = reader("humanvid")(folder)
    assert [(e.path.name, e.frames) for e in found.entries] == [
        ("123-hd.mp4", (0, 250)),
        ("123-hd.mp4", (250, 500)),
        ("b.mp4", None),
    ]
    url = "https://videos.pexels.com/video-files/9/9-uhd_24fps.mp4"
    assert found.missing == [Missing("data/pexels-my-v/videos/1/9-hd.mp4", url)]
    assert problems(found) == ["data/json_files/pexels-ue_horizontal.json:1: frames 10 … 10 are no segment"]


def test_camera_lines_of_all_releases(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("0 1 2 3 0 0 0 1\n1 1 2 3 0 0 0 1 0.5 0.6 2\n")
    assert dict(camera(path)) == {1: (0, 1, 2, 3, 0, 0, 0, 1), 2: (1, 1, 2, 3, 0, 0, 0, 1, 0.5, 0.6, 2)}


@pytest.mark.parametrize("kind", ["hdtf", "avspeech", "emtd", "talkvid", "hallo3", "humanvid"])
def test_nothing_there_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        reader(kind)(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no") as caught:
        reader(kind)(laid_out(tmp_path, kind, {}))
    assert "\n" not in str(caught.value)


def test_all_videos_missing_names_the_command(tmp_path: Path) -> None:
    folder = laid_out(
        tmp_path, "emtd", {"l.csv": f"URL,Start Timecode,End Timecode\nhttps://youtu.be/{A},0:01,0:09\n"}
    )
    with pytest.raises(InputError, match=f"none of the 1 videos .* {A}.mp4; `syncdreamer sources check`"):
        reader("emtd")(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:30", 30), ("1:02:03.5", 3723.5), ("54.596", 54.596), ("99:59", 5999), ("00:00:00", 0)],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_every_timecode_is_read_back(hours: int, minutes: int, thousandths: int) -> None:
    text = f"{hours:02d}:{minutes:02d}:{thousandths / 1000:06.3f}"
    assert seconds(text) == pytest.approx(hours * 3600 + minutes * 60 + thousandths / 1000, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (seconds, youtube_id):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
