"""A gate over the manifest of 650,000 clips, quarantine included: at most 15 s and 1.5 GB.

The time includes reading the table and importing Great Expectations (compiled, as after any first run).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from components.core.files import write_parquet
from components.core.paths import Workspace
from tests.unit.gates import tables

ROWS = 650_000
FAILING = 0.17
LIMIT_S, LIMIT_GB = 15.0, 1.5
ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import resource, sys, time
from pathlib import Path
begin = time.perf_counter()
from components.core.paths import Workspace
from components.gates.gate import run_gate
from components.gates.params import GateClipsParams
verdict = run_gate("clips", GateClipsParams(), Workspace(Path(sys.argv[1])))
seconds = time.perf_counter() - begin
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(len(verdict.expectations), verdict.quarantined, seconds, memory)
"""


def manifest() -> object:
    """650,000 clips of 9,286 people, 17% rejected for blur."""
    rng = np.random.default_rng(0)
    table = tables.manifest(0).sample(ROWS, replace=True, random_state=0).reset_index(drop=True)
    number = np.arange(ROWS)
    part = number // 70 % 100
    table["clip_id"] = [f"{one:016x}-0" for one in rng.permutation(ROWS)]
    table["file"] = table["source_video"] = [f"hdtf/v{one:07d}.mp4" for one in number // 7]
    table["split"] = np.where(part < 2, "test", np.where(part < 6, "val", "train"))
    table["identity"] = [f"p{one}" for one in number // 70]
    bad = rng.random(ROWS) < FAILING
    table.loc[bad, ["outcome", "decision", "reasons"]] = ["reject", "reject", "blur"]
    for name in ("blur", "yaw", "sync_confidence", "face_score"):
        table[name] = rng.random(ROWS)
    return table


def test_gate_over_650k_rows(tmp_path: Path) -> None:
    write_parquet(Workspace(tmp_path).artifacts("curate", "manifest.parquet"), manifest())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")
    command = [sys.executable, "-c", "import great_expectations"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    expectations, quarantined, seconds, memory = map(float, done.stdout.split())
    print(
        f"\ngate over {ROWS:,} rows: {expectations:.0f} expectations, {quarantined:,.0f} quarantined, "
        f"{seconds:.1f} s with imports, peak {memory:.2f} GB"
    )
    assert expectations >= 15
    assert 0.16 * ROWS < quarantined < 0.18 * ROWS
    assert memory <= LIMIT_GB
    assert seconds <= LIMIT_S
