"""A case with real files, and a fake checkout of any peer whose scripts are the stub."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from components.core.media import write_image, write_video, write_wav
from components.evaluation.peers.declaration import Installation
from components.evaluation.suites.case import Case

STUB = Path(__file__).with_name("stub.py")
SCRIPTS = {
    "hallo": "scripts/inference.py", "hallo2": "scripts/inference_long.py",
    "hallo3": "hallo3/sample_video.py",
    "echomimic_v1": "infer_audio2vid.py", "echomimic_v2": "infer.py", "echomimic_v3": "infer_flash.py",
    "v_express": "inference.py", "fantasytalking": "infer.py",
    "hunyuanvideo_avatar": "hymm_sp/sample_gpu_poor.py", "omniavatar": "scripts/inference.py",
    "mimicmotion": "inference.py", "animateanyone": "scripts/pose2vid.py",
    "latentsync": "scripts/inference.py", "sadtalker": "inference.py", "wan22_s2v": "generate.py",
}  # fmt: skip
BASES = {
    "hallo2": ("configs/inference/long.yaml", "audio_ckpt_dir: pretrained_models/hallo2\nsource_image: x\n"),
    "echomimic_v1": ("configs/prompts/animation.yaml", "weight_dtype: fp16\ntest_cases: {a.png: [b.wav]}\n"),
    "animateanyone": ("configs/prompts/animation.yaml", "weight_dtype: fp16\ntest_cases: {a.png: [b.mp4]}\n"),
    "mimicmotion": ("configs/test.yaml", "ckpt_path: models/MimicMotion_1-1.pth\ntest_case: []\n"),
}
FRAMES = 20


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Videos of FRAMES and of 6 frames at 25 fps."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(3)
    frames = np.repeat(rng.integers(0, 255, (FRAMES, 1, 1, 3), dtype=np.uint8), 32, 1).repeat(32, 2)
    write_video(folder / "whole.mp4", frames)
    write_video(folder / "short.mp4", frames[:6])
    write_video(folder / "lead.mp4", np.concatenate([frames[:9], frames]))
    return folder


@pytest.fixture
def case(tmp_path, media, monkeypatch):
    """A case whose every input exists; the face detector is not what is tested here."""
    from components.evaluation.peers import runner

    folder = tmp_path / "the cases"
    made = Case(
        "portrait-00", "portrait", "p1", "en", "close-up", "speech", "nod", "A man, {calm},\nnods \"twice\".",
        FRAMES, folder,
    )  # fmt: skip
    picture = np.full((48, 40, 3), 90, np.uint8)
    write_image(made.path("image"), picture)
    write_wav(made.path("audio"), np.zeros(FRAMES * 640, np.float32))
    for name in ("truth", "pose"):
        made.path(name).write_bytes((media / "whole.mp4").read_bytes())

    def squared(case, face_share, place):
        return write_image(place / "square" / f"{case.id}.png", picture[:40])

    monkeypatch.setattr(runner, "squared", squared)
    return made


@pytest.fixture
def installed(tmp_path, media):
    """installed(peer, do): an Installation whose checkout holds the stub."""

    def install(name: str, do: str = "", minutes: float = 1.0) -> Installation:
        repository = tmp_path / "peers [x]" / name
        script = repository / SCRIPTS[name]
        script.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STUB, script)
        if name in BASES:
            place, text = BASES[name]
            (repository / place).parent.mkdir(parents=True, exist_ok=True)
            (repository / place).write_text(text)
        environment = {
            "STUB_PEER": name, "STUB_DO": do,
            "STUB_VIDEO": str(media / ("lead.mp4" if name == "omniavatar" else "whole.mp4")),
            "STUB_SHORT": str(media / "short.mp4"), "STUB_LOG": str(repository / "log.json"),
            "STUB_CHILD": str(repository / "child"),
        }  # fmt: skip
        programs = tmp_path / "environment" / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        python = programs / "python"
        if not python.exists():
            python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            python.chmod(0o755)
            torchrun = programs / "torchrun"  # drops its own options, then runs the script
            torchrun.write_text(f'#!/bin/sh\n[ "$1 $2" = "--standalone --nproc_per_node=1" ] || exit 9\n'
                                f'shift 2\nexec "{sys.executable}" "$@"\n')  # fmt: skip
            torchrun.chmod(0o755)
        return Installation(
            repository=str(repository), python=str(python), environment=environment, limit_minutes=minutes
        )

    return install
