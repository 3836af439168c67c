"""The main job at its smallest: raw clips to a promoted pair, then nothing to do, then a gate that refuses.

Figures are not judged here (a few steps teach nothing): the quality bounds are opened in the parameters,
every other expectation stands.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
OPEN = {"minimum": -1e9}

SMALL: dict = {
    "seed": 3,
    "perception": {
        "people": {"persons": 48, "pictures": 2},
        "sync": {"clips": 14, "frames": 48, "held_out": 4, "steps": 12, "batch": 4},
        "identity": {"steps": 10, "batch": 8},
        "audio": {"sentences": 16, "steps": 10, "batch": 4},
    },
    "curate": {
        "limits": {"min_sync": -100.0, "max_offset": 15, "max_voice_change": 9.0, "max_yaw": 90.0},
        "val_rate": 0.3,
    },
    "gate_clips": {
        "rejected": {"warn": 1.0, "fail": 1.0},
        "faulty": {"warn": 1.0, "fail": 1.0},
        "minimum_kept": {"train": 2, "test": 1},
    },
    "gate_latents": {"minimum_encoded": {"train": 2, "test": 1}},
    "vae": {"steps": 4, "width": 32, "decoder_depth": 1},
    "train_stage1": {"steps": 3, "validation_windows": 4, "model": {"layers": 2}},
    "train_stage2": {"steps": 4, "validation_windows": 4, "sampling_steps": 2},
    "gate_checkpoint": {"metrics": {"validation_loss_ratio": OPEN}},
    "enhancer_sft": {
        "steps": 6,
        "batch": 4,
        "warmup": 1,
        "held_out": 4,
        "model": {"hidden": 64, "layers": 1},
    },
    "enhancer_grpo": {
        "steps": 2,
        "prompts": 2,
        "group": 2,
        "max_new_tokens": 12,
        "held_out": 4,
        "minimum_object_accuracy": 0.0,
    },
    "gate_enhancer": {"metrics": {"action_kept": OPEN}},
    "evaluate": {
        "test_people": 1,
        "training_people": 1,
        "seconds": 1.0,
        "steps": 2,
        "enhancer_cases": 4,
        "resamples": 100,
    },
    "gate_evaluation": {"metrics": {"face_rate": OPEN}},
}


def syncdreamer(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=workspace,
        env=kept | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of its own with a small corpus, run once."""
    from components.corpus.build import build_corpus
    from flows.params import default_text

    root = tmp_path_factory.mktemp("chain")
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    (root / "params.yaml").write_text(default_text(SMALL))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    build_corpus(5, 4, 12, {"no_audio": 1, "too_short": 1}, root / "data" / "raw", 2)
    return root


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
def test_chain(workspace: Path, tmp_path: Path) -> None:
    first = syncdreamer(workspace, "run")
    assert first.returncode == 0, first.stderr[-4000:]
    assert "artifacts/report/index.html" in first.stdout
    assert (workspace / "artifacts" / "report" / "index.html").stat().st_size > 10_000

    models = json.loads(syncdreamer(workspace, "models", "--json").stdout)
    assert {row["name"] for row in models} == {"syncdreamer-avatar", "syncdreamer-enhancer"}
    assert all(row["aliases"] == ["champion"] and all(row["gates"].values()) for row in models)

    lock = (workspace / "dvc.lock").read_bytes()
    begin = time.monotonic()
    again = syncdreamer(workspace, "run")
    assert again.returncode == 0 and "nothing was run" in again.stderr
    assert time.monotonic() - begin < 30
    assert (workspace / "dvc.lock").read_bytes() == lock

    take = next((workspace / "data" / "raw" / "demo_test").glob("*.mp4"))
    portrait = tmp_path / "portrait.png"
    from components.core.media import read_video, write_image, write_wav

    video = read_video(take)
    write_image(portrait, video.frames[0])
    assert video.samples is not None
    write_wav(tmp_path / "speech.wav", video.samples[:16_000])
    made = tmp_path / "talk.mp4"
    arguments = ["--image", str(portrait), "--audio", str(tmp_path / "speech.wav"), "--text", "nod slowly"]
    spoken = syncdreamer(workspace, "generate", *arguments, "--out", str(made), "--steps", "2")
    assert spoken.returncode == 0, spoken.stderr[-2000:]
    assert "prompt: " in spoken.stderr
    talk = read_video(made)
    assert len(talk.frames) == 25 and talk.samples is not None and abs(len(talk.samples) - 16_000) < 1_600

    # Captions emptied: the annotations gate refuses, nothing downstream runs, the flow ends with status 3.
    latents = sorted((workspace / "artifacts" / "encode").rglob("*"))
    table = workspace / "artifacts" / "annotate" / "annotations.parquet"
    rows = pd.read_parquet(table)
    rows["caption"] = ""
    table.unlink()
    rows.to_parquet(table, index=False)
    refused = syncdreamer(workspace, "gate", "annotations")
    assert refused.returncode == 3
    told = refused.stderr
    assert "error: gate_annotations" in told and "caption" in told and "observed 100.0%" in told
    assert rows["clip_id"].iloc[0] in told and "quarantine.csv" in told and "Traceback" not in told
    assert sorted((workspace / "artifacts" / "encode").rglob("*")) == latents


