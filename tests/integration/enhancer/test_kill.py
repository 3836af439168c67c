"""Killed with SIGKILL in the middle of SFT and of GRPO: the next run logs the same figures, step by step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import json, sys
from pathlib import Path
from tests.integration.enhancer import test_training as tiny
from components.enhancer import grpo, sft
from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams
import numpy as np
from components.enhancer.pairs import Pool
from components.perception import wording

what, work, start, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
rng = np.random.default_rng(0)
images = rng.integers(0, 255, (6, 112, 112, 3), dtype=np.uint8)
seen = [wording.any_attributes(rng) for _ in range(6)]
pool = Pool(images, seen, ["upper body"] * 6, np.zeros(6, bool))
if what == "sft":
    params = EnhancerSftParams(steps=12, batch=4, warmup=1, log_every=1, save_every=3, model=tiny.TINY)
    enhancer, rows = sft.train(pool, params, 5, work)
    enhancer.save(start)
else:
    params = EnhancerGrpoParams(steps=8, prompts=1, group=4, max_new_tokens=12, save_every=2)
    enhancer, rows = grpo.train(start, pool, tiny.scorer(), params, 5, work)
out.write_text(json.dumps(rows))
"""


def command(what: str, work: Path, start: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", CHILD, what, str(work), str(start), str(out)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def killed_at_a_checkpoint(what: str, work: Path, start: Path, out: Path) -> None:
    child = subprocess.Popen(command(what, work, start, out), env=environment(), cwd=ROOT)
    deadline = time.monotonic() + 900
    while not list(work.glob("checkpoint-*/trainer_state.json")):
        assert child.poll() is None and time.monotonic() < deadline, "no checkpoint before the end"
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kill_9_in_sft_and_in_grpo(tmp_path: Path) -> None:
    start = tmp_path / "start"
    for what in ("sft", "grpo"):
        whole, resumed = tmp_path / f"{what}.json", tmp_path / f"{what}-resumed.json"
        target = start if what == "grpo" else tmp_path / "other"
        work = tmp_path / f"{what}-killed"
        if what == "sft":
            subprocess.run(
                command(what, tmp_path / what, start, whole), env=environment(), cwd=ROOT, check=True
            )
        else:
            subprocess.run(
                command(what, tmp_path / what, target, whole), env=environment(), cwd=ROOT, check=True
            )
        killed_at_a_checkpoint(what, work, target, resumed)
        subprocess.run(command(what, work, target, resumed), env=environment(), cwd=ROOT, check=True)
        expected = json.loads(whole.read_text())
        assert json.loads(resumed.read_text()) == expected
        assert len(expected) == (12 if what == "sft" else 8)
        assert all(("loss" if what == "sft" else "reward") in row for row in expected)
