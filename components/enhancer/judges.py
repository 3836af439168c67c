"""Judges of R_img's global score and of R_inst behind one narrow interface; the embedded ones by default.

A judge answers with numbers in [0,1], or None where it has no answer: the sample is then unscorable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from components.core.errors import InputError
from components.enhancer.extractor import actions, normalise
from components.enhancer.rewards import CRITERIA

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.perception.image_text import ImageTextModel
    from components.perception.remote.caller import Caller

Criteria = dict[str, float | None]
_CARRYING = frozenset(
    (
        *("a", "an", "and", "as", "at", "be", "by", "can", "could", "do", "for", "from", "has", "have", "i"),
        *("in", "is", "it", "let", "make", "me", "my", "of", "on", "or", "our", "out", "person", "please"),
        *(
            "should",
            "so",
            "some",
            "someone",
            "speak",
            "speaker",
            "speaking",
            "talk",
            "talking",
            "than",
            "that",
        ),
        *("the", "their", "them", "then", "they", "this", "to", "want", "we", "while", "will", "with"),
        *("would", "you", "your"),
    )
)
"""Words that carry an instruction without saying what to do."""


class Judge(Protocol):
    """Compares a prompt with a picture and with an instruction; all in one call a batch."""

    name: str

    def img(self, readings: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> list[Criteria]:
        """The four criteria of R_img for each picture (its attributes as perception read them) and prompt."""
        ...

    def inst(self, instructions: Sequence[str], prompts: Sequence[str]) -> list[float | None]:
        """How faithfully each prompt keeps its instruction's meaning."""
        ...


def instruction_match(instruction: str, prompt: str) -> float:
    """How well a prompt keeps an instruction, by rule, in [0,1].

    Each instructed action wants exactly one mention (a repeated one earns half), and every other action that
    the prompt names counts against it. An instruction without a known action is compared by its content
    words: the share that the prompt keeps.
    """
    wanted = list(dict.fromkeys(actions(instruction)))
    done = actions(prompt)
    if wanted:
        kept = sum({0: 0.0, 1: 1.0}.get(done.count(name), 0.5) for name in wanted)
        return kept / (len(wanted) + len(set(done) - set(wanted)))
    content = {word for word in re.findall(r"\w+", normalise(instruction)) if word not in _CARRYING}
    if not content:
        return 0.0
    return len(content & set(re.findall(r"\w+", normalise(prompt)))) / len(content)


@dataclass(frozen=True)
class Verdict:
    """What a judge says about one prompt; `time` only where it was asked about it."""

    criteria: Criteria
    inst: float | None
    time: float | None = None


@runtime_checkable
class WholeJudge(Protocol):
    """A judge that looks at the picture itself and answers everything about a prompt in one call."""

    name: str

    def verdicts(
        self, pictures: Sequence[NDArray[np.uint8]], instructions: Sequence[str], prompts: Sequence[str]
    ) -> list[Verdict]:
        """About each picture (H,W,3) uint8, instruction and prompt."""
        ...


def verdicts(
    judge: Judge | WholeJudge,
    readings: Sequence[Mapping[str, Any]],
    instructions: Sequence[str],
    prompts: Sequence[str],
    pictures: Sequence[NDArray[np.uint8]] | None,
) -> list[Verdict]:
    """Either kind of judge about N prompts.

    Raises:
        InputError: the judge looks at pictures and there are none.
    """
    if isinstance(judge, WholeJudge):
        if pictures is None:
            raise InputError(f"judge {judge.name} needs the pictures")
        return judge.verdicts(pictures, instructions, prompts)
    criteria, kept = judge.img(readings, prompts), judge.inst(instructions, prompts)
    return [Verdict(told, inst) for told, inst in zip(criteria, kept, strict=True)]


class ServiceJudge:
    """A large model (Gemini, Qwen2-VL) as judge: one question a prompt, all at once, cached.

    What it does not answer usably is None throughout: the sample is unscorable. A spent budget or a service
    that is away for a whole batch raises: training stops there and goes on from its last checkpoint.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.name = caller.backend.name

    def verdicts(
        self, pictures: Sequence[NDArray[np.uint8]], instructions: Sequence[str], prompts: Sequence[str]
    ) -> list[Verdict]:
        """See `WholeJudge.verdicts`.

        Raises:
            BudgetSpent, TemporaryFailure, InputError: see `Caller.ask_all`.
        """
        from components.perception.remote import wordings
        from components.perception.remote.questions import Question

        questions = [
            Question(
                wordings.judge_prompt(instruction, prompt), wordings.JUDGE_VERSION, (picture,),
                wordings.JudgeAnswer, 1024,
            )
            for picture, instruction, prompt in zip(pictures, instructions, prompts, strict=True)
        ]  # fmt: skip
        return [_verdict(outcome.value) for outcome in self.caller.ask_all(questions)]


def _verdict(answer: Any) -> Verdict:
    if answer is None:
        return Verdict(dict.fromkeys(CRITERIA), None, None)
    return Verdict({name: getattr(answer, name) for name in CRITERIA}, answer.instruction, answer.time)


class EmbeddedJudge:
    """The frozen small image-text model for pictures, and the rule for instructions."""

    def __init__(self, model: ImageTextModel) -> None:
        self._model = model
        self.name = f"{model.config['name']}+rule"

    def img(self, readings: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> list[Criteria]:
        """See `Judge.img`."""
        scores = self._model.criteria(readings, prompts)
        return [dict(zip(CRITERIA, map(float, row), strict=True)) for row in scores]

    def inst(self, instructions: Sequence[str], prompts: Sequence[str]) -> list[float | None]:
        """See `Judge.inst`."""
        return [instruction_match(a, b) for a, b in zip(instructions, prompts, strict=True)]
