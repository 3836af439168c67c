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
from typing import Any, NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (diffusers looks the loader up here)
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel, WanTransformerBlock
from torch import Tensor, nn

from components.avatar.conditioning import (
    BackboneShape,
    BlockConditioning,
    Conditioned,
    attend,
    gated,
    modulate,
    places,
)


@dataclass
class SyncDreamerOutput(Transformer2DModelOutput):
    """sample (B,C,F,H,W); localization: scalar loss or None; audio_weights (B,T) or None."""

    localization: Tensor | None = None
    audio_weights: Tensor | None = None


class _Inputs(NamedTuple):
    """What every block reads besides the hidden state."""

    text: Tensor
    modulation: Tensor
    rotary: tuple[Tensor, Tensor]
    identity: Tensor | None
    identity_present: Tensor | None
    audio: Tensor | None
    audio_present: Tensor | None
    places: Tensor


class SyncDreamerTransformer3DModel(Conditioned, WanTransformer3DModel):
    """Wan's video transformer, conditioned on a reference latent, identity tokens and audio.

    Args beyond Wan's:
        reference_channels: channels of the reference latent, embedded and added to every frame; None: none.
        identity_dim: width of the identity tokens; None: no visual cross-attention.
        audio_dim: width of a video frame's audio features; None: no audio branch.
        audio_window: k of the Audio Dynamics Encoder; None: every moment weighs 1.
        audio_context: frames of audio heard on either side of a latent's own four.
        localization_blocks: blocks whose visual attention is held to its regions; None: the middle ones
            (depth//3 … 2·depth//3, at least one).
        continues: whether leading latents may be given (`Continuation`).
    """

    backbone = WanTransformer3DModel

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
        audio_window: int | None = 3,
        audio_context: int = 2,
        localization_blocks: Sequence[int] | None = None,
        continues: bool = False,
    ) -> None:
        super().__init__(
            patch_size, num_attention_heads, attention_head_dim, in_channels, out_channels, text_dim,
            freq_dim, ffn_dim, num_layers, cross_attn_norm, qk_norm, eps, image_dim, added_kv_proj_dim,
            rope_max_seq_len, pos_embed_seq_len,
        )  # fmt: skip
        self._add_conditioning()

    @property
    def shape(self) -> BackboneShape:
        """The backbone's shape."""
        config = self.config
        dim = config.num_attention_heads * config.attention_head_dim
        return BackboneShape(
            dim, config.num_attention_heads, config.num_layers, config.eps, tuple(config.patch_size)
        )

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
        self.check(hidden_states, given=given, reference=reference, identity=identity, audio=audio)
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

        inputs = _Inputs(
            text,
            modulation,
            rotary,
            identity,
            with_identity,
            tokens,
            with_audio,
            places(grid, hidden),
        )
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
        hidden = modulate(self.norm_out(hidden.float()), scale_out, shift_out).type_as(hidden)
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


def _run_block(
    block: WanTransformerBlock, added: BlockConditioning, hidden: Tensor, inputs: _Inputs, mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Wan's block (same operations, same order) with the two new attentions after its cross-attention."""
    table = block.scale_shift_table.unsqueeze(0) + inputs.modulation.float()
    shift_msa, scale_msa, gate_msa, shift_ffn, scale_ffn, gate_ffn = table.chunk(6, 2)

    normed = modulate(block.norm1(hidden.float()), scale_msa, shift_msa).type_as(hidden)
    hidden = gated(hidden.float(), block.attn1(normed, None, None, inputs.rotary), gate_msa).type_as(hidden)

    normed = block.norm2(hidden.float()).type_as(hidden)
    hidden = hidden + block.attn2(normed, inputs.text, None, None)

    hidden, loss = attend(
        added,
        hidden,
        inputs.identity,
        inputs.identity_present,
        inputs.audio,
        inputs.audio_present,
        mask,
        inputs.places,
    )

    normed = modulate(block.norm3(hidden.float()), scale_ffn, shift_ffn).type_as(hidden)
    hidden = gated(hidden.float(), block.ffn(normed).float(), gate_ffn).type_as(hidden)
    return hidden, loss
