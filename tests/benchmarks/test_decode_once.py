"""Scoring 200 clips against their real ones opens each of the 400 files once; prints where the time goes."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.core import media
from components.evaluation.panel import find_clips, score_clips

CLIPS, DIFFERENT = 200, 4


def test_two_hundred_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for kind in ("made", "real"):
        for index in range(DIFFERENT):
            frames = rng.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
            media.write_video(tmp_path / kind / f"{index:03d}.mp4", frames)
        for index in range(DIFFERENT, CLIPS):
            shutil.copy(
                tmp_path / kind / f"{index % DIFFERENT:03d}.mp4", tmp_path / kind / f"{index:03d}.mp4"
            )
    opened: Counter[Path] = Counter()
    plain, decoding = media.read_video, 0.0

    def counting(path: Path, **how: object) -> media.Video:
        nonlocal decoding
        opened[path] += 1
        begin = time.process_time()
        video = plain(path, **how)  # type: ignore[arg-type]
        decoding += time.process_time() - begin
        return video

    monkeypatch.setattr(media, "read_video", counting)
    begin = time.process_time()
    result = score_clips(find_clips(tmp_path / "made", tmp_path / "real", None), {})
    total = time.process_time() - begin
    print(
        f"\n{CLIPS} clips: {total:.1f} s CPU, of which {decoding:.1f} s decode {len(opened)} files, each once"
    )
    assert len(opened) == 2 * CLIPS and set(opened.values()) == {1}
    assert result["protocol"]["clips"] == CLIPS