@pytest.mark.end_to_end
@pytest.mark.timeout(300)
def test_the_champion_answers_mlflow_models_serve(workspace: Path, tmp_path: Path) -> None:
    """Image, sound and text in, mp4 out, over HTTP; binary columns travel as base64."""
    from components.core.media import read_video, write_image, write_wav

    video = read_video(next((workspace / "data" / "raw" / "demo_test").glob("*.mp4")))
    write_image(tmp_path / "face.png", video.frames[0])
    assert video.samples is not None
    write_wav(tmp_path / "speech.wav", video.samples[:16_000])
    row = [base64.b64encode((tmp_path / name).read_bytes()).decode() for name in ("face.png", "speech.wav")]
    asked = {"dataframe_split": {"columns": ["image", "audio", "text"], "data": [[*row, "nod slowly"]]}}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "models", "serve",
            "--model-uri", "models:/syncdreamer-avatar@champion",
            "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
        ],
        cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}/state/mlflow/mlflow.db",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )  # fmt: skip
    try:
        for _ in range(120):
            try:
                httpx.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None
                time.sleep(1)
        answer = httpx.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=120)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert answer.status_code == 200, answer.text[-2000:]
    made = tmp_path / "made.mp4"
    made.write_bytes(base64.b64decode(answer.json()["predictions"][0]["video"]))
    talk = read_video(made)
    assert len(talk.frames) == 25 and talk.samples is not None


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
def test_a_corpus_with_too_many_faults_stops_at_the_gate(workspace: Path) -> None:
    """Four of ten clips are faulty; the rates are the default run's. In the workspace of `test_chain`, whose
    perception nets serve again."""
    import mlflow

    from components.corpus.build import build_corpus
    from flows.params import default_text

    shutil.rmtree(workspace / "data" / "raw")
    build_corpus(6, 3, 6, {"no_audio": 2, "too_short": 2}, workspace / "data" / "raw", 2)
    strict = {key: value for key, value in SMALL["gate_clips"].items() if key == "minimum_kept"}
    (workspace / "params.yaml").write_text(default_text(SMALL | {"gate_clips": strict}))
    downstream = workspace / "artifacts" / "annotate" / "annotations.parquet"
    before = downstream.read_bytes()
    refused = syncdreamer(workspace, "run")
    told = refused.stderr
    assert refused.returncode == 3, told[-2000:]
    assert "error: gate_clips" in told and "Traceback" not in told
    assert "rejected" in told and "observed 40.0%" in told and "allowed 28.0%" in told
    table = workspace / "artifacts" / "gates" / "clips" / "quarantine.csv"
    assert str(table.relative_to(workspace)) in told
    rejected = pd.read_csv(table).query("rule == 'rejected'")
    assert len(rejected) == 4 and rejected["clip_id"].iloc[0] in told
    assert downstream.read_bytes() == before, "nothing downstream has run"
    mlflow.set_tracking_uri(f"sqlite:///{workspace}/state/mlflow/mlflow.db")
    runs = mlflow.search_runs(search_all_experiments=True, order_by=["attributes.start_time DESC"])
    parents = runs[runs["tags.mlflow.parentRunId"].isna()]
    assert parents["status"].iloc[0] == "FAILED"
