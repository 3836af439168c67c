"""Pictures with attributes, and the pairs made of them: image + instruction -> motion-aware prompt.

Pictures come from curated clips (their annotation) and from the rendered people that the perception stage
shares. Held-out pictures show people of the test split, or rendered people kept back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.core.vocabulary import ACTIONS, HAND_ACTIONS
from components.enhancer import phrasing
from components.enhancer.params import TargetParams
from components.perception import wording

if TYPE_CHECKING:
    from numpy.typing import NDArray

SYNONYMS = 0.3
"""Share of targets in which synonyms of the canonical wordings may be drawn."""


OFTEN = {"look_left": 2.0, "look_right": 2.0, "raise_hand": 2.5, "raise_eyebrows": 1.5}
"""Actions that training shows more often than the others: those that begin with the same verb, so that the
text has to come back to the instruction for its second word. Hands show in wider framings only: without more
of them, "raise a hand" became "raises the eyebrows"."""


@dataclass(frozen=True)
class Pool:
    """N pictures (N,112,112,3) uint8 with what is seen in them; `clips[i]` is True for a curated clip."""

    images: NDArray[np.uint8]
    attributes: list[dict[str, Any]]
    framings: list[str]
    clips: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.attributes)

    def take(self, rows: Sequence[int]) -> Pool:
        """The pool of the given rows, in their order."""
        return Pool(
            self.images[list(rows)],
            [self.attributes[row] for row in rows],
            [self.framings[row] for row in rows],
            self.clips[list(rows)],
        )


@dataclass(frozen=True)
class Case:
    """A picture (row of its pool) and an instruction."""

    row: int
    instruction: phrasing.Instruction


@dataclass(frozen=True)
class Pair:
    """A case with the target text of supervised training."""

    row: int
    instruction: phrasing.Instruction
    target: str


SEEN_BY_ITSELF = ("background",)
"""Attributes that the model reads from the picture alone; the others reach it as text, too (the paper's
enhancer fuses the extracted attributes with picture and instruction)."""


def request(instruction: str, attributes: dict[str, Any]) -> str:
    """The text of the user's turn: the instruction, then what perception extracted from the picture."""
    told = {name: value for name, value in attributes.items() if name not in SEEN_BY_ITSELF}
    said = wording.prompt(told, None, stages=())
    return f"{' '.join(instruction.split())} | {said.removesuffix('.').replace('.', ',')}"


def possible(action: str, framing: str) -> bool:
    """Whether the action can be seen in the framing: hands show only in wider ones."""
    return framing != "close-up" or action not in HAND_ACTIONS


def imperfect(attributes: dict[str, Any], action: str, params: TargetParams, rng: np.random.Generator) -> str:
    """A target that lacks what `params` lets it lack: attributes, cues, temporal stages."""
    said = wording.some(attributes, rng, params.keep_attribute)
    said |= {kind: attributes[kind] for kind in wording.CUE_KINDS if kind in attributes}
    cues = [kind for kind in wording.CUE_KINDS if rng.random() < params.keep_cue]
    draw = float(rng.random())
    if draw < params.full_stages:
        stages: tuple[str, ...] = wording.STAGES
    elif draw < params.full_stages + params.half_stages:
        stages = (("beginning",), ("middle",), ("middle", "end"))[int(rng.integers(3))]
    else:
        stages = ()
    return wording.prompt(said, action, cues, stages, rng if rng.random() < SYNONYMS else None)


def complete(attributes: dict[str, Any], action: str) -> str:
    """The manually refined prompt: everything that is known, once, in order."""
    return wording.prompt(attributes, action)


def _instruct(
    framing: str, table: dict[str, tuple[phrasing.Instruction, ...]], rng: np.random.Generator
) -> phrasing.Instruction:
    actions = [action for action in ACTIONS if possible(action, framing)]
    share = np.array([OFTEN.get(action, 1.0) for action in actions])
    options = table[actions[int(rng.choice(len(actions), p=share / share.sum()))]]
    return options[int(rng.integers(len(options)))]


def order(pool: Pool, count: int, clips: float, rng: np.random.Generator) -> list[int]:
    """`count` rows of the pool; a share of `clips` from curated clips, both kinds pass by pass."""
    kinds = [np.flatnonzero(pool.clips), np.flatnonzero(~pool.clips)]
    queues: list[list[int]] = [[], []]
    rows = []
    for _ in range(count):
        kind = 0 if len(kinds[1]) == 0 or (len(kinds[0]) > 0 and rng.random() < clips) else 1
        if not queues[kind]:
            queues[kind] = rng.permutation(kinds[kind]).tolist()
        rows.append(queues[kind].pop())
    return rows


def training_cases(pool: Pool, count: int, clips: float, seed: int) -> list[Case]:
    """`count` training cases; each pass over a picture draws a new instruction."""
    rng = np.random.default_rng(derive(seed, "enhancer cases"))
    table = phrasing.training()
    return [Case(row, _instruct(pool.framings[row], table, rng)) for row in order(pool, count, clips, rng)]


def tokenizer_texts(params: TargetParams, seed: int, count: int = 2000) -> list[str]:
    """Instructions and targets from which the tokenizer is trained (apart from the pairs themselves, so that
    the tokenizer does not change with the number of steps)."""
    rng = np.random.default_rng(derive(seed, "enhancer tokenizer"))
    texts = [one.text for rows in phrasing.training().values() for one in rows]
    for _ in range(count):
        action = ACTIONS[int(rng.integers(len(ACTIONS)))]
        texts.append(imperfect(wording.any_attributes(rng), action, params, rng))
    return texts


def training_pairs(pool: Pool, count: int, params: TargetParams, seed: int) -> list[Pair]:
    """`count` training pairs with targets as incomplete as `params` says."""
    rng = np.random.default_rng(derive(seed, "enhancer targets"))
    return [
        Pair(
            case.row,
            case.instruction,
            imperfect(pool.attributes[case.row], case.instruction.action, params, rng),
        )
        for case in training_cases(pool, count, params.clips, seed)
    ]


def held_out_cases(pool: Pool, count: int, seed: int) -> list[Case]:
    """`count` combinations of held-out pictures and held-out wordings, balanced over the actions."""
    rng = np.random.default_rng(derive(seed, "enhancer held out"))
    table = phrasing.held_out()
    cases = []
    by_action = {
        action: [row for row in range(len(pool)) if possible(action, pool.framings[row])]
        for action in ACTIONS
    }
    actions = [action for action in ACTIONS if by_action[action]]
    for number in range(count):
        action = actions[number % len(actions)]
        row = by_action[action][int(rng.integers(len(by_action[action])))]
        cases.append(Case(row, table[action][int(rng.integers(len(table[action])))]))
    return cases
