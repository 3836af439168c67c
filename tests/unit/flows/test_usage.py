"""What a stage used: processor time and memory of processes of known appetite, and prices by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.costs import summary
from flows.operations import Prices
from flows.usage import Meter, Usage

# 100 MB in each of two processes at the same time, about 0.6 s of CPU in the child.
HUNGRY = """
import subprocess, sys, time
data = bytearray(100 << 20)
data[::4096] = b"x" * len(data[::4096])
if len(sys.argv) > 1:
    child = subprocess.Popen([sys.executable, __file__])
    child.wait()
else:
    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass
    time.sleep(1)
"""


def test_time_and_memory_of_a_tree_of_processes(tmp_path: Path) -> None:
    program = tmp_path / "hungry.py"
    program.write_text(HUNGRY)
    meter = Meter()
    process = subprocess.Popen([sys.executable, str(program), "parent"])
    begin = time.monotonic()
    while process.poll() is None:
        meter._last = 0.0  # no pause between looks
        meter.sample(process.pid)
        time.sleep(0.05)
    took = time.monotonic() - begin
    usage = meter.read()
    assert usage.cpu_seconds >= 0.6 and usage.cpu_seconds < took + 1
    assert abs(usage.seconds - took) < 1
    assert 200 < usage.peak_memory_mb < 300
    assert usage.gpus == 0 or usage.gpu_seconds == pytest.approx(usage.seconds * usage.gpus)


def test_accelerators_are_read_from_the_drivers_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '50, 1000'\necho '100, 3000'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    meter = Meter()
    meter.sample(os.getpid())
    meter.sample(os.getpid())  # too soon: no second look
    usage = meter.read()
    assert (usage.gpus, usage.gpu_busy, usage.peak_gpu_memory_mb) == (2, 0.75, 4000.0)
    program.write_text("#!/bin/sh\necho '[N/A], [N/A]'\nexit 0\n")
    meter = Meter()
    meter.sample(os.getpid())
    assert meter.read().gpus == 0


def test_cost_by_hand_and_what_was_not_measured() -> None:
    prices = Prices(currency="EUR", cpu_hour=0.05, gpu_hour=2.0, gigabyte_hour=0.01)
    first = Usage(seconds=1800, cpu_seconds=3600, peak_memory_mb=2048, gpus=1, gpu_seconds=1800)
    # an hour of a core, half an hour of an accelerator, half an hour of two gigabytes
    assert first.cost(prices) == pytest.approx(0.05 + 1.0 + 0.01)
    second = Usage(seconds=60, cpu_seconds=0, peak_memory_mb=4096)
    found = summary(
        {"vae": first, "encode": second, "curate": None}, ["curate", "vae", "encode", "x"], prices
    )
    assert found["not_measured"] == ["curate", "x"]
    assert found["total"]["cost"] == pytest.approx(1.06 + 60 / 3600 * 4 * 0.01, abs=1e-6)
    assert found["total"]["seconds"] == 1860 and found["total"]["peak_memory_mb"] == 4096
    assert list(found["stages"]) == ["vae", "encode"] and found["currency"] == "EUR"
