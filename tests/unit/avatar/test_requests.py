"""Lists of videos to make, in three forms; every fault is named with its line."""

from __future__ import annotations

import pytest

from components.avatar.requests import read_requests
from components.core.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "x.wav"):
        (tmp_path / name).write_bytes(b"0")
    return tmp_path


def test_jsonl(folder):
    path = folder / "list.jsonl"
    path.write_text(
        '{"image": "a.png", "audio": "x.wav", "prompt": "nod", "videoid": "one", "seed": 7}\n\n'
        '{"image": "b.png", "audio": "x.wav", "text": "smile", "fps": 50}\n'
    )
    one, two = read_requests(path)
    assert (one.name, one.image, one.text, one.fps, one.seed) == ("one", folder / "a.png", "nod", 25, 7)
    assert (two.name, two.text, two.fps, two.seed) == ("0001", "smile", 50, 1)


def test_csv_with_a_byte_order_mark_and_commas_in_quotes(folder):
    path = folder / "list.csv"
    path.write_text(
        '\ufeffvideoid,image,audio,prompt,fps\nv1,a.png,x.wav,"nod, then smile",25\nv2,b.png,x.wav,wave,\n'
    )
    one, two = read_requests(path)
    assert one.text == "nod, then smile" and one.name == "v1" and two.fps == 25


def test_lines(folder):
    path = folder / "list.txt"
    path.write_text("nod slowly@@a.png@@x.wav\n\nsmile @@ b.png @@ x.wav\n")
    one, two = read_requests(path)
    assert [one.text, two.text] == ["nod slowly", "smile"] and two.image == folder / "b.png"
    assert [one.name, two.name] == ["0000", "0001"]


def test_all_faults_are_named_at_once(folder):
    path = folder / "list.jsonl"
    path.write_text(
        '{"image": "gone.png", "audio": "x.wav", "prompt": "nod"}\nnonsense\n'
        '{"image": "a.png", "audio": "x.wav"}\n'
        '{"image": "a.png", "audio": "x.wav", "prompt": "p", "videoid": "../up"}\n'
        '{"image": "a.png", "audio": "x.wav", "prompt": "p", "fps": "fast"}\n'
        '{"image": "a.png", "audio": "x.wav", "prompt": "p", "videoid": "v"}\n'
        '{"image": "a.png", "audio": "x.wav", "prompt": "p", "videoid": "v"}\n'
        '{"image": "a.png", "audio": "x.wav", "promt": "p"}\n'
    )
    with pytest.raises(InputError) as told:
        read_requests(path)
    said = str(told.value)
    for part in (
        "line 1: ", "gone.png is missing", "line 2: is no JSON", "line 3: prompt is missing",
        "line 4: videoid '../up'", "line 5: fps 'fast'", "line 7: videoid 'v' was used in line 6",
        "line 8: unknown key 'promt'",
    ):  # fmt: skip
        assert part in said, part


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("l.txt", "nod@@a.png\n", "has 2 parts"),
        ("l.csv", "videoid,image,audio,prompt,fps\nv,a.png\n", "5 fields"),
        ("l.jsonl", "\n", "asks for no video"),
    ],
)
def test_lists_that_cannot_be_read(folder, name, text, match):
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_requests(folder / name)
