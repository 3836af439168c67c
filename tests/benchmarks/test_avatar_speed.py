"""Costs of the avatar's training and sampling, as ratios taken in one process: `make bench`.

Each pair is measured in turn, A B A B …, and the medians are compared, so that a busy machine slows both.
The two-rank figure needs two free cores to mean anything.
"""

from __future__ import annotations

import os
import statistics as stats
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save

from components.avatar.encode import statistics
from components.avatar.params import TrainStage2Params
from components.avatar.plan import sections
from components.avatar.presets import read_preset
from components.core.files import write_bytes, write_json, write_parquet
from components.core.paths import Workspace
from components.storage.shards import Sample, write_shards

SMALL = sections(read_preset("small")["params"])
CHANNELS, SIDE, FRAMES, CLIPS = SMALL["vae"].channels, SMALL["vae"].size // 8, 32, 12
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))


def compared(name: str, one, other, wanted: str) -> float:
    """Prints and returns median time of `other` over that of `one`."""
    one(), other()
    times = [], []
    for _ in range(ROUNDS):
        for place, run in enumerate((one, other)):
            begin = time.perf_counter()
            run()
            times[place].append(time.perf_counter() - begin)
    first, second = (stats.median(each) for each in times)
    print(f"\n{name}: {first * 1e3:.1f} ms against {second * 1e3:.1f} ms = {second / first:.2f}× ({wanted})")
    return second / first


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Encoded clips of the preset's shape, with random content."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    out, clips = folder / "artifacts" / "encode", []
    for _ in range(CLIPS):
        still = rng.normal(0, 1, (6, CHANNELS, SIDE, SIDE))
        latents = still[:1] + rng.normal(0, 0.3, (FRAMES, CHANNELS, SIDE, SIDE))
        clips.append({
            "latents": latents[None].astype(np.float16),
            "references": still[None].astype(np.float16),
            "reference_tokens": rng.normal(0, 1, (1, 6, 17, 96)).astype(np.float16),
            "audio": rng.normal(0, 1, (4 * (FRAMES - 1) + 1, 37)).astype(np.float32),
            "texts": rng.normal(0, 1, (1, 48, 64)).astype(np.float16),
            "moments": np.zeros((1, FRAMES), np.uint8),
            "regions": (rng.random((1, FRAMES, 5, SIDE, SIDE)) > 0.6).astype(np.uint8),
        })  # fmt: skip
    names = [f"{index:016x}-0" for index in range(CLIPS)]
    parts = [{"safetensors": save(clip)} for clip in clips]
    write_shards(out / "shards", [Sample(*pair) for pair in zip(names, parts, strict=True)], 4)
    rows = [
        {
            "clip_id": name, "split": "val" if index == CLIPS - 1 else "train", "framing": "close-up",
            "identity": f"p{index}", "shard": f"clips-{index // 4:05d}.tar", "frames": FRAMES,
            "latent_mean": 0.0, "latent_std": 1.0, "latent_max": 3.0, "finite": True,
            "audio_frames": 4 * (FRAMES - 1) + 1, "text_tokens": 48,
        }
        for index, name in enumerate(names)
    ]  # fmt: skip
    write_parquet(out / "index.parquet", pd.DataFrame(rows))
    pairs = [(clip["latents"][0], clip["references"][0]) for clip in clips]
    write_bytes(out / "statistics.safetensors", statistics(pairs, [[1.0] * CHANNELS]))
    write_json(out / "config.json", {"encoders": {}, "settings": {"size": 96, "rhythm": True}})
    return folder


