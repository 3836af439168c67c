"""What curation makes of a generated corpus that nothing was tuned on, against its exact truth.

CURATION_CLIPS clips (default 400, some 10 minutes on one core) of seed CURATION_SEED; every kind of fault
alike often. Perception is that of this checkout (artifacts/perception, made by `dvc repro perception`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from components.core.paths import Workspace
from components.corpus.build import build_corpus, parse_faults
from components.corpus.faults import FAULTS
from components.curation import curate, ingest
from components.curation.params import CurateParams, IngestParams
from tests.accuracy import judge

ROOT = Path(__file__).resolve().parents[2]
CLIPS = int(os.environ.get("CURATION_CLIPS", "400"))
SEED = int(os.environ.get("CURATION_SEED", "4711"))


def test_decisions_agree_with_the_truth(tmp_path: Path) -> None:
    models = ROOT / "artifacts" / "perception"
    if not models.exists():
        pytest.skip("no artifacts/perception: run `dvc repro perception` first")
    each = max(1, round(0.45 * CLIPS / len(FAULTS)))
    faults = parse_faults(",".join(f"{kind}:{each}" for kind in FAULTS))
    people = max(8, CLIPS // 5)
    build_corpus(SEED, people, CLIPS - each * len(FAULTS), faults, tmp_path / "data/raw", 0)
    shutil.copytree(models, tmp_path / "artifacts/perception")
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    workspace = Workspace(tmp_path)
    ingest.run(IngestParams.model_validate(content["ingest"]), workspace, 0)
    params = CurateParams.model_validate(content["curate"])
    curate.run(params, workspace, 0)
    found = judge(workspace)
    print(f"\n{CLIPS} clips of seed {SEED}: {found.told()}")
    assert found.clean >= 0.97 and found.faulty >= 0.97
    assert min(found.kinds.values()) >= 0.9
    assert found.offsets >= 0.98 and found.framing >= 0.97
    assert found.leaked_people == found.shared_people == 0
