"""What is installed, which weights are official or stand-ins, which accelerator, what a preset lacks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
from dataclasses import dataclass

from components.core.paths import Workspace

PACKAGES = [
    "torch",
    "diffusers",
    "transformers",
    "prefect",
    "mlflow",
    "dvc",
    "deepspeed",
    "great-expectations",
    "boto3",
    "torchmetrics",
    "trl",
    "google-genai",
    "mediapipe",
    "av",
    "webdataset",
]
EXTRAS = {
    "ray": "ray",
    "insightface": "insightface",
    "vllm": "vllm",
    "gpu": "flash_attn",
}
STAND_INS = {
    "sync": "SyncNet (syncnet_v2.model)",
    "identity": "ArcFace (InsightFace buffalo_l)",
    "audio": "wav2vec2-base-960h",
    "attributes": "Qwen2-VL-7B-Instruct",
    "image_text": "Gemini 2.5 Pro as judge, umT5 as text encoder",
    "actions": "none published",
}


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis; `ok` None means optional and absent."""

    topic: str
    what: str
    ok: bool | None


def examine(workspace: Workspace) -> list[Finding]:
    """Looks at packages, compiler, accelerator, weights and data; changes nothing and asks no network."""
    import torch

    found = [Finding("python", platform.python_version(), platform.python_version_tuple()[:2] == ("3", "11"))]
    for name in PACKAGES:
        try:
            found.append(Finding("package", f"{name} {importlib.metadata.version(name)}", True))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding("package", f"{name} is missing: `make setup` installs it", False))
    for extra, module in EXTRAS.items():
        present = importlib.util.find_spec(module.split(".")[0]) is not None
        hint = "installed" if present else f"absent: pip install 'syncdreamer[{extra}]'"
        found.append(Finding("extra", f"{extra}: {hint}", True if present else None))
    for program in ("git", "g++"):
        found.append(Finding("program", program, shutil.which(program) is not None))
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found.append(Finding("accelerator", torch.cuda.get_device_name(index), True))
    else:
        found.append(Finding("accelerator", "none: fp32 on CPU, presets tiny and small only", None))
    folder = workspace.artifacts("perception")
    for name, official in STAND_INS.items():
        trained = (folder / name / "model.safetensors").exists()
        state = "stand-in, trained by the perception stage" if trained else "stand-in, not trained yet"
        found.append(Finding("weights", f"{name}: {state} (official: {official})", True if trained else None))
    found.append(
        Finding("data", "data/raw is there" if workspace.raw.exists() else "data/raw will be pulled", None)
        if not workspace.raw.exists()
        else Finding("data", "data/raw is there", True)
    )
    return found
