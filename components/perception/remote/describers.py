"""Attributes and captions by a large model, one question a frame; what stays unusable is quarantined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.perception.captions import CAPTION_TOKENS
from components.perception.params import DescriberParams
from components.perception.remote import wordings
from components.perception.remote.answers import Answers
from components.perception.remote.caller import Caller
from components.perception.remote.questions import ANSWERED, Outcome, Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GEMINI, QWEN = "gemini", "qwen2-vl"
_LOCAL = {"timeout_s": 86_400.0, "attempts": 1, "prompt_price": 0.0, "output_price": 0.0}


@dataclass(frozen=True)
class Described:
    """A frame's answer, or None and why there is none (`status` and `detail`; `text`: what came instead)."""

    value: Any
    status: str
    detail: str
    text: str


def open_caller(kind: str, params: DescriberParams, state: Path, job: str) -> Caller:
    """A caller of the named model; its cache and account lie in `state`, `job` is who pays.

    Raises:
        InputError: the model is unknown, its key or folder is missing.
    """
    from components.core.errors import InputError

    if kind == GEMINI:
        from components.perception.remote.gemini import Gemini

        backend: Any = Gemini(params.service)
    elif kind == QWEN:
        from components.perception.remote.qwen2vl import Qwen2VL

        backend = Qwen2VL(params.qwen)
        # Local work is slow rather than silent, costs nothing a token, and fails for good if it fails.
        params = params.model_copy(update={"service": params.service.model_copy(update=_LOCAL)})
    else:
        raise InputError(f"unknown model {kind!r}: {GEMINI} and {QWEN} can be asked")
    return Caller(backend, Answers(state / "answers.db"), params.service, job)


def read_attributes(caller: Caller, frames: Sequence[NDArray[np.uint8]]) -> list[Described]:
    """Attributes (the schema of `core.vocabulary` with `implicit_action`) of frames (H,W,3) uint8 RGB.

    Raises:
        BudgetSpent, TemporaryFailure, InputError: see `Caller.ask_all`.
    """
    questions = [
        Question(
            wordings.ATTRIBUTES_PROMPT, wordings.ATTRIBUTES_VERSION, (frame,), wordings.AttributeAnswer, 1024
        )
        for frame in frames
    ]
    return [_described(one, wordings.attributes_of) for one in caller.ask_all(questions)]


def write_captions(
    caller: Caller, frames: Sequence[NDArray[np.uint8]], count_tokens: Callable[[str], int]
) -> list[Described]:
    """Captions of frames (H,W,3) uint8 RGB, each of fewer than 77 tokens of the text encoder; a longer one is
    asked for again with its length.

    Raises:
        BudgetSpent, TemporaryFailure, InputError: see `Caller.ask_all`.
    """

    def too_long(answer: wordings.CaptionAnswer) -> str:
        length = count_tokens(answer.caption)
        if length < CAPTION_TOKENS:
            return ""
        return f"the caption has {length} tokens, it must have fewer than {CAPTION_TOKENS}."

    questions = [
        Question(
            wordings.CAPTION_PROMPT,
            wordings.CAPTION_VERSION,
            (frame,),
            wordings.CaptionAnswer,
            1024,
            too_long,
        )
        for frame in frames
    ]
    return [_described(one, lambda said: " ".join(said.caption.split())) for one in caller.ask_all(questions)]


def _described(outcome: Outcome, read: Callable[[Any], Any]) -> Described:
    value = read(outcome.value) if outcome.status == ANSWERED else None
    return Described(value, outcome.status, outcome.detail, outcome.text)
