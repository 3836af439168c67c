"""CogVideoX as the backbone: the same conditioning, the same call as `SyncDreamerTransformer3DModel`.

Each block: self-attention over text and video together (CogVideoX's own) → visual cross-attention over
identity tokens → audio cross-attention within the latent frame → feed-forward. The gates start at zero, so a
pretrained backbone is unchanged at step 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (diffusers looks the loader up here)
from diffusers.models.normalization import CogVideoXLayerNormZero
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock, CogVideoXTransformer3DModel
from torch import Tensor

from components.avatar.conditioning import (
    BackboneShape,
    BlockConditioning,
    Conditioned,
    attend,
    gated,
    modulate,
    places,
)
from components.avatar.transformer import SyncDreamerOutput


class _Inputs(NamedTuple):
    """What every block reads besides the hidden states of video and text."""

    time: Tensor
    """Time embedding (B,M,E), M = 1 or latent frames."""
    audio_modulation: Tensor | None
    rotary: tuple[Tensor, Tensor] | None
    identity: Tensor | None
    identity_present: Tensor | None
    audio: Tensor | None
    audio_present: Tensor | None
    places: Tensor


class SyncDreamerCogVideoXTransformer3DModel(Conditioned, CogVideoXTransformer3DModel):
    """CogVideoX's video transformer, conditioned on a reference latent, identity tokens and audio.

    Args beyond CogVideoX's: those of `SyncDreamerTransformer3DModel`. CogVideoX 1.5 (temporal patches,
    `patch_size_t`) and its image-to-video offsets are not supported.
    """

    backbone = CogVideoXTransformer3DModel

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 48,
        attention_head_dim: int = 64,
        in_channels: int = 16,
        out_channels: int | None = 16,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        time_embed_dim: int = 512,
        ofs_embed_dim: int | None = None,
        text_embed_dim: int = 4096,
        num_layers: int = 42,
        dropout: float = 0.0,
        attention_bias: bool = True,
        sample_width: int = 90,
        sample_height: int = 60,
        sample_frames: int = 49,
        patch_size: int = 2,
        patch_size_t: int | None = None,
        temporal_compression_ratio: int = 4,
        max_text_seq_length: int = 226,
        activation_fn: str = "gelu-approximate",
        timestep_activation_fn: str = "silu",
        norm_elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
        spatial_interpolation_scale: float = 1.875,
        temporal_interpolation_scale: float = 1.0,
        use_rotary_positional_embeddings: bool = True,
        use_learned_positional_embeddings: bool = False,
        patch_bias: bool = True,
        reference_channels: int | None = None,
        identity_dim: int | None = None,
        audio_dim: int | None = None,
        audio_window: int | None = 3,
        audio_context: int = 2,
        localization_blocks: Sequence[int] | None = None,
        continues: bool = False,
    ) -> None:
        if patch_size_t is not None or ofs_embed_dim is not None:
            raise ValueError("CogVideoX 1.5 (patch_size_t, ofs_embed_dim) is not supported as a backbone")
        super().__init__(
            num_attention_heads, attention_head_dim, in_channels, out_channels, flip_sin_to_cos, freq_shift,
            time_embed_dim, ofs_embed_dim, text_embed_dim, num_layers, dropout, attention_bias, sample_width,
            sample_height, sample_frames, patch_size, patch_size_t, temporal_compression_ratio,
            max_text_seq_length, activation_fn, timestep_activation_fn, norm_elementwise_affine, norm_eps,
            spatial_interpolation_scale, temporal_interpolation_scale, use_rotary_positional_embeddings,
            use_learned_positional_embeddings, patch_bias,
        )  # fmt: skip
        self._add_conditioning()

    @property
    def shape(self) -> BackboneShape:
        """The backbone's shape."""
        config = self.config
        dim = config.num_attention_heads * config.attention_head_dim
        patch = (1, config.patch_size, config.patch_size)
        return BackboneShape(dim, config.num_attention_heads, config.num_layers, config.norm_eps, patch)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
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
        """Predicts from noisy latents; arguments and errors as in `SyncDreamerTransformer3DModel.forward`.

        hidden_states is (B,C,F,H,W) here too. With a time per latent frame (B,F), text tokens are told the
        latest one.
        """
        batch, _, frames, height, width = hidden_states.shape
        size = self.config.patch_size
        self.check(hidden_states, given=given, reference=reference, identity=identity, audio=audio)
        with_identity = None if identity_present is None else identity_present.view(batch, 1, 1)
        with_audio = None if audio_present is None else audio_present.view(batch, 1, 1)

        moments = timestep.shape[1] if timestep.ndim == 2 else 1
        if moments not in (1, frames):
            raise ValueError(f"timestep (B,{moments}) is neither one a sample nor one a latent frame")
        embedded_time = self.time_proj(timestep.flatten()).to(hidden_states.dtype)
        time = self.time_embedding(embedded_time).reshape(batch, moments, -1)

        joint = self.patch_embed(encoder_hidden_states, hidden_states.transpose(1, 2))
        joint = self.embedding_dropout(joint)
        count = encoder_hidden_states.shape[1]
        text, hidden = joint[:, :count], joint[:, count:]
        carried = None
        if given is not None:
            shown, carried = self.conditioning["continuation"](hidden_states, given)
            hidden = hidden + shown.flatten(2).transpose(1, 2)
        if reference is not None:
            embedded = self.conditioning["reference"](reference).flatten(2).transpose(1, 2)
            embedded = embedded.repeat(1, frames, 1)
            hidden = hidden + (embedded if with_identity is None else embedded * with_identity)

        tokens = shift = weights = None
        if audio is not None:
            tokens, shift, weights = self.conditioning["audio"](audio)
            if tokens.shape[1] != frames:
                raise ValueError(f"audio for {tokens.shape[1]} latent frames, video has {frames}")
            if with_audio is not None:
                shift = shift * with_audio.unsqueeze(-1)
                with_audio = with_audio.repeat_interleave(frames, 0)
            tokens = tokens.flatten(0, 1)
        rotary = None
        if self.config.use_rotary_positional_embeddings:
            rotary = self._rotary(frames, height // size, width // size, hidden.device)
        inputs = _Inputs(
            time,
            shift,
            rotary,
            identity,
            with_identity,
            tokens,
            with_audio,
            places((frames, height // size, width // size), hidden),
        )

        losses = []
        blocks = zip(self.transformer_blocks, self.conditioning["blocks"], strict=True)
        for index, (block, added) in enumerate(blocks):
            mask = localization_mask if index in self.localized else None
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden, text, loss = self._gradient_checkpointing_func(
                    _run_block, block, added, hidden, text, inputs, mask
                )
            else:
                hidden, text, loss = _run_block(block, added, hidden, text, inputs, mask)
            if loss is not None:
                losses.append(loss)

        hidden = self.norm_final(hidden)
        out = self.norm_out
        shift_out, scale_out = out.linear(out.silu(time)).unsqueeze(2).chunk(2, -1)
        hidden = self.proj_out(modulate(out.norm(hidden), scale_out, shift_out))
        hidden = hidden.reshape(batch, frames, height // size, width // size, -1, size, size)
        sample = hidden.permute(0, 4, 1, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)
        if carried is not None:
            sample = sample + carried
        if not return_dict:
            return (sample,)
        return SyncDreamerOutput(
            sample=sample,
            localization=torch.stack(losses).mean() if losses else None,
            audio_weights=weights,
        )

    def _rotary(self, frames: int, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """CogVideoX's rotary embedding: the grid is fitted, centred, into the one it was trained on."""
        base_rows = self.config.sample_height // self.config.patch_size
        base_columns = self.config.sample_width // self.config.patch_size
        if rows / columns > base_rows / base_columns:
            high, wide = base_rows, round(base_rows / rows * columns)
        else:
            high, wide = round(base_columns / columns * rows), base_columns
        top, left = round((base_rows - high) / 2), round((base_columns - wide) / 2)
        return get_3d_rotary_pos_embed(
            self.config.attention_head_dim,
            ((top, left), (top + high, left + wide)),
            (rows, columns),
            frames,
            device=device,
        )


def _run_block(
    block: CogVideoXBlock, added: BlockConditioning, hidden: Tensor, text: Tensor, inputs: _Inputs,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """CogVideoX's block (same operations, same order) with the two new attentions after its attention."""
    heard = inputs.audio_modulation
    video_in, text_in, gate, text_gate = _normed(block.norm1, hidden, text, inputs.time, heard, 0)
    video_out, text_out = block.attn1(
        hidden_states=video_in, encoder_hidden_states=text_in, image_rotary_emb=inputs.rotary
    )
    hidden = gated(hidden, video_out, gate)
    text = text + text_gate * text_out

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

    video_in, text_in, gate, text_gate = _normed(block.norm2, hidden, text, inputs.time, heard, 3)
    result = block.ff(torch.cat([text_in, video_in], 1))
    count = text.shape[1]
    return gated(hidden, result[:, count:], gate), text + text_gate * result[:, :count], loss


def _normed(
    norm: CogVideoXLayerNormZero, hidden: Tensor, text: Tensor, time: Tensor, heard: Tensor | None, first: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Modulated video and text, and their gates; `heard` (B,F,6,D) adds its rows first … first+2."""
    shift, scale, gate, *of_text = norm.linear(norm.silu(time)).unsqueeze(2).chunk(6, -1)
    if heard is not None:
        shift, scale, gate = (
            made + heard[:, :, first + row, None] for row, made in enumerate((shift, scale, gate))
        )
    # Text belongs to no frame: it is told the last frame's time, which is that of what is being made.
    text_shift, text_scale, text_gate = (made[:, -1] for made in of_text)
    text = norm.norm(text) * (1 + text_scale) + text_shift
    return modulate(norm.norm(hidden), scale, shift), text, gate, text_gate
