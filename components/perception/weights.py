"""A small trained network on disk: config.json (name, training facts) beside model.safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        InputError: the file is missing, is no state dict of tensors, or does not fit exactly; names the keys.
    """
    state = read_state(path, kind)
    fitting({key: tuple(value.shape) for key, value in network.state_dict().items()}, state, path, kind)
    network.load_state_dict(dict(state))  # a plain mapping: the version it was saved by does not matter
    return network.eval()


def read_state(path: Path, kind: str) -> dict[str, Any]:
    """The tensors of a file by `torch.save`, by name; nothing in it is run.

    Raises:
        InputError: the file is missing, or holds anything but named tensors.
    """
    import pickle

    import torch

    if not path.is_file():
        raise InputError(f"weights {path} are missing")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is not {kind}: {first}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} is not {kind}: it holds {type(state).__name__}, not named tensors")
    return state


NAMED = 3
"""Keys that a message names of each kind."""


def fitting(wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Any], path: Path, kind: str) -> None:
    """Checks a state dict against the names and shapes that a network has, key by key.

    Counters of batches may be absent, and a scalar may be a list of one, as old PyTorch versions wrote them.

    Raises:
        InputError: a tensor is missing, does not belong, or has another shape.
    """
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    other = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {wanted[key]}"
        for key, value in state.items()
        if key in wanted and tuple(value.shape) != wanted[key] and (wanted[key] or value.numel() != 1)
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:NAMED])}{', …' if len(keys) > NAMED else ''})"
        for what, keys in (("missing", missing), ("that do not belong", other), ("of another shape", shapes))
        if keys
    ]
    if problems:
        raise InputError(f"{path} is not {kind}: of {len(wanted)} tensors {'; '.join(problems)}")
