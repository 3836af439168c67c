"""The stage over three hundred damaged and odd files: it ends, and each is in the ledger with its reason."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.core.files import read_parquet
from components.core.media import encode_video
from components.core.paths import Workspace
from components.curation import curate, ingest
from components.curation.decide import REASONS
from components.curation.params import CurateParams, IngestParams, Limits, SourceParams
from tests.integration.curation.test_curate import ANY_SYNC, save_untrained_models
from tests.mutations import MAKERS, mutants

COUNT = 300


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_files_cost_nothing_but_themselves(tmp_path: Path) -> None:
    from components.corpus.clips import make_clip

    folder = tmp_path / "data/raw/odd"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("name: odd\nlicence: CC0-1.0\nconsent: true\n")
    clip = make_clip(1, 1, seconds=2.4)
    frames = np.stack([cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA) for frame in clip.frames])
    for number, mutant in enumerate(mutants(COUNT, 5, frames, clip.samples)):
        (folder / f"{number:03d} {mutant.kind}{mutant.ending}").write_bytes(mutant.data)
    (folder / "whole.mp4").write_bytes(encode_video(frames, clip.samples))
    save_untrained_models(tmp_path / "artifacts/perception")
    workspace = Workspace(tmp_path)
    ingest.run(IngestParams(sources=(SourceParams(path="odd"),)), workspace, 0)
    params = CurateParams(limits=Limits(**ANY_SYNC), workers=1, val_rate=0.0, time_limit_s=60.0)
    curate.run(params, workspace, 0)
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    assert table["file"].nunique() == COUNT + 1
    assert {name.split(" ", 1)[1].rsplit(".", 1)[0] for name in table["file"] if " " in name} == set(MAKERS)
    rejected = table[table["decision"] == "reject"]
    assert set(rejected["reasons"].str.split(";").explode()) <= set(REASONS)
    assert (rejected["reasons"] != "").all()
    whole = table[table["file"] == "odd/whole.mp4"].iloc[0]
    assert whole["decision"] == "keep" or whole["reasons"] == "duplicate"
    damaged = table[table["file"].str.contains(r"\d (?:truncated|empty|zeroed)")]
    assert (damaged["decision"] == "reject").mean() > 0.95
    with sqlite3.connect(tmp_path / "state/curate/ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM failures").fetchone() == (0,)
        files = ledger.execute("SELECT count(*) FROM files").fetchone()[0]
    copies = _copies(folder)
    assert copies < 0.1 * COUNT  # empty files are alike
    assert files == COUNT + 1 - copies


def _copies(folder: Path) -> int:
    """Files whose bytes another one has: one ledger row serves both."""
    contents = [path.read_bytes() for path in folder.iterdir() if path.suffix != ".yaml"]
    return len(contents) - len(set(contents))
