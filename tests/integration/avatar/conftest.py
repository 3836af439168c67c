"""An encoded data set of random latents, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

from components.avatar.encode import statistics
from components.core.files import write_bytes, write_json, write_parquet
from components.core.paths import Workspace
from components.storage.shards import Sample, write_shards

CHANNELS, SIDE, FRAMES, CLIPS = 6, 4, 9, 6


def encoded_clip(rng: np.random.Generator) -> dict[str, np.ndarray]:
    still = rng.normal(0, 1, (2, CHANNELS, SIDE, SIDE))
    return {
        "latents": (still[:1] + rng.normal(0, 0.3, (FRAMES, CHANNELS, SIDE, SIDE)))[None].astype(np.float16),
        "references": still[None].astype(np.float16),
        "reference_tokens": rng.normal(0, 1, (1, 2, 3, 8)).astype(np.float16),
        "audio": rng.normal(0, 1, (4 * (FRAMES - 1) + 1, 5)).astype(np.float32),
        "texts": rng.normal(0, 1, (4, 4, 10)).astype(np.float16),
        "moments": np.repeat([[0, 1]], [5, 4], 1).astype(np.uint8),
        "regions": (rng.random((1, FRAMES, 5, SIDE, SIDE)) > 0.6).astype(np.uint8),
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """artifacts/encode with six clips, one of them for validation."""
    rng = np.random.default_rng(0)
    clips = [encoded_clip(rng) for _ in range(CLIPS)]
    out = tmp_path / "artifacts" / "encode"
    names = [f"{index:016x}-0" for index in range(CLIPS)]
    parts = [{"safetensors": save(clip)} for clip in clips]
    write_shards(out / "shards", [Sample(*pair) for pair in zip(names, parts, strict=True)], 4)
    rows = [
        {
            "clip_id": name, "split": "val" if index == 5 else "train", "framing": "close-up",
            "identity": f"p{index}", "shard": f"clips-{index // 4:05d}.tar", "frames": FRAMES,
            "latent_mean": 0.0, "latent_std": 1.0, "latent_max": 3.0, "finite": True,
            "audio_frames": 33, "text_tokens": 4,
        }
        for index, name in enumerate(names)
    ]  # fmt: skip
    write_parquet(out / "index.parquet", pd.DataFrame(rows))
    pairs = [(clip["latents"][0], clip["references"][0]) for clip in clips]
    write_bytes(out / "statistics.safetensors", statistics(pairs, [[1.0] * CHANNELS]))
    settings = {"size": 32, "rhythm": False, "text_tokens": 4}
    write_json(out / "config.json", {"encoders": {}, "settings": settings})
    return Workspace(tmp_path)
