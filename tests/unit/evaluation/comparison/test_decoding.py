"""A comparison decodes the real clip of a case once for all the rows it stands in."""

from __future__ import annotations

from collections import Counter

import numpy as np

from components.core.media import write_image, write_video
from components.evaluation.comparison import measures
from components.evaluation.suites.case import Case


def test_the_real_clip_is_decoded_once(tmp_path, monkeypatch):
    case = Case("c", "portrait", "p", "en", "close-up", "speech", "nod", "Nods.", 10, tmp_path)
    write_image(case.path("image"), np.full((32, 32, 3), 90, np.uint8))
    for name, shade in (("truth", 200), ("copy", 60)):
        write_video(case.path(name), np.full((10, 32, 32, 3), shade, np.uint8))
    meter = object.__new__(measures.Meter)  # without its nets
    meter._references = {}
    monkeypatch.setattr(meter, "_cut", lambda frames, *_: (frames, False), raising=False)
    monkeypatch.setattr(meter, "_square", lambda _: None, raising=False)
    monkeypatch.setattr(meter, "_read", lambda frames: (np.ones((len(frames), 2)), [{}]), raising=False)
    opened: Counter[str] = Counter()
    plain = measures.read_video

    def counting(path, **how):
        opened[path.name] += 1
        return plain(path, **how)

    monkeypatch.setattr(measures, "read_video", counting)
    for name in ("truth", "truth", "copy"):  # ground truth, its control, other footage
        frames = meter.frames(case.path(name), None, case)
        assert abs(float(frames.mean()) - {"truth": 200, "copy": 60}[name]) < 4
        meter._reference(case)  # what `measure` asks for
    assert opened == {"c_truth.mp4": 1, "c_copy.mp4": 1}
