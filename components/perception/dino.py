"""DINO ViT-B/16: class tokens of pictures, from the published checkpoint (`dino_vitbase16_pretrain.pth`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError

if TYPE_CHECKING:
    import torch

    from components.perception.official import Status

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16


def vit(layers: int = 12, width: int = 768, heads: int = 12) -> Any:
    """The ViT of DINO (transformers' module): patch 16, LayerNorm eps 1e-6, no pooler."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width,
        layer_norm_eps=1e-6, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, patch_size=16,
        image_size=SIDE, qkv_bias=True,
    )  # fmt: skip
    return ViTModel(config, add_pooling_layer=False).eval()


class DinoFeatures:
    """Class tokens after the last LayerNorm, which is what `dino_vitb16` of torch.hub returns (VBench)."""

    name = "dino"

    def __init__(self, network: Any, digest: str) -> None:
        self.network = network.eval()
        self.digest = digest

    @classmethod
    def official(cls, status: Status) -> DinoFeatures:
        """From the published checkpoint (`official.find`).

        Raises:
            InputError: the file does not hold exactly the network's tensors.
        """
        assert status.path is not None and status.digest is not None
        return cls(load_dino(status.path), status.digest[:12])

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N,768) float32 of pictures (N,3,H,W) uint8: short side to 224 px, position codes interpolated.

        Raises:
            InputError: another shape or type.
        """
        import torch

        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
            found = f"{pictures.dtype} {tuple(pictures.shape)}"
            raise InputError(f"DINO takes pictures (N,3,H,W) uint8, got {found}")
        parts = [torch.zeros(0, self.network.config.hidden_size)]
        with torch.inference_mode():
            for begin in range(0, len(pictures), BATCH):
                ready = _prepared(pictures[begin : begin + BATCH])
                found = self.network(pixel_values=ready, interpolate_pos_encoding=True)
                parts.append(found.last_hidden_state[:, 0])
        return torch.cat(parts)


def _prepared(pictures: torch.Tensor) -> torch.Tensor:
    """As VBench's transform of uint8 frames: bilinear without antialias, rounded, ImageNet's scale."""
    import torch
    from torch.nn import functional as F

    height, width = pictures.shape[-2:]
    wide, tall = int(SIDE * width / height), int(SIDE * height / width)
    size = (SIDE, wide) if height <= width else (tall, SIDE)
    x = F.interpolate(pictures.float(), size=size, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (MEAN, STD))
    return (x.round().clamp(0, 255) / 255 - mean) / std


def load_dino(path: Path, network: Any = None) -> Any:
    """The network with the published checkpoint's tensors, whose names differ from transformers'.

    Raises:
        InputError: the file is missing, is no state dict of tensors, or does not fit exactly; names the keys.
    """
    from components.perception.weights import fitting, read_state

    kind = "a DINO ViT checkpoint"
    network = vit() if network is None else network
    state = read_state(path, kind)
    fitting(published_shapes(network.config), state, path, kind)
    network.load_state_dict(renamed(state, network))
    return network.eval()


def published_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of facebookresearch/dino's backbone checkpoint for a ViT's configuration."""
    width, patch, inner = config.hidden_size, config.patch_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, (config.image_size // patch) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,),
    }  # fmt: skip
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (inner, width),
              "mlp.fc2": (width, inner)}  # fmt: skip
    for index in range(config.num_hidden_layers):
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{index}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
        for name, size in linear.items():
            shapes |= {f"blocks.{index}.{name}.weight": size, f"blocks.{index}.{name}.bias": size[:1]}
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


def renamed(state: dict[str, torch.Tensor], network: Any) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors under transformers' names; query, key and value stand in one matrix there."""
    names = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    made = {new: state[old] for old, new in names.items()}
    wanted = list(network.state_dict())
    for index in range(network.config.num_hidden_layers):
        old = f"blocks.{index}."
        inside = [key for key in wanted if f"layer.{index}." in key or f"layers.{index}." in key]
        for kind in ("weight", "bias"):
            parts = dict(zip(("q", "k", "v"), state[f"{old}attn.qkv.{kind}"].chunk(3), strict=True))
            tensors = {
                "proj": state[f"{old}attn.proj.{kind}"], "norm1": state[f"{old}norm1.{kind}"],
                "norm2": state[f"{old}norm2.{kind}"], "fc1": state[f"{old}mlp.fc1.{kind}"],
                "fc2": state[f"{old}mlp.fc2.{kind}"], **parts,
            }  # fmt: skip
            for key in inside:
                if key.endswith(kind):
                    made[key] = tensors[_place(key)]
    return made


def _place(key: str) -> str:
    """Which of a DINO block's tensors a name of transformers means (both of its naming generations)."""
    for part, place in (
        ("query", "q"), ("q_proj", "q"), ("key", "k"), ("k_proj", "k"), ("value", "v"), ("v_proj", "v"),
        ("attention.output", "proj"), ("o_proj", "proj"), ("intermediate", "fc1"), ("fc1", "fc1"),
        ("fc2", "fc2"), ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("output.dense", "fc2"),
    ):  # fmt: skip
        if part in key:
            return place
    raise KeyError(key)
