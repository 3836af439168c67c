"""The Attention Localization Loss against worked cases and its properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.avatar.localization_loss import attention_localization_loss, token_mask
from components.core.vocabulary import REGIONS


def test_worked_case():
    attention = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert float(attention_localization_loss(attention, mask)) == pytest.approx(0.3 / 2)


def test_nothing_outside_costs_nothing():
    attention = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(attention_localization_loss(attention, torch.eye(2))) == 0
    assert float(attention_localization_loss(torch.rand(3, 4, 2).softmax(-1), torch.ones(2))) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**20))
def test_it_is_one_minus_the_mass_inside(batch, count, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.randn(batch, 2, count, tokens, generator=generator).softmax(-1)
    mask = (torch.rand(batch, 1, count, tokens, generator=generator) > 0.5).float()
    inside = (attention * mask).sum(-1).mean()
    loss = attention_localization_loss(attention, mask)
    torch.testing.assert_close(loss, 1 - inside)
    assert loss.ndim == 0 and 0 <= float(loss) <= 1 + 1e-6


def test_the_gradient_moves_mass_inside():
    logits = torch.zeros(1, 4, 3, requires_grad=True)
    mask = torch.tensor([1.0, 0.0, 0.0])
    before = attention_localization_loss(logits.softmax(-1), mask)
    before.backward()
    assert (logits.grad[..., 0] < 0).all() and (logits.grad[..., 1:] > 0).all()
    after = attention_localization_loss((logits - logits.grad).softmax(-1), mask)
    assert after < before


def test_a_mask_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match="does not fit"):
        attention_localization_loss(torch.ones(2, 3), torch.ones(4, 3))
    with pytest.raises(ValueError, match="does not fit"):
        attention_localization_loss(torch.ones(2, 3), torch.ones(5, 2, 3))


def test_each_place_belongs_to_its_region_and_to_global_tokens_only_where_no_region_is():
    regions = torch.zeros(1, len(REGIONS), 2, 4, 4)
    regions[0, REGIONS.index("mouth"), 1, 3, 3] = 1
    mask = token_mask(regions, ("mouth", "eyes", "global"), (1, 2, 2))
    assert mask.shape == (1, 8, 3)
    assert mask[0, :, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert mask[0, :, 1].sum() == 0 and torch.equal(mask[0, :, 2], 1 - mask[0, :, 0])
    regions[0, REGIONS.index("jaw")] = 1
    meeting = token_mask(regions, ("jaw", "mouth", "global"), (1, 2, 2))
    assert torch.equal(meeting[0, :, 0], 1 - mask[0, :, 0]) and torch.equal(meeting[0, :, 1], mask[0, :, 0])
    only = token_mask(regions, ("global", "global"), (1, 2, 2))
    assert only.all(), "no token owns a region: all of them own everything"


@given(shares=st.floats(0, 1), seed=st.integers(0, 99))
def test_every_place_may_look_somewhere_and_no_region_is_escaped(shares, seed):
    regions = (
        torch.rand(1, len(REGIONS), 1, 4, 4, generator=torch.Generator().manual_seed(seed)) < shares
    ).float()
    mask = token_mask(regions, (*REGIONS, "global"))
    assert (mask.sum(-1) >= 1).all()
    on_global = torch.zeros(1, 16, len(REGIONS) + 1)
    on_global[..., -1] = 1
    escaped = attention_localization_loss(on_global, mask)
    torch.testing.assert_close(escaped, regions.amax(1).mean())


@pytest.mark.parametrize("owners", [("mouth",), ("nose", "global")])
def test_owners_need_a_global_one_and_known_regions(owners):
    with pytest.raises(ValueError, match="at least one global"):
        token_mask(torch.zeros(1, 5, 1, 2, 2), owners)
