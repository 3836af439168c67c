"""The Attention Localization Loss: identity tokens look where they belong.

Main paper: `L_loc = (1/N) Σ_i Σ_j A_ij (1 - M_ij)`, A the normalised weights of the visual cross-attention
(N spatial latents, K identity tokens), M binary; `L = L_diff + 0.4 · L_loc`, mid-level blocks only.

Identity tokens are not anchored in space, so each belongs to a region, or to what lies in none ("global"):
`M_ij = 1` where latent i lies in token j's region; a global token owns the latents that no other token owns.
(Were global tokens allowed everywhere, all attention would move to them within a few steps: the loss is 0
there, and nothing is anchored.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.core.vocabulary import REGIONS

GLOBAL = "global"
FINEST = ("eyes", "mouth", "hands", "hair", "jaw")
"""Regions from small to large; in a coarse grid the jaw's tokens cover the mouth's."""


def attention_localization_loss(attention: Tensor, mask: Tensor) -> Tensor:
    """`(1/N) Σ_i Σ_j A_ij (1 - M_ij)`, averaged over the leading dimensions.

    Args:
        attention: (…, N, K), rows sum to 1.
        mask: broadcastable to `attention`; 1 (or True) where attending is allowed.

    Returns:
        A scalar in [0,1] for normalised rows: the mean attention mass outside the mask.

    Raises:
        ValueError: the mask does not broadcast to the attention's shape.
    """
    try:
        shape = torch.broadcast_shapes(attention.shape, mask.shape)
    except RuntimeError as error:
        raise ValueError(
            f"mask {tuple(mask.shape)} does not fit attention {tuple(attention.shape)}"
        ) from error
    if shape != attention.shape:
        raise ValueError(f"mask {tuple(mask.shape)} does not fit attention {tuple(attention.shape)}")
    outside = attention * (1 - mask.to(attention.dtype))
    return outside.sum(-1).mean()


def token_mask(regions: Tensor, owners: Sequence[str], patch: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
    """Which identity token each latent token may look at.

    Args:
        regions: (B, R, F, H, W) in [0,1], one plane for each of `REGIONS`, on the latent grid. Where they
            meet in one token the smallest has it: FINEST's order.
        owners: the region of each identity token, or "global"; length K.
        patch: the transformer's patch (t,h,w); a token lies in a region if any of its cells does.

    Returns:
        (B, N, K) of 0 and 1, N = tokens in the transformer's order. Global columns are 1 where all others
        are 0, so every row allows something (a row that does not would be a constant without gradient).

    Raises:
        ValueError: an owner is unknown, or no token is global.
    """
    unknown = sorted(set(owners) - {*REGIONS, GLOBAL})
    if unknown or GLOBAL not in owners:
        raise ValueError(
            f"owners must be of {(*REGIONS, GLOBAL)} with at least one global, got {tuple(owners)}"
        )
    pooled = nn.functional.max_pool3d(regions.float(), patch, patch)
    planes = (pooled > 0.5).flatten(2)
    free = torch.ones_like(planes[:, 0])
    own: dict[str, Tensor] = {}
    for region in FINEST:
        if region in owners:
            own[region] = planes[:, REGIONS.index(region)] & free
            free = free & ~own[region]
    own[GLOBAL] = free
    return torch.stack([own[owner] for owner in owners], -1).float()
