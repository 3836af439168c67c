"""The transformers that can be trained, by the name of their architecture; LoRA on a pretrained one."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from components.core.errors import InputError
from components.core.files import read_json

CLASSES = {
    "wan": ("components.avatar.transformer", "SyncDreamerTransformer3DModel"),
    "cogvideox": ("components.avatar.transformer_cogvideox", "SyncDreamerCogVideoXTransformer3DModel"),
}
FREQUENCIES = 256
"""Wan's own width of the time embedding's input."""
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""Projections of the backbone's own attentions, in both architectures."""


def architecture_class(architecture: str) -> Any:
    """The model class of an architecture ("wan" or "cogvideox")."""
    module, name = CLASSES[architecture]
    return getattr(import_module(module), name)


def saved_transformer(folder: Path) -> Any:
    """Reads a trained transformer of whichever architecture.

    Raises:
        InputError: the folder holds none of ours.
    """
    name = read_json(folder / "config.json").get("_class_name")
    for module, known in CLASSES.values():
        if name == known:
            return getattr(import_module(module), known).from_pretrained(folder)
    raise InputError(
        f"{folder} holds a {name}, not one of {', '.join(known for _, known in CLASSES.values())}"
    )


def conditions(settings: dict[str, Any], channels: int, audio_dim: int | None) -> dict[str, Any]:
    """The arguments beyond a backbone's own; `settings` is GeneratorParams."""
    return {
        "reference_channels": channels,
        "identity_dim": settings["identity_dim"],
        "audio_dim": audio_dim,
        "audio_window": settings["audio_window"],
        "audio_context": settings["audio_context"],
        "continues": True,
    }


def described(
    settings: dict[str, Any], channels: int, text_dim: int, audio_dim: int | None, side: int, text_tokens: int
) -> Any:
    """A transformer with the shape that `settings` (GeneratorParams) state, with initial weights.

    Where settings name a `backbone`, the shape is that of its published family (time embedding included),
    so that a checkpoint that is not here can still be sized, on the meta device.

    Raises:
        InputError: the architecture cannot have that shape.
    """
    heads, width = settings["heads"], settings["heads"] * settings["head_dim"]
    architecture = settings.get("architecture", "wan")
    shape = {
        "num_attention_heads": heads,
        "attention_head_dim": settings["head_dim"],
        "in_channels": channels,
        "out_channels": channels,
        "num_layers": settings["layers"],
        **conditions(settings, channels, audio_dim),
    }
    if architecture == "wan":
        return architecture_class("wan")(
            patch_size=(1, settings["patch"], settings["patch"]),
            text_dim=text_dim,
            freq_dim=FREQUENCIES if settings["backbone"] else width,
            ffn_dim=settings["ffn_dim"],
            rope_max_seq_len=1024 if settings["backbone"] else 128,
            **shape,
        )
    if settings["ffn_dim"] != 4 * width or settings["head_dim"] % 16:
        raise InputError(
            f"CogVideoX has ffn_dim = 4·heads·head_dim ({4 * width}) and head_dim a multiple of 16; the model"
            f" has ffn_dim {settings['ffn_dim']} and head_dim {settings['head_dim']}"
        )
    return architecture_class("cogvideox")(
        patch_size=settings["patch"],
        text_embed_dim=text_dim,
        time_embed_dim=512 if settings["backbone"] else width,
        max_text_seq_length=text_tokens,
        sample_height=side,
        sample_width=side,
        **shape,
    )


def pretrained(settings: dict[str, Any], channels: int, text_dim: int, audio_dim: int | None) -> Any:
    """A transformer on the checkpoint folder that `settings["backbone"]` names.

    Raises:
        InputError: the checkpoint is not there, or its shape is not the one that the settings state.
    """
    folder = Path(settings["backbone"])
    if not (folder / "config.json").exists():
        raise InputError(
            f"backbone {folder} is missing: put the diffusers transformer folder (config.json, *.safetensors)"
            f" there, or set train_stage1.model.backbone to null to train from nothing"
        )
    kind = architecture_class(settings.get("architecture", "wan"))
    try:
        model, _ = kind.from_backbone(folder, **conditions(settings, channels, audio_dim))
    except (ValueError, OSError) as error:
        raise InputError(f"backbone {folder} cannot be used: {error}") from error
    own_text = getattr(model.config, "text_dim", None) or model.config.text_embed_dim
    for what, stated, found in (
        ("layers", settings["layers"], model.shape.layers),
        ("heads", settings["heads"], model.shape.heads),
        ("head_dim", settings["head_dim"], model.config.attention_head_dim),
        ("patch", settings["patch"], model.shape.patch[-1]),
        ("latent channels", channels, model.config.in_channels),
        ("text width", text_dim, own_text),
    ):
        if stated != found:
            raise InputError(f"backbone {folder} has {what} {found}, the parameters or data have {stated}")
    return model


def add_lora(transformer: Any, rank: int) -> None:
    """Freezes the backbone; its attentions learn low-rank changes, what is new learns in full.

    The change is zero at first (`B = 0`), scaled by 1 (alpha = rank).
    """
    from peft import LoraConfig

    names = [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
        and not name.startswith("conditioning.")
        and name.endswith(LORA_TARGETS)
    ]
    transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=names, init_lora_weights=True))
    transformer.conditioning.requires_grad_(True)


def merge_lora(transformer: Any) -> None:
    """Adds the low-rank changes to the weights: afterwards it is a plain transformer again."""
    transformer.fuse_lora()
    transformer.unload_lora()


def with_lora_names(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Tensors of a module as it was before `add_lora`, under the names they have now."""
    now = module.state_dict().keys()

    def renamed(name: str) -> str:
        stem, _, leaf = name.rpartition(".")
        inner = f"{stem}.base_layer.{leaf}"
        return inner if inner in now else name

    return {renamed(name): tensor for name, tensor in state.items()}
