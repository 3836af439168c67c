"""Where a generation pipeline keeps its parts on disk. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from components.core.files import write_json

FOLDERS = {"vae": "vae", "audio": "audio_encoder", "identity": "image_encoder", "text": "text_encoder"}
"""The frozen encoders."""
ENCODERS, AVATAR, STATISTICS = "encoders.json", "avatar.json", "statistics.safetensors"


def write_index(folder: Path) -> None:
    """Writes model_index.json, by which diffusers folders are recognised."""
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "SyncDreamerPipeline",
            "_module": "components.avatar.pipeline",
            "transformer": ["components.avatar.transformer", "SyncDreamerTransformer3DModel"],
            "adapter": ["components.avatar.visual_adapter", "VisualAdapter"],
            "scheduler": ["components.avatar.scheduler.flow", "FlowMatching"],
        },
    )
