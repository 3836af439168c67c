"""The avatar generator: VAE, latents, the transformer with its three modules, training, generation.

Heavy libraries load only when one of the public names is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.avatar.audio_dynamics import AudioDynamicsEncoder
    from components.avatar.localization_loss import attention_localization_loss
    from components.avatar.pipeline import SyncDreamerPipeline
    from components.avatar.transformer import SyncDreamerTransformer3DModel
    from components.avatar.visual_adapter import VisualAdapter

__all__ = [
    "AudioDynamicsEncoder",
    "SyncDreamerPipeline",
    "SyncDreamerTransformer3DModel",
    "VisualAdapter",
    "attention_localization_loss",
]

_HOMES = {
    "AudioDynamicsEncoder": "audio_dynamics",
    "SyncDreamerPipeline": "pipeline",
    "SyncDreamerTransformer3DModel": "transformer",
    "VisualAdapter": "visual_adapter",
    "attention_localization_loss": "localization_loss",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"components.avatar.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
