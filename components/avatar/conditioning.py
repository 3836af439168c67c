"""What a diffusion transformer gains: gated visual and audio cross-attention, and a reference latent.

The same modules stand in every backbone. All that is new passes zero-initialised gates (or zero-initialised
projections), so a pretrained backbone is unchanged at step 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from components.avatar.audio_dynamics import AudioDynamicsEncoder, group_by_latent
from components.avatar.localization_loss import attention_localization_loss
from components.core.files import read_json

GATE_GAIN = 4.0
"""An optimizer step moves a gate by this many learning rates: gates go to about 1, weights stay near 0."""

OCTAVES = 3
"""Frequencies of `places` in each direction: half a wave over the picture, a whole one, two."""


def places(grid: tuple[int, int, int], like: Tensor) -> Tensor:
    """Where in the picture each token is: (F·h·w, 4·OCTAVES) sines and cosines of its place from 0 to 1.

    Self-attention knows distances only, a region is a place.
    """
    frames, height, width = grid
    waves = math.pi * 2.0 ** torch.arange(OCTAVES, device=like.device, dtype=torch.float32)
    y, x = (
        ((torch.arange(count, device=like.device) + 0.5) / count)[:, None] * waves
        for count in (height, width)
    )
    y, x = torch.cat([y.sin(), y.cos()], -1), torch.cat([x.sin(), x.cos()], -1)
    plane = torch.cat([y[:, None].expand(-1, width, -1), x[None].expand(height, -1, -1)], -1)
    return plane.flatten(0, 1).repeat(frames, 1).to(like.dtype)


class GatedCrossAttention(nn.Module):
    """Cross-attention whose result is multiplied by a gate that starts at zero."""

    def __init__(self, dim: int, context_dim: int, heads: int, eps: float, placed: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, eps)
        self.to_q, self.to_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_kv = nn.Linear(context_dim, 2 * dim)
        self.place = nn.Linear(4 * OCTAVES, dim, bias=False) if placed else None
        self.gate = nn.Parameter(torch.zeros(dim))

    def query(self, hidden: Tensor, where: Tensor | None) -> Tensor:
        """hidden (B,N,D), where (N,P) from `places` or None → (B,heads,N,d)."""
        normed = self.norm(hidden)
        if self.place is not None and where is not None:
            normed = normed + self.place(where)
        return self.to_q(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, hidden: Tensor, context: Tensor, present: Tensor | None, mask: Tensor | None = None,
        where: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """hidden (B,N,D), context (B,K,C), present (B,1,1), mask (B,N,K), where (N,P); these may be None.

        Returns:
            The gated addition (B,N,D), and the localization loss when a mask is given. The attention's
            weights exist only then, and only until the loss is taken.
        """
        query = self.query(hidden, where)
        key, value = self.to_kv(context).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        loss = None
        if mask is None:
            result = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
            loss = attention_localization_loss(weights, mask.unsqueeze(1))
            result = weights @ value
        added = self.to_out(result.transpose(1, 2).flatten(2)) * (GATE_GAIN * self.gate)
        return (added if present is None else added * present), loss


class BlockConditioning(nn.Module):
    """What one block gains: visual and audio cross-attention."""

    def __init__(self, dim: int, identity_dim: int | None, audio: bool, heads: int, eps: float) -> None:
        super().__init__()
        self.visual = GatedCrossAttention(dim, identity_dim, heads, eps, True) if identity_dim else None
        self.audio = GatedCrossAttention(dim, dim, heads, eps) if audio else None


class AudioConditioning(nn.Module):
    """Frame features → per latent frame: tokens to attend to, and a modulation of the block's norms."""

    def __init__(self, audio_dim: int, dim: int, window: int | None, context: int) -> None:
        super().__init__()
        self.context, self.margin = context, context + (window or 0)
        count = 4 + 2 * context
        self.dynamics = None if window is None else AudioDynamicsEncoder(audio_dim, window)
        self.project = nn.Linear(audio_dim, dim)
        self.position = nn.Parameter(torch.randn(count, dim) * 0.02)
        self.summary = nn.Sequential(nn.Linear(count * audio_dim, 2 * dim), nn.SiLU())
        self.modulation = nn.Linear(2 * dim, 6 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """audio (B,4F+2·margin,A) → tokens (B,F,4+2·context,D), modulation (B,F,6,D), weights (B,T)."""
        features, weights = audio, torch.ones(audio.shape[:2], device=audio.device)
        if self.dynamics is not None:
            features, weights = self.dynamics(audio)
        groups = group_by_latent(features, self.margin, self.context)
        tokens = self.project(groups) + self.position
        return tokens, self.modulation(self.summary(groups.flatten(2))).unflatten(-1, (6, -1)), weights


class Continuation(nn.Module):
    """What is given at a window's start, carried on: the last given latent is shown at every later place.

    Attention alone would have to learn to copy it. Two ways, both zero at the start: embedded into the tokens
    (with a plane that says that something is given), and a gate for each channel and distance in latents that
    adds it to the prediction.
    """

    FARTHEST = 8
    """Distances beyond share the last gate."""

    def __init__(self, channels: int, dim: int, patch: tuple[int, ...]) -> None:
        super().__init__()
        self.embed = nn.Conv3d(channels + 1, dim, patch, patch)
        nn.init.zeros_(self.embed.weight)
        nn.init.zeros_(self.embed.bias)
        self.gate = nn.Parameter(torch.zeros(self.FARTHEST, channels))

    def forward(self, hidden: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B,C,F,H,W), of which the first `given` (B,) are given → tokens' addition (B,D,…) and
        prediction's addition (B,C,F,H,W); both are zero where nothing is given."""
        batch, channels, frames = hidden.shape[:3]
        some = (given > 0).view(batch, 1, 1, 1, 1).to(hidden.dtype)
        last = (given - 1).clamp(min=0)
        latent = hidden[torch.arange(batch, device=hidden.device), :, last].unsqueeze(2) * some
        later = torch.arange(frames, device=hidden.device) - last[:, None]
        gates = self.gate[(later - 1).clamp(0, self.FARTHEST - 1)] * (GATE_GAIN * (later > 0)).unsqueeze(-1)
        shown = torch.cat([latent, some.expand(-1, 1, 1, *hidden.shape[3:])], 1).expand(
            -1, -1, frames, -1, -1
        )
        return self.embed(shown), latent * gates.transpose(1, 2)[..., None, None]


def build_conditioning(
    dim: int, heads: int, layers: int, eps: float, patch: tuple[int, ...], *, reference_channels: int | None,
    identity_dim: int | None, audio_dim: int | None, audio_window: int | None, audio_context: int,
    continued_channels: int | None = None,
) -> nn.ModuleDict:  # fmt: skip
    """The new modules of a backbone of `layers` blocks of width `dim`.

    reference, continuation, audio, blocks, in this order: they draw their initial values one after another.
    """
    made = nn.ModuleDict()
    if reference_channels:
        embed = nn.Conv3d(reference_channels, dim, patch, patch)
        nn.init.zeros_(embed.weight)
        nn.init.zeros_(embed.bias)
        made["reference"] = embed
    if continued_channels:
        made["continuation"] = Continuation(continued_channels, dim, patch)
    if audio_dim:
        made["audio"] = AudioConditioning(audio_dim, dim, audio_window, audio_context)
    made["blocks"] = nn.ModuleList(
        BlockConditioning(dim, identity_dim, bool(audio_dim), heads, eps) for _ in range(layers)
    )
    return made


def middle_blocks(layers: int, wanted: Sequence[int] | None) -> frozenset[int]:
    """The blocks whose visual attention is held to its regions: `wanted`, or the middle third (at least one).

    Raises:
        ValueError: a wanted block does not exist.
    """
    if wanted is None:
        return frozenset(range(layers // 3, max(layers // 3 + 1, 2 * layers // 3)))
    if not set(wanted) <= set(range(layers)):
        raise ValueError(f"localization_blocks {tuple(wanted)}: this model has blocks 0 … {layers - 1}")
    return frozenset(wanted)


def modulate(hidden: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`hidden·(1+scale)+shift` for hidden (B,N,D) with scale, shift (B,M,1,D), N a multiple of M."""
    grouped = hidden.unflatten(1, (scale.shape[1], -1))
    return (grouped * (1 + scale) + shift).flatten(1, 2)


def gated(hidden: Tensor, added: Tensor, gate: Tensor) -> Tensor:
    """`hidden + added·gate`, shapes as in `modulate`."""
    grouped = added.unflatten(1, (gate.shape[1], -1))
    return hidden + (grouped * gate).flatten(1, 2)


def attend(
    added: BlockConditioning,
    hidden: Tensor,
    identity: Tensor | None,
    identity_present: Tensor | None,
    audio: Tensor | None,
    audio_present: Tensor | None,
    mask: Tensor | None,
    where: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """Visual, then audio cross-attention of a block's hidden states (B,N,D).

    Args:
        identity: (B,K,C) or None. audio: (B·F, tokens, D) or None; each latent frame hears its own.
        identity_present (B,1,1), audio_present (B·F,1,1): 0 leaves a sample out; None: all are in.
        mask: (B,N,K), asks for the localization loss. where: (N,P), from `places`.

    Returns:
        The hidden states, and the loss or None.
    """
    loss = None
    if identity is not None and added.visual is not None:
        change, loss = added.visual(hidden, identity, identity_present, mask, where)
        hidden = hidden + change
    if audio is not None and added.audio is not None:
        batch, count = hidden.shape[:2]
        framed = hidden.reshape(len(audio), -1, hidden.shape[-1])
        change, _ = added.audio(framed, audio, audio_present)
        hidden = hidden + change.reshape(batch, count, -1)
    return hidden, loss


class BackboneShape(NamedTuple):
    """What the new modules must fit."""

    dim: int
    heads: int
    layers: int
    eps: float
    patch: tuple[int, int, int]


if TYPE_CHECKING:  # what it is mixed into
    from diffusers import ModelMixin as _Transformer
else:
    _Transformer = object


class Conditioned(_Transformer):
    """Mixin of a diffusers transformer that carries the new modules under `conditioning`.

    The config has reference_channels, identity_dim, audio_dim, audio_window, audio_context,
    localization_blocks and continues beyond the backbone's own arguments.
    """

    backbone: ClassVar[Any]
    """The diffusers class whose checkpoints this one builds on."""
    new_tensors: tuple[str, ...] = ()
    """Names of the tensors that were not in the checkpoint this model was built on."""
    config: Any

    @property
    def shape(self) -> BackboneShape:
        """The backbone's shape, from its config."""
        raise NotImplementedError

    @property
    def audio_margin(self) -> int:
        """Frames of audio wanted before the first and after the last latent's own frames."""
        return self.config.audio_context + (self.config.audio_window or 0)

    def check(self, latents: Tensor, **branches: Tensor | None) -> None:
        """Checks what is handed to `forward`; branches: given, reference, identity, audio.

        Raises:
            ValueError: latents (B,C,F,H,W) are no multiple of the patch, or a branch is given that the
                model was built without.
        """
        frames, height, width = latents.shape[2:]
        p_t, p_h, p_w = self.shape.patch
        if frames % p_t or height % p_h or width % p_w:
            raise ValueError(f"latents {(frames, height, width)} are no multiple of patch {self.shape.patch}")
        config = self.config
        built = {
            "given": config.continues,
            "reference": config.reference_channels,
            "identity": config.identity_dim,
            "audio": config.audio_dim,
        }
        for name, value in branches.items():
            if value is not None and not built[name]:
                shown = "given latents" if name == "given" else name
                raise ValueError(f"this model was built without {shown}")

    def _add_conditioning(self) -> None:
        """Builds the new modules, with their initial values."""
        config, shape = self.config, self.shape
        self.conditioning = build_conditioning(
            shape.dim, shape.heads, shape.layers, shape.eps, shape.patch,
            reference_channels=config.reference_channels, identity_dim=config.identity_dim,
            audio_dim=config.audio_dim, audio_window=config.audio_window, audio_context=config.audio_context,
            continued_channels=config.in_channels if config.continues else None,
        )  # fmt: skip
        self.localized = middle_blocks(shape.layers, config.localization_blocks)

    @classmethod
    def from_backbone(cls, folder: Path | str, **added: Any) -> tuple[Self, list[str]]:
        """Builds on a diffusers checkpoint folder of the backbone; `added` are the arguments beyond its own.

        The checkpoint's tensors are taken over, not copied: the weights are in memory once.

        Returns:
            The model, and the names of exactly those tensors that are new (not in the checkpoint).

        Raises:
            ValueError: the checkpoint misses tensors of the backbone or has tensors of another.
        """
        loaded, report = cls.backbone.from_pretrained(folder, output_loading_info=True)
        strangers = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
        if strangers:
            raise ValueError(f"{folder} does not hold this backbone: {', '.join(map(str, strangers[:5]))}")
        with torch.device("meta"):
            model = cls.from_config(dict(loaded.config), **added)
        for name, child in loaded.named_children():
            setattr(model, name, child)
        for name, tensor in loaded.named_parameters(recurse=False):
            setattr(model, name, tensor)
        model._add_conditioning()
        model.new_tensors = tuple(sorted(model.state_dict().keys() - loaded.state_dict().keys()))
        return model, list(model.new_tensors)

    @classmethod
    def from_pretrained(cls, folder: Path | str, **options: Any) -> Self:
        """Reads what `save_pretrained` wrote, or builds on a folder that holds the plain backbone.

        In the second case `options` are those of `from_backbone` (diffusers alone would leave the new
        tensors without values).
        """
        config = Path(folder) / "config.json"
        if config.exists() and read_json(config).get("_class_name") == cls.backbone.__name__:
            return cls.from_backbone(folder, **options)[0].eval()
        return super().from_pretrained(folder, **options)
