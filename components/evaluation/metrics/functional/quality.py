"""Q-Align's picture quality from the five level logits."""

from __future__ import annotations

import torch
from torch import Tensor

from components.core.errors import InputError

LEVELS = ("excellent", "good", "fair", "poor", "bad")
WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)


def quality_from_logits(logits: Tensor) -> Tensor:
    """Expected level: softmax over (excellent, good, fair, poor, bad) · (1, .75, .5, .25, 0).

    Args:
        logits: (…,5), any float dtype.

    Returns:
        (…) in [0, 1]; on the 1–5 scale that papers print it is 1 + 4·s. NaN logits stay NaN.

    Raises:
        InputError: the last axis does not hold the five levels.
    """
    if logits.ndim < 1 or logits.shape[-1] != len(LEVELS):
        raise InputError(f"quality needs logits (…,{len(LEVELS)}), got {tuple(logits.shape)}")
    logits = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
    return torch.softmax(logits, -1) @ logits.new_tensor(WEIGHTS)
