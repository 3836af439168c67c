"""The Visual Adapter: image tokens → learnable queries → a few identity tokens (Q-Former style)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from components.avatar.localization_loss import GLOBAL

OWNERS = ("eyes", "mouth", "hair", "jaw", "hands", GLOBAL, GLOBAL, GLOBAL)


class _Layer(nn.Module):
    """Queries talk to each other, then read the image tokens, then think."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_mlp = (
            nn.LayerNorm(dim),
            nn.LayerNorm(dim),
            nn.LayerNorm(dim),
        )
        self.attend_self = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.attend_image = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, queries: Tensor, image: Tensor) -> Tensor:
        normed = self.norm_self(queries)
        queries = queries + self.attend_self(normed, normed, normed, need_weights=False)[0]
        queries = queries + self.attend_image(self.norm_cross(queries), image, image, need_weights=False)[0]
        return queries + self.mlp(self.norm_mlp(queries))


class VisualAdapter(ModelMixin, ConfigMixin):
    """Aggregates an image encoder's tokens into identity tokens, one for each learnable query.

    Args:
        image_dim: width of the image encoder's tokens.
        dim: width of an identity token.
        owners: the region of each query ("eyes", "mouth", "hair", "jaw", "hands" or "global"); its length
            is the number of identity tokens.
        layers, heads: depth and heads of the query transformer.
    """

    @register_to_config
    def __init__(
        self, image_dim: int, dim: int = 160, owners: Sequence[str] = OWNERS, layers: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(owners), dim))
        self.project = nn.Sequential(nn.LayerNorm(image_dim), nn.Linear(image_dim, dim))
        self.blocks = nn.ModuleList(_Layer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    @property
    def owners(self) -> tuple[str, ...]:
        """The region each identity token belongs to."""
        return tuple(self.config.owners)

    def forward(self, image_tokens: Tensor) -> Tensor:
        """Image tokens (B,M,image_dim) → identity tokens (B,K,dim)."""
        image = self.project(image_tokens)
        queries = self.queries.expand(len(image), -1, -1)
        for layer in self.blocks:
            queries = layer(queries, image)
        return self.norm(queries)
