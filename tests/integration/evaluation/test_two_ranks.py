"""Two ranks report the value of one process, however items are dealt out: evenly, unevenly, none to one."""

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
    ActionAccuracy,
    CopulaSimilarity,
    FaceSimilarity,
    FrechetDistance,
    FrechetVideoDistance,
    HandKeypoints,
    IdentityDrift,
    PeakSignalNoiseRatio,
    PictureQuality,
    StructuralSimilarity,
    SubjectConsistency,
    SyncScore,
    TemporalFlicker,
)

SPLITS = (12, 18, 24)
"""How many of 24 items rank 0 gets; with 24 rank 1 gets none."""


def data():
    generator = torch.Generator().manual_seed(5)
    values = {
        "x": torch.randn(24, 48, generator=generator),
        "y": torch.randn(24, 48, generator=generator) * 2,
        "a": torch.rand(24, 3, 16, 16, generator=generator),
        "b": torch.rand(24, 3, 16, 16, generator=generator),
        "v": torch.randn(4, 40, 8, generator=generator),
        "f": torch.randn(4, 10, 8, generator=generator),
        "l": torch.randn(24, 5, generator=generator),
    }
    values["f"][1, 3:6] = torch.nan  # frames without a face
    values["f"][2] = torch.nan  # a clip without one
    return values


def metrics():
    return {
        "frechet": FrechetDistance("toy"),
        "frechet_double": FrechetDistance("toy"),
        "fvd": FrechetVideoDistance("toy", "styleganv"),
        "psnr": PeakSignalNoiseRatio(),
        "ssim": StructuralSimilarity(),
        "sync": SyncScore("toy"),
        "copula": CopulaSimilarity(),
        "faces": FaceSimilarity("toy"),
        "drift": IdentityDrift("toy"),
        "subject": SubjectConsistency("toy"),
        "flicker": TemporalFlicker(),
        "quality": PictureQuality("toy"),
        "hands": HandKeypoints("toy"),
        "actions": ActionAccuracy("toy"),
    }


def measure(part):
    values, held = data(), metrics()
    for name in ("frechet", "frechet_double", "fvd"):
        for side, real in (("x", True), ("y", False)):
            rows = values[side][part]
            if len(rows):
                held[name].update(rows.double() if name == "frechet_double" else rows, real=real)
    pairs = values["a"][part], values["b"][part]
    for name in ("psnr", "ssim", "copula"):
        if len(pairs[0]):
            held[name].update(*pairs)
    held["quality"].update(values["l"][part])
    held["actions"].update(torch.arange(24)[part] % 5 - 1, values["l"][part][:, :4] > 0)
    for index in range(part.start // 6, part.stop // 6):
        clip, faces = values["v"][index], values["f"][index]
        held["sync"].update(clip, clip.roll(2, 0))
        held["faces"].update(faces, values["v"][0, 0])
        held["drift"].update(faces, values["v"][0, 0])
        held["subject"].update(clip)
        held["flicker"].update(values["a"][6 * index : 6 * index + 6] * 255)
        hands = torch.where(torch.isnan(faces), torch.nan, torch.sigmoid(faces))[:, None]
        held["hands"].update(hands, torch.stack([hands, hands], -1))
    found = {}
    for name, metric in held.items():
        computed = metric.compute()
        each = computed if isinstance(computed, dict) else {"": computed}
        found |= {f"{name}.{key}": float(value) for key, value in each.items()}
    return found


def worker(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    results = [measure(slice(0, first) if rank == 0 else slice(first, 24)) for first in SPLITS]
    (Path(folder) / f"{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
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
    assert [rank.wait(timeout=150) for rank in ranks] == [0, 0]
    alone = measure(slice(0, 24))
    assert 0 < alone["faces.no_face_rate"] < 1 and alone["faces.missing"] == 0.25
    for rank in (0, 1):
        for found in json.loads((tmp_path / f"{rank}.json").read_text()):
            assert found == pytest.approx(alone, rel=1e-10, abs=1e-12)


if __name__ == "__main__":
    worker(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
