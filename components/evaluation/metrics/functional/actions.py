"""Whether a video shows the action its text asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from components.core.errors import InputError
from components.core.vocabulary import ACTIONS

NOTHING = -1
"""The index of a text that asks for no action."""


def action_accuracy(requested: Tensor, recognised: Tensor) -> Tensor:
    """Text–action accuracy: share of the clips with a request in which the requested action is recognised.

    Args:
        requested: (N,) index of the asked action, `NOTHING` (−1) for a text that asks for none.
        recognised: (N,A) bool, the actions seen in each clip.

    Returns:
        A float64 scalar in [0, 1]; NaN when no text asks for an action.

    Raises:
        InputError: shapes disagree, or an index is outside the A actions.
    """
    if requested.ndim != 1 or recognised.ndim != 2 or len(requested) != len(recognised):
        raise InputError(
            f"actions need (N,) and (N,A), got {tuple(requested.shape)} and {tuple(recognised.shape)}"
        )
    if len(requested) and not NOTHING <= int(requested.min()) <= int(requested.max()) < recognised.shape[1]:
        raise InputError(f"an asked action is outside −1…{recognised.shape[1] - 1}")
    asked = requested != NOTHING
    places = requested[asked].long()[:, None]
    return recognised[asked].bool().gather(1, places).double().mean()


def action_table(
    requested: Sequence[str | None], recognised: Sequence[Collection[str]]
) -> tuple[Tensor, Tensor]:
    """Names of `core.vocabulary.ACTIONS` (None: no request) as the two arguments of `action_accuracy`.

    Raises:
        InputError: a name is not in the vocabulary, or the counts differ.
    """
    if len(requested) != len(recognised):
        raise InputError(f"{len(requested)} requests for {len(recognised)} clips")
    wrong = {*(name for name in requested if name), *(name for names in recognised for name in names)}
    wrong -= set(ACTIONS)
    if wrong:
        raise InputError(f"unknown action {sorted(wrong)[0]!r}; known are {', '.join(ACTIONS)}")
    asked = [NOTHING if name is None else ACTIONS.index(name) for name in requested]
    seen = [[action in names for action in ACTIONS] for names in recognised]
    return torch.tensor(asked, dtype=torch.int64), torch.tensor(seen, dtype=torch.bool).view(-1, len(ACTIONS))
