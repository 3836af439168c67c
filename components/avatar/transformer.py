"""The diffusion transformer: a Wan backbone with visual and audio cross-attention in every block.

Each block: self-attention → text cross-attention (Wan's own) → visual cross-attention over identity tokens
→ audio cross-attention within the latent frame → feed-forward. All that is new passes zero-initialised
gates, so a pretrained backbone is unchanged at step 0. The backbone's tensors keep Wan's names; the new
ones live under `conditioning.`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (diffusers looks the loader up here)
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel, WanTransformerBlock
from torch import Tensor, nn

from components.avatar.audio_dynamics import AudioDynamicsEncoder, group_by_latent
from components.avatar.localization_loss import attention_localization_loss

GATE_GAIN = 4.0
"""An optimizer step moves a gate by this many learning rates: gates go to about 1, weights stay near 0."""


@dataclass
class SyncDreamerOutput(Transformer2DModelOutput):
    """sample (B,C,F,H,W); localization: scalar loss or None; audio_weights (B,T) or None."""

    localization: Tensor | None = None
    audio_weights: Tensor | None = None


class GatedCrossAttention(nn.Module):
    """Cross-attention whose result is multiplied by a gate that starts at zero."""

    def __init__(self, dim: int, context_dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, eps)
        self.to_q, self.to_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_kv = nn.Linear(context_dim, 2 * dim)
        self.gate = nn.Parameter(torch.zeros(dim))

    def forward(
        self, hidden: Tensor, context: Tensor, present: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """hidden (B,N,D), context (B,K,C), present (B,1,1) or None, mask (B,N,K) or None.

        Returns:
            The gated addition (B,N,D), and the localization loss when a mask is given. The attention's
            weights exist only then, and only until the loss is taken.
        """
        query = self.to_q(self.norm(hidden)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
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
        self.visual = GatedCrossAttention(dim, identity_dim, heads, eps) if identity_dim else None
        self.audio = GatedCrossAttention(dim, dim, heads, eps) if audio else None


class AudioConditioning(nn.Module):
    """Frame features → per latent frame: tokens to attend to, and a modulation of the block's norms."""

    def __init__(self, audio_dim: int, dim: int, window: int, context: int) -> None:
        super().__init__()
        self.context, self.margin = context, context + window
        count = 4 + 2 * context
        self.dynamics = AudioDynamicsEncoder(audio_dim, window)
        self.project = nn.Linear(audio_dim, dim)
        self.position = nn.Parameter(torch.randn(count, dim) * 0.02)
        self.summary = nn.Sequential(nn.Linear(count * audio_dim, 2 * dim), nn.SiLU())
        self.modulation = nn.Linear(2 * dim, 6 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """audio (B,4F+2·margin,A) → tokens (B,F,4+2·context,D), modulation (B,F,6,D), weights (B,T)."""
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


class _Inputs(NamedTuple):
    """What every block reads besides the hidden state."""

    text: Tensor
    modulation: Tensor
    rotary: tuple[Tensor, Tensor]
    identity: Tensor | None
    identity_present: Tensor | None
    audio: Tensor | None
    audio_present: Tensor | None


class SyncDreamerTransformer3DModel(WanTransformer3DModel):
    """Wan's video transformer, conditioned on a reference latent, identity tokens and audio.

    Args beyond Wan's:
        reference_channels: channels of the reference latent, embedded and added to every frame; None: none.
        identity_dim: width of the identity tokens; None: no visual cross-attention.
        audio_dim: width of a video frame's audio features; None: no audio branch.
        audio_window: k of the Audio Dynamics Encoder.
        audio_context: frames of audio heard on either side of a latent's own four.
        localization_blocks: blocks whose visual attention is held to its regions; None: the middle ones
            (depth//3 … 2·depth//3, at least one).
        continues: whether leading latents may be given (`Continuation`).
    """

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, ...] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        reference_channels: int | None = None,
        identity_dim: int | None = None,
        audio_dim: int | None = None,
        audio_window: int = 3,
        audio_context: int = 2,
        localization_blocks: Sequence[int] | None = None,
        continues: bool = False,
    ) -> None:
        super().__init__(
            patch_size, num_attention_heads, attention_head_dim, in_channels, out_channels, text_dim,
            freq_dim, ffn_dim, num_layers, cross_attn_norm, qk_norm, eps, image_dim, added_kv_proj_dim,
            rope_max_seq_len, pos_embed_seq_len,
        )  # fmt: skip
        dim = num_attention_heads * attention_head_dim
        self.conditioning = nn.ModuleDict()
        if reference_channels:
            embed = nn.Conv3d(reference_channels, dim, patch_size, patch_size)
            nn.init.zeros_(embed.weight)
            nn.init.zeros_(embed.bias)
            self.conditioning["reference"] = embed
        if continues:
            self.conditioning["continuation"] = Continuation(in_channels, dim, patch_size)
        if audio_dim:
            self.conditioning["audio"] = AudioConditioning(audio_dim, dim, audio_window, audio_context)
        self.conditioning["blocks"] = nn.ModuleList(
            BlockConditioning(dim, identity_dim, bool(audio_dim), num_attention_heads, eps)
            for _ in range(num_layers)
        )
        self.localized = frozenset(
            localization_blocks
            if localization_blocks is not None
            else range(num_layers // 3, max(num_layers // 3 + 1, 2 * num_layers // 3))
        )

    @property
    def audio_margin(self) -> int:
        """Frames of audio wanted before the first and after the last latent's own frames."""
        return self.config.audio_context + self.config.audio_window

    @classmethod
    def from_backbone(cls, folder: Path, **added: Any) -> tuple[SyncDreamerTransformer3DModel, list[str]]:
        """Builds on a diffusers Wan checkpoint folder; `added` are the arguments beyond Wan's.

        Returns:
            The model, and the names of exactly those tensors that are new (not in the checkpoint).

        Raises:
            ValueError: the checkpoint misses tensors of the backbone or has tensors of another.
        """
        backbone = WanTransformer3DModel.from_pretrained(folder)
        model = cls.from_config(dict(backbone.config), **added)
        missing, unexpected = model.load_state_dict(backbone.state_dict(), strict=False)
        strangers = [name for name in missing if not name.startswith("conditioning.")] + list(unexpected)
        if strangers:
            raise ValueError(f"{folder} does not hold this backbone: {', '.join(strangers[:5])}")
        return model, sorted(missing)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        *,
        given: Tensor | None = None,
        reference: Tensor | None = None,
        identity: Tensor | None = None,
        identity_present: Tensor | None = None,
        audio: Tensor | None = None,
        audio_present: Tensor | None = None,
        localization_mask: Tensor | None = None,
    ) -> SyncDreamerOutput | tuple[Tensor]:
        """Predicts from noisy latents.

        Args:
            hidden_states: (B,C,F,H,W), H and W multiples of the patch.
            timestep: 1000·t, as (B,), per latent frame (B,F) or per token (B,N).
            encoder_hidden_states: text embeddings (B,L,text_dim); zeros mean no text.
            encoder_hidden_states_image: image embeddings of Wan's image-to-video models.
            given: (B,) integers: so many of the first latents are (nearly) clean; the rest continues them.
            reference: (B,reference_channels,1,H,W).
            identity: (B,K,identity_dim).
            identity_present, audio_present: (B,) of 0 and 1; 0 leaves that branch out for the sample
                (the reference belongs to identity).
            audio: (B, 4F+2·audio_margin, audio_dim), from audio_margin frames before the first latent's
                first frame; zeros beyond the clip.
            localization_mask: (B,N,K); asks for the localization loss.

        Raises:
            ValueError: a shape does not fit, or a branch is given that the model was built without.
        """
        batch, _, frames, height, width = hidden_states.shape
        p_t, p_h, p_w = self.config.patch_size
        if frames % p_t or height % p_h or width % p_w:
            raise ValueError(
                f"latents {(frames, height, width)} are no multiple of patch {self.config.patch_size}"
            )
        for name, value, built in (
            ("given latents", given, self.config.continues),
            ("reference", reference, self.config.reference_channels),
            ("identity", identity, self.config.identity_dim),
            ("audio", audio, self.config.audio_dim),
        ):
            if value is not None and not built:
                raise ValueError(f"this model was built without {name}")
        grid = (frames // p_t, height // p_h, width // p_w)
        rotary = self.rope(hidden_states)
        with_identity = None if identity_present is None else identity_present.view(batch, 1, 1)
        with_audio = None if audio_present is None else audio_present.view(batch, 1, 1)

        hidden = self.patch_embedding(hidden_states)
        carried = None
        if given is not None:
            embedded, carried = self.conditioning["continuation"](hidden_states, given)
            hidden = hidden + embedded
        if reference is not None:
            embedded = self.conditioning["reference"](reference.expand(-1, -1, p_t, -1, -1))
            hidden = hidden + (
                embedded if with_identity is None else embedded * with_identity[..., None, None]
            )
        hidden = hidden.flatten(2).transpose(1, 2).contiguous()

        moments = timestep.shape[1] if timestep.ndim == 2 else None
        temb, modulation, text, image = self.condition_embedder(
            timestep.flatten(), encoder_hidden_states, encoder_hidden_states_image, timestep_seq_len=moments
        )
        modulation = modulation.reshape(batch, moments or 1, 6, -1)
        temb = temb.reshape(batch, moments or 1, 1, -1)
        if image is not None:
            text = torch.concat([image, text], 1)

        tokens = weights = None
        if audio is not None:
            tokens, shift, weights = self.conditioning["audio"](audio)
            if tokens.shape[1] != frames or p_t != 1:
                raise ValueError(
                    f"audio for {tokens.shape[1]} latent frames, video has {frames} (patch {p_t})"
                )
            if moments not in (None, 1, frames):
                shift = shift.repeat_interleave(moments // frames, 1)
            modulation = modulation + (shift if with_audio is None else shift * with_audio.unsqueeze(-1))
            tokens = tokens.flatten(0, 1)
            if with_audio is not None:
                with_audio = with_audio.repeat_interleave(frames, 0)

        inputs = _Inputs(text, modulation, rotary, identity, with_identity, tokens, with_audio)
        losses = []
        for index, (block, added) in enumerate(zip(self.blocks, self.conditioning["blocks"], strict=True)):
            mask = localization_mask if index in self.localized else None
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden, loss = self._gradient_checkpointing_func(
                    _run_block, block, added, hidden, inputs, mask
                )
            else:
                hidden, loss = _run_block(block, added, hidden, inputs, mask)
            if loss is not None:
                losses.append(loss)

        table = self.scale_shift_table.unsqueeze(0).to(temb.device)
        shift_out, scale_out = (table + temb).chunk(2, 2)
        hidden = _modulate(self.norm_out(hidden.float()), scale_out, shift_out).type_as(hidden)
        hidden = self.proj_out(hidden).reshape(batch, *grid, p_t, p_h, p_w, -1)
        sample = hidden.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        if carried is not None:
            sample = sample + carried
        if not return_dict:
            return (sample,)
        return SyncDreamerOutput(
            sample=sample,
            localization=torch.stack(losses).mean() if losses else None,
            audio_weights=weights,
        )


def parameter_count(model: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(math.prod(tensor.shape) for tensor in model.parameters())


def _modulate(hidden: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`hidden·(1+scale)+shift` for hidden (B,N,D) with scale, shift (B,M,1,D), N a multiple of M."""
    grouped = hidden.unflatten(1, (scale.shape[1], -1))
    return (grouped * (1 + scale) + shift).flatten(1, 2)


def _gated(hidden: Tensor, added: Tensor, gate: Tensor) -> Tensor:
    grouped = added.unflatten(1, (gate.shape[1], -1))
    return hidden + (grouped * gate).flatten(1, 2)


def _run_block(
    block: WanTransformerBlock, added: BlockConditioning, hidden: Tensor, inputs: _Inputs, mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Wan's block (same operations, same order) with the two new attentions after its cross-attention."""
    table = block.scale_shift_table.unsqueeze(0) + inputs.modulation.float()
    shift_msa, scale_msa, gate_msa, shift_ffn, scale_ffn, gate_ffn = table.chunk(6, 2)

    normed = _modulate(block.norm1(hidden.float()), scale_msa, shift_msa).type_as(hidden)
    hidden = _gated(hidden.float(), block.attn1(normed, None, None, inputs.rotary), gate_msa).type_as(hidden)

    normed = block.norm2(hidden.float()).type_as(hidden)
    hidden = hidden + block.attn2(normed, inputs.text, None, None)

    loss = None
    if inputs.identity is not None and added.visual is not None:
        change, loss = added.visual(hidden, inputs.identity, inputs.identity_present, mask)
        hidden = hidden + change
    if inputs.audio is not None and added.audio is not None:
        batch, count = hidden.shape[:2]
        framed = hidden.reshape(len(inputs.audio), -1, hidden.shape[-1])
        change, _ = added.audio(framed, inputs.audio, inputs.audio_present)
        hidden = hidden + change.reshape(batch, count, -1)

    normed = _modulate(block.norm3(hidden.float()), scale_ffn, shift_ffn).type_as(hidden)
    hidden = _gated(hidden.float(), block.ffn(normed).float(), gate_ffn).type_as(hidden)
    return hidden, loss
