"""Lists of videos: one failure does not stop the others, and each outcome is on record."""

from __future__ import annotations

import json

import numpy as np
import pytest

from components.core.errors import InputError
from flows.generation import generate_list, retimed


class Stub:
    """Stands where the champion pair does: writes a file, fails for one picture."""

    def __init__(self):
        self.seeds = []

    def make(self, image, audio, text, out, *, seed, steps, fps):
        if image.name == "bad.png":
            raise InputError("no face found")
        self.seeds.append((seed, steps, fps))
        out.write_bytes(b"mp4")
        return {"prompt": text, "frames": 3, "warnings": []}


def test_every_outcome_is_on_record(tmp_path):
    for name in ("a.png", "bad.png", "x.wav"):
        (tmp_path / name).write_bytes(b"0")
    (tmp_path / "list.csv").write_text(
        "videoid,image,audio,prompt,fps\none,a.png,x.wav,nod,25\ntwo,bad.png,x.wav,nod,25\nthree,a.png,x.wav,nod,30\n"
    )
    stub, out = Stub(), tmp_path / "out"
    with pytest.raises(InputError, match=r"1 of 3 requests failed \(two\)"):
        generate_list(None, tmp_path / "list.csv", out, seed=10, steps=None, studio=stub)
    assert sorted(path.name for path in out.glob("*.mp4")) == ["one.mp4", "three.mp4"]
    assert stub.seeds == [(10, None, 25), (12, None, 30)]
    rows = [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["one", "two", "three"] and rows[1]["error"] == "no face found"


def test_another_rate_shows_the_same_moments():
    frames = np.arange(25)[:, None, None, None]
    assert retimed(frames, 25) is frames
    assert retimed(frames, 50)[:6, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2] and len(retimed(frames, 50)) == 50
    half = retimed(frames, 10)[:, 0, 0, 0].tolist()
    assert half == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
