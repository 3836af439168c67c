"""What a stage used: time, processor time, memory, accelerators; and what that costs."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
import time
from pathlib import Path

from components.core.params import Params
from flows.operations import Prices

SAMPLE_S = 2.0
SMI_PATIENCE_S = 10.0


class Usage(Params):
    """seconds: from start to end. cpu_seconds: user and system time of all its processes.

    peak_memory_mb: largest sum over its processes at one time, shared pages divided among those that share
    them (PSS), or the largest process if that is more. gpus: accelerators it could see; gpu_seconds:
    `seconds` of each of them; gpu_busy: their mean utilisation in [0, 1]; peak_gpu_memory_mb: largest sum
    over them. These are of the devices, not of its processes alone: in a container the driver does not know
    these.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    gpus: int = 0
    gpu_seconds: float = 0.0
    gpu_busy: float = 0.0
    peak_gpu_memory_mb: float = 0.0

    def cost(self, prices: Prices) -> float:
        """In `prices.currency`."""
        return (
            self.cpu_seconds * prices.cpu_hour
            + self.gpu_seconds * prices.gpu_hour
            + self.seconds * self.peak_memory_mb / 1024 * prices.gigabyte_hour
        ) / 3600


class Meter:
    """Measures a child and all below it: made before the child; `sample` now and then, `read` at last."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._last = 0.0
        self._peak_kb = 0.0
        self._gpus: list[list[tuple[float, float]]] = []

    def sample(self, pid: int) -> None:
        """Looks at `pid` and the processes below it; nothing within two seconds of the last look."""
        now = time.monotonic()
        if now - self._last < SAMPLE_S:
            return
        self._last = now
        self._peak_kb = max(self._peak_kb, sum(_memory_kb(each) for each in _tree(pid)))
        if shutil.which("nvidia-smi"):
            self._gpus.append(_gpus())

    def read(self) -> Usage:
        """What was used, after the child was waited for."""
        seconds = time.monotonic() - self._begin
        now, before = resource.getrusage(resource.RUSAGE_CHILDREN), self._children
        # A child is born with its parent's memory, which counts in its maximum: tell only what is above that.
        inherited = max(before.ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        # One that ended before the first look is given the maximum as it is: at most its parent's.
        largest = now.ru_maxrss if now.ru_maxrss > inherited or not self._peak_kb else 0
        looks = [look for look in self._gpus if look]
        gpus = max(map(len, looks), default=0)
        busy = [part for look in looks for part, _ in look]
        return Usage(
            seconds=round(seconds, 2),
            cpu_seconds=round(now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime, 2),
            peak_memory_mb=round(max(self._peak_kb, largest) / 1024, 1),
            gpus=gpus,
            gpu_seconds=round(seconds * gpus, 2),
            gpu_busy=round(sum(busy) / len(busy), 4) if busy else 0.0,
            peak_gpu_memory_mb=round(
                max((sum(memory for _, memory in look) for look in looks), default=0.0), 1
            ),
        )


def _tree(pid: int) -> list[int]:
    """`pid` and everything below it, from /proc."""
    found, todo = [], [pid]
    while todo:
        each = todo.pop()
        found.append(each)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    todo += [int(child) for child in (task / "children").read_text().split()]
    return found


def _memory_kb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    return 0.0


def _gpus() -> list[tuple[float, float]]:
    """(utilisation in [0, 1], used memory in MiB) of every accelerator that the driver shows here."""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=SMI_PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in done.stdout.splitlines():
        busy, _, memory = line.partition(",")
        with contextlib.suppress(ValueError):  # "[N/A]" where the driver does not tell
            found.append((float(busy) / 100, float(memory)))
    return found
