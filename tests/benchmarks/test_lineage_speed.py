"""Lineage at size: 1,000 models, each with a clip set of its own, over 650,000 clips, by the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from components.tracking.lineage import CHUNK, LEARNT, Index

MODELS, CLIPS = 1000, 650_000


def fill(index: Index) -> list[str]:
    """Writes the tables straight: registering 1,000 × 650,000 clips one by one would take hours, and what is
    timed is asking. The bits are random halves: nothing compresses and nothing is shared, the worst case."""
    base = index._base
    ids = [f"{number:016x}-0" for number in range(CLIPS)]
    rng = np.random.default_rng(3)
    with index._writing():
        base.executemany(
            "INSERT INTO clips VALUES (?, ?, ?, ?, ?)",
            ((n, c, f"web/{n}.mp4", f"src{n % 50}", f"web/{n // 4}") for n, c in enumerate(ids)),
        )
        base.executemany(
            "INSERT INTO people VALUES (?, ?)", ((f"p{n % 90_000:06x}", n) for n in range(CLIPS))
        )
        for model in range(MODELS):
            base.execute("INSERT INTO sets VALUES (?, ?, ?)", (model, f"digest{model}", CLIPS // 2))
            base.executemany(
                "INSERT INTO chunks VALUES (?, ?, ?)",
                (
                    (chunk, model, zlib.compress(rng.bytes(CHUNK // 8), 1))
                    for chunk in range(-(-CLIPS // CHUNK))
                ),
            )
            facts = '{"git": "0123abc", "params": {"vae": {"steps": 4}}, "parents": {"curate": "md5"}}'
            row = ("syncdreamer-avatar", model + 1, f"d{model}", facts, "")
            base.execute("INSERT INTO models VALUES (?, ?, ?, ?, ?)", row)
            base.execute(
                "INSERT INTO uses VALUES (?, ?, ?, ?)", ("syncdreamer-avatar", model + 1, LEARNT, model)
            )
    return ids


def test_both_questions_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    path = tmp_path / "state" / "lineage" / "index.sqlite"
    with Index(path) as index:
        begin = time.perf_counter()
        ids = fill(index)
        print(f"\nfilled in {time.perf_counter() - begin:.1f} s, {path.stat().st_size / 2**20:.0f} MiB")
        begin = time.perf_counter()
        found = index.sightings([ids[123_456]])
        print(f"models of a clip, in this process: {time.perf_counter() - begin:.3f} s, {len(found)} found")
        begin = time.perf_counter()
        clips = index.clips("syncdreamer-avatar", "500")
        print(
            f"all clips of a model, in this process: {time.perf_counter() - begin:.2f} s, {len(clips)} found"
        )
        begin = time.perf_counter()
        person = index.find(identity="p000101")
        models = index.sightings(c.clip_id for c in person)
        print(
            f"models of a person of {len(person)} clips: {time.perf_counter() - begin:.3f} s, "
            f"{len(models)} found"
        )
    assert 400 < len(found) < 600
    environment = os.environ | {"SYNCDREAMER_ROOT": str(tmp_path)}
    program = Path(sys.executable).parent / "syncdreamer"
    for arguments in (["avatar@500"], ["--clip", ids[123_456]], ["--identity", "p000101"]):
        for place in ("first", "second"):
            begin, cpu = time.perf_counter(), os.times()
            done = subprocess.run(
                [str(program), "lineage", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            after = os.times()
            spent = after.children_user + after.children_system - cpu.children_user - cpu.children_system
            wall = time.perf_counter() - begin
            print(f"lineage {' '.join(arguments)} ({place}): {wall:.2f} s wall, {spent:.2f} s CPU")
            assert done.stdout
