"""A small causal 3-D patch VAE: 4× in time, 8× in space, learnt in under a minute.

A linear path over 4×8×8 patches, set to their principal components, carries most of the picture; small
convolutions add what a linear code cannot. Causal: frame 0 is padded three times in front, so 4k+1 frames
make k+1 latents of one kind, and a latent depends on its own and earlier frames only.

It answers like diffusers' `AutoencoderKLWan` (`encode(x).latent_dist`, `decode(z).sample`), which stands in
its place when official weights are given.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

TIME, SPACE = 4, 8
INITIAL_LOG_VARIANCE = -6.0


class CausalConv(nn.Module):
    """3×3 in space over the present and the previous latent frame; zeros beyond the borders."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B,F,width,h,w) → the same shape."""
        before = nn.functional.pad(hidden[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
        both = torch.cat([hidden, before], 2)
        return self.conv(both.flatten(0, 1)).unflatten(0, both.shape[:2])


class ResidualStack(nn.Module):
    """1×1 in, causal residual blocks, 1×1 out that starts at zero."""

    def __init__(self, inputs: int, width: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 1)
        self.convs = nn.ModuleList(CausalConv(width) for _ in range(depth))
        self.leave = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B,inputs,F,h,w) → (B,outputs,F,h,w)."""
        frames = hidden.transpose(1, 2)
        hidden = self.enter(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        for conv in self.convs:
            hidden = hidden + conv(nn.functional.silu(hidden))
        left = self.leave(nn.functional.silu(hidden).flatten(0, 1))
        return left.unflatten(0, frames.shape[:2]).transpose(1, 2)


class PatchVAE(ModelMixin, ConfigMixin):
    """Video (B,3,4k+1,H,W) in [-1,1] ⇄ latents (B,channels,k+1,H/8,W/8).

    Args:
        channels: latent channels.
        width, encoder_depth, decoder_depth: size of the convolutional residuals.
        smoothing: limit of `smooth_seams` on what is decoded, in units of the picture; 0: off, as in what
            was saved before there was any.
    """

    @register_to_config
    def __init__(
        self,
        channels: int = 192,
        width: int = 96,
        encoder_depth: int = 1,
        decoder_depth: int = 2,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        patch = 3 * TIME * SPACE * SPACE
        self.analysis = nn.Conv3d(patch, channels, 1)
        self.synthesis = nn.Conv3d(channels, patch, 1)
        self.register_buffer("scale", torch.ones(channels))
        self.encoder = ResidualStack(patch, width, 2 * channels, encoder_depth)
        self.decoder = ResidualStack(channels, width, patch, decoder_depth)

    @torch.no_grad()
    def set_linear_path(self, mean: Tensor, basis: Tensor, spread: Tensor) -> None:
        """Sets the linear path to `z = basis (x - mean)`, `x = basisᵀ z + mean`.

        Args:
            mean: (768,); basis: (channels, 768) with orthonormal rows; spread: (channels,), the latents'
            standard deviations, by which the decoder's residual path scales its input.
            The path is frozen: a few hundred steps of noisy gradients would only undo it.
        """
        self.analysis.requires_grad_(False)
        self.synthesis.requires_grad_(False)
        self.scale.copy_(spread.clamp(min=1e-3))
        self.analysis.weight.copy_(basis[..., None, None, None])
        self.analysis.bias.copy_(-basis @ mean)
        self.synthesis.weight.copy_(basis.T[..., None, None, None])
        self.synthesis.bias.copy_(mean)

    @property
    def reach(self) -> tuple[int, int]:
        """Latents before and after its own that a latent's frames depend on."""
        smoothed = int(self.config.smoothing > 0)
        return self.config.decoder_depth + smoothed, smoothed

    def moments(self, video: Tensor) -> Tensor:
        """Mean and log-variance (B, 2·channels, k+1, H/8, W/8)."""
        patches = patchify(video)
        mean, log_variance = self.encoder(patches).chunk(2, 1)
        return torch.cat([self.analysis(patches) + mean, log_variance + INITIAL_LOG_VARIANCE], 1)

    def encode(self, video: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """Latents' distribution.

        Raises:
            ValueError: not 4k+1 frames, or a side is no multiple of 8.
        """
        posterior = DiagonalGaussianDistribution(self.moments(video))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, latents: Tensor, return_dict: bool = True) -> DecoderOutput | tuple:
        """Video (B,3,4k+1,H,W), not clamped, of latents (B,channels,k+1,h,w)."""
        video = unpatchify(self.synthesis(latents) + self.decoder(latents / self.scale.view(-1, 1, 1, 1)))
        if self.config.smoothing:
            video = smooth_seams(video, self.config.smoothing)
        return DecoderOutput(sample=video) if return_dict else (video,)

    def forward(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction with the posterior sampled by `noise`, mean and log-variance, for training."""
        mean, log_variance = self.moments(video).chunk(2, 1)
        latents = mean + noise * (0.5 * log_variance).exp()
        return self.decode(latents, return_dict=False)[0], mean, log_variance


def check_frames(count: int) -> None:
    """Raises ValueError unless count = 4k+1 (the official VAE would silently drop frames)."""
    if count < 1 or count % TIME != 1:
        raise ValueError(f"a causal VAE takes 4k+1 frames (1, 5, 9 …), got {count}")


def patchify(video: Tensor) -> Tensor:
    """(B,3,4k+1,H,W) → (B,768,k+1,H/8,W/8), frame 0 padded three times in front.

    Raises:
        ValueError: not 4k+1 frames, or a side is no multiple of 8.
    """
    batch, colours, frames, height, width = video.shape
    check_frames(frames)
    if height % SPACE or width % SPACE:
        raise ValueError(f"picture sides must be multiples of {SPACE}, got {height}×{width}")
    padded = torch.cat([video[:, :, :1].expand(-1, -1, TIME - 1, -1, -1), video], 2)
    split = padded.reshape(batch, colours, -1, TIME, height // SPACE, SPACE, width // SPACE, SPACE)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def unpatchify(patches: Tensor) -> Tensor:
    """The inverse of `patchify`; the three padded frames are dropped."""
    batch, _, frames, height, width = patches.shape
    split = patches.reshape(batch, 3, TIME, SPACE, SPACE, frames, height, width)
    video = split.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return video.reshape(batch, 3, frames * TIME, height * SPACE, width * SPACE)[:, :, TIME - 1 :]


def smooth_seams(video: Tensor, limit: float) -> Tensor:
    """Takes the jumps between latents' frames out of a decoded video (B,C,4k+1,H,W).

    Each latent's four frames are coded by themselves, so what the code leaves out changes every fourth frame:
    a trembling of still parts that the eye sees at once. A video codec's deblocking filter, in time: what a
    seam's change has beyond the mean of the changes before and after it is shared out between the two fours,
    linearly, unless it is large against `limit`, for then it is motion: `a ← a / (1 + (a/limit)²)`.
    """
    count = video.shape[2]
    if count <= TIME:
        return video
    starts = torch.arange(1, count, TIME, device=video.device)
    changes = video.diff(dim=2)
    following = changes[:, :, starts]
    # The first frame stands alone: there is no change before it.
    leading = torch.cat([following[:, :, :1], changes[:, :, starts[1:] - 2]], 2)
    jump = changes[:, :, starts - 1] - (leading + following) / 2
    half = (jump / (1 + (jump / limit).square()) / 2).unsqueeze(3)
    ramp = torch.linspace(0, 1, TIME, device=video.device, dtype=video.dtype).view(TIME, 1, 1)
    fours = video[:, :, 1:].unflatten(2, (-1, TIME)) - half * ramp.flip(0)
    fours = torch.cat([fours[:, :, :-1] + half[:, :, 1:] * ramp, fours[:, :, -1:]], 2)
    return torch.cat([video[:, :, :1], fours.flatten(2, 3)], 2)


def leading_components(covariance: Tensor, channels: int) -> Tensor:
    """The leading eigenvectors (channels,768) of a covariance (768,768).

    The sign of each is fixed (its largest entry is positive).
    """
    _, vectors = torch.linalg.eigh(covariance.double())
    basis = vectors.flip(1)[:, :channels].T
    signs = basis.gather(1, basis.abs().argmax(1, keepdim=True)).sign()
    return (basis * signs).float()
