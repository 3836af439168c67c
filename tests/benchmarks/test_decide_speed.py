"""Other thresholds over 650,000 clips: at most 5 s to decide them again, reading the manifest included."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd

from components.core.files import read_parquet, write_parquet
from components.curation.params import Limits
from components.curation.redecide import redecide
from components.curation.scores import tidy
from tests.unit.curation.test_decide import GOOD

ROWS = 650_000
LIMIT_S = 5.0


def manifest() -> pd.DataFrame:
    """Good clips, and 17% with one score each that may fail."""
    rng = np.random.default_rng(0)
    table = (
        pd.DataFrame([tidy(GOOD)] * 1000).sample(ROWS, replace=True, random_state=0).reset_index(drop=True)
    )
    table["blur"] = rng.uniform(41, 400, ROWS)
    table["sync_confidence"] = rng.normal(7, 1, ROWS)
    for name, value in (("blur", 10.0), ("yaw", 60.0), ("voice_rate", 0.1), ("duration", 1.0)):
        table.loc[rng.random(ROWS) < 0.17 / 4, name] = value
    table["clip_id"] = [f"{one:016x}-0" for one in range(ROWS)]
    table["file"] = [f"hdtf/v{one // 7:07d}.mp4" for one in range(ROWS)]
    return table.assign(source="hdtf", repairs="", duplicate_of=None, decision="keep", reasons="")


def test_a_threshold_is_a_query(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "manifest.parquet", manifest())
    audio = pd.Series({"hdtf": "required"})
    begin = time.process_time()
    table = read_parquet(path)
    read = time.process_time() - begin
    counts = []
    for limits in (Limits(), Limits(min_sharpness=60.0)):
        begin = time.process_time()
        verdict = redecide(table, audio, limits)
        decided = time.process_time() - begin
        counts.append(int((verdict["decision"] == "keep").sum()))
    told = f"read {read:.1f} s, decided {decided:.1f} s (CPU); kept {counts[0]:,} → {counts[1]:,}"
    print(f"\n{ROWS:,} clips: {told}")
    assert 0.75 * ROWS < counts[1] < counts[0] < 0.86 * ROWS
    assert read + decided <= LIMIT_S