def job_of(root: Path, ranks: int = 1, steps: int = 1000, **changes):
    from components.avatar.train_stage1 import TASK, task_settings
    from components.avatar.training import Job, loop_settings

    params = TrainStage2Params.model_validate(SMALL["train_stage2"].model_dump() | {"ranks": ranks} | changes)
    first = SMALL["train_stage1"]
    settings = task_settings(params) | {
        "model": first.model.model_dump(mode="json"), "flow": first.flow.model_dump(mode="json"),
        "framings": None, "audio": True, "start": None,
    }  # fmt: skip
    return Job(
        task=TASK, settings=settings, inputs={}, loop=loop_settings(params, Workspace(root)), steps=steps,
        learning_rate=params.learning_rate, ema=params.ema, seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory):
    """This process as the only rank."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel("WARNING")
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    return tmp_path_factory.mktemp("loops")


def loop_of(job, folder: Path, root: Path):
    from components.avatar.worker import Loop

    return Loop(job, folder / job.key, root)


def plain_loop(job, root: Path):
    """The same model, data and optimizer in plain PyTorch: no DeepSpeed, no average."""
    from components.avatar.generator import GeneratorTask

    torch.manual_seed(0)
    task = GeneratorTask(job.settings, root, job.seed, 0, 1)
    module = task.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)
    count = iter(range(10**9))

    def step() -> None:
        loss = task.losses(module, task.batch(next(count), 0))["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())

    return step


def test_our_step_against_a_plain_loop(root, one_rank):
    loop = loop_of(job_of(root), one_rank, root)
    plain = plain_loop(job_of(root), root)
    compared("plain step against ours (DeepSpeed ZeRO 0, average)", plain, loop._step, "wanted ≤ 1.15×")


def test_cost_of_the_localization_loss(root, one_rank):
    without = plain_loop(job_of(root, localization_weight=0.0), root)
    with_it = plain_loop(job_of(root), root)
    compared("step without localization loss against with it", without, with_it, "wanted ≤ 1.15×")


def test_reading_latents_against_encoding(root, one_rank):
    """Encoding: the VAE alone on the windows' pictures and their references, a lower bound."""
    from components.avatar.data import LatentClips
    from components.avatar.vae import PatchVAE

    vae = SMALL["vae"]
    network = PatchVAE(vae.channels, vae.width, vae.encoder_depth, vae.decoder_depth).eval()
    window, batch = SMALL["train_stage2"].window, SMALL["train_stage2"].batch
    video = torch.rand(1, 3, 4 * (window - 1) + 1, vae.size, vae.size)
    steps = iter(range(10**9))
    clips = LatentClips(root / "artifacts" / "encode", ("train",), None, window, True)

    def read() -> None:
        step = next(steps)
        for place in range(batch):
            clips.draw(1, step, place, window, 5)

    def encode() -> None:
        with torch.inference_mode():
            for _ in range(batch):
                network.encode(video)
                network.encode(video[:, :, :1])

    compared("a step's latents read against encoded", read, encode, "wanted ≥ 5×")


def test_batched_guidance_against_separate_passes(root, one_rank):
    from components.avatar.generator import GeneratorTask

    model = GeneratorTask(job_of(root).settings, root, 1, 0, 1).module.eval().transformer
    frames, one = SMALL["train_stage2"].window, torch.ones(1)
    inputs = {
        "reference": torch.randn(1, CHANNELS, 1, SIDE, SIDE),
        "identity": torch.randn(1, 8, SMALL["train_stage1"].model.identity_dim),
        "identity_present": one,
        "audio": torch.randn(1, 4 * frames + 2 * model.audio_margin, 37),
        "audio_present": one,
    }
    latents, text = torch.randn(1, CHANNELS, frames, SIDE, SIDE), torch.randn(1, 48, 64)

    def run(times: int) -> None:
        with torch.inference_mode():
            many = {name: tensor.repeat(times, *[1] * (tensor.ndim - 1)) for name, tensor in inputs.items()}
            model(
                latents.repeat(times, 1, 1, 1, 1), one.repeat(times) * 900, text.repeat(times, 1, 1), **many
            )

    compared(
        "three passes in one batch against one by one",
        lambda: run(3), lambda: [run(1) for _ in range(3)], "wanted ≥ 1.4×",
    )  # fmt: skip


def test_two_ranks_against_one(root, tmp_path):
    """Whole processes: 30 steps more are timed, so that starting does not count."""
    from components.avatar.training import train

    few, more, spent = 5, 35, {}
    for ranks in (1, 2):
        for steps in (few, more):
            job = job_of(root, ranks, steps, checkpoint_every=1000, validation_windows=2)
            begin = time.perf_counter()
            train(job, tmp_path / f"{ranks}-{steps}", root)
            spent[ranks, steps] = time.perf_counter() - begin
    one, two = (spent[ranks, more] - spent[ranks, few] for ranks in (1, 2))
    print(
        f"\n{more - few} steps: {one:.1f} s on one rank, {two:.1f} s on two: {one / two:.2f}× (want ≥ 1.6×)"
    )
