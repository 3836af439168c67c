"""A small trained network on disk: config.json (name, training facts) beside model.safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_file, read_json, write_bytes, write_json

CONFIG = "config.json"
TENSORS = "model.safetensors"
LOG_EVERY = 10
"""Steps between two entries of a training's history."""
History = list[tuple[int, float]]
"""(step, loss) of a training."""


def save_model(folder: Path, network: Any, config: dict[str, Any]) -> None:
    """Writes config.json (which must hold "name") and model.safetensors, each whole or not at all."""
    from safetensors.torch import save

    if not config.get("name"):
        raise InputError(f"{folder}: a model's config needs a name")
    tensors = {key: value.detach().contiguous() for key, value in sorted(network.state_dict().items())}
    write_bytes(folder / TENSORS, save(tensors))
    write_json(folder / CONFIG, {**config, "parameters": sum(p.numel() for p in network.parameters())})


def load_model(folder: Path, build: Callable[[dict[str, Any]], Any]) -> tuple[Any, dict[str, Any], str]:
    """The network that `build(config)` makes, with its tensors; its config; 12 hex digits of its hash.

    Raises:
        InputError: a file is missing, is damaged, or holds other tensors than the network has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_json(folder / CONFIG)
    path = folder / TENSORS
    if not path.exists():
        raise InputError(f"{path} is missing; `syncdreamer stage perception` makes it")
    try:
        network = build(config)
        network.load_state_dict(load_file(path))
    except (KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} does not fit its config: {first}") from error
    return network.eval(), config, digest_file(path)[:12]


def load_published(network: Any, path: Path, kind: str) -> Any:
    """`network` in eval mode with a published state dict (`torch.save` of tensors), key by key.

    Args:
        kind: what the file should be, for the message ("a SyncNet state dict").

    Raises:
        InputError: the file is missing, is no state dict of tensors, or does not fit exactly.
    """
    import pickle

    import torch

    if not path.is_file():
        raise InputError(f"weights {path} are missing")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, ValueError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is not {kind}: {first}") from error
    return network.eval()
