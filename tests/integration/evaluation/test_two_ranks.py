"""Two ranks that each see half of the data report the same value as one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from components.evaluation.metrics import (
    FrechetDistance,
    PeakSignalNoiseRatio,
    StructuralSimilarity,
    SyncScore,
)


def data():
    generator = torch.Generator().manual_seed(5)
    return {
        "x": torch.randn(24, 48, generator=generator),
        "y": torch.randn(24, 48, generator=generator) * 2,
        "a": torch.rand(24, 3, 16, 16, generator=generator),
        "b": torch.rand(24, 3, 16, 16, generator=generator),
        "v": torch.randn(4, 40, 8, generator=generator),
    }


def measure(part):
    values = data()
    frechet, psnr, ssim, sync = (
        FrechetDistance("toy"), PeakSignalNoiseRatio(), StructuralSimilarity(), SyncScore("toy"),
    )  # fmt: skip
    frechet.update(values["x"][part], real=True)
    frechet.update(values["y"][part], real=False)
    psnr.update(values["a"][part], values["b"][part])
    ssim.update(values["a"][part], values["b"][part])
    for clip in values["v"][part.start // 6 : part.stop // 6]:
        sync.update(clip, clip.roll(2, 0))
    computed = {
        "frechet": frechet.compute(),
        "psnr": psnr.compute(),
        "ssim": ssim.compute(),
        **sync.compute(),
    }
    return {name: float(value) for name, value in computed.items()}


def worker(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    result = measure(slice(12 * rank, 12 * rank + 12))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


@pytest.mark.timeout(120)
def test_ranks_agree_with_one_process(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = Path(__file__)
    environment = {**os.environ, "PYTHONPATH": str(path.parents[3])}
    ranks = [
        subprocess.Popen([sys.executable, str(path), str(rank), str(port), str(tmp_path)], env=environment)
        for rank in (0, 1)
    ]
    assert [rank.wait(timeout=100) for rank in ranks] == [0, 0]
    alone = measure(slice(0, 24))
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(alone, rel=1e-10)


if __name__ == "__main__":
    worker(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
