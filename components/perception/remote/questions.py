"""What is asked of a model, what comes back, and in which ways asking can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from components.core.errors import EXIT_INPUT, SyncDreamerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

ANSWERED, REFUSED, CUT, INVALID, REJECTED, FAILED, UNASKED = (
    "answered", "refused", "cut", "invalid", "rejected", "failed", "unasked",
)  # fmt: skip
STATUSES = (ANSWERED, REFUSED, CUT, INVALID, REJECTED, FAILED, UNASKED)
"""How a question ends. `refused`: the model declined; `cut`: no room for an answer; `invalid`: no answer of
the schema; `rejected`: the service takes no such request; `failed`: the service stayed away (worth asking
again); `unasked`: the budget was spent, or the service refused the caller."""
FINAL = (ANSWERED, REFUSED, CUT, INVALID)
"""Paid for and the same when asked again: kept in the cache, not asked again."""


@dataclass(frozen=True)
class Question:
    """A prompt about pictures (each (H,W,3) uint8 RGB), the schema of the answer, and room for it in tokens.

    `version` names the wording and the schema: another version is another question.
    """

    prompt: str
    version: str
    pictures: tuple[NDArray[np.uint8], ...] = ()
    schema: type[BaseModel] | None = None
    max_tokens: int = 1024
    check: Callable[[Any], str] | None = None
    """What is wrong with a validated answer, a sentence; "" if nothing is."""

    @cached_property
    def content(self) -> str:
        """SHA-256 over the pictures' pixels and the prompt, hexadecimal."""
        total = hashlib.sha256()
        for picture in self.pictures:
            total.update(f"{picture.shape} ".encode())
            total.update((picture if picture.flags.c_contiguous else picture.copy(order="C")).data)
        total.update(self.prompt.encode())
        return total.hexdigest()

    def key(self, model: str) -> str:
        """SHA-256 over content, model and prompt version, hexadecimal: the cache's key."""
        return hashlib.sha256(f"{self.content}\0{model}\0{self.version}".encode()).hexdigest()

    def again(self, problem: str, max_tokens: int) -> Question:
        """The question once more, with what was wrong with the last answer."""
        note = f"\n\nYour last answer could not be used: {problem} Answer again, with the JSON object only."
        return replace(self, prompt=self.prompt + note if problem else self.prompt, max_tokens=max_tokens)


@dataclass(frozen=True)
class Usage:
    """Tokens that a call is billed for; the output includes what the model thought."""

    prompt: int = 0
    output: int = 0


@dataclass(frozen=True)
class Reply:
    """The model's text and what it cost."""

    text: str
    usage: Usage = Usage()


@dataclass(frozen=True)
class Outcome:
    """How a question ended. `value`: the validated answer (a schema's instance, or text) if answered."""

    status: str
    value: Any = None
    text: str = ""
    detail: str = ""
    cached: bool = False


class CallFailed(Exception):
    """A call without a usable reply; `usage` is billed all the same."""

    status = FAILED

    def __init__(self, reason: str, usage: Usage = Usage()) -> None:
        super().__init__(reason)
        self.usage = usage


class Away(CallFailed):
    """Throttled, down, cut off or silent: worth a retry, after `retry_after` seconds where it says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(CallFailed):
    """The model declined to answer."""

    status = REFUSED


class CutShort(CallFailed):
    """The room for output was spent before there was an answer."""

    status = CUT


class Rejected(CallFailed):
    """The service takes no such request (HTTP 400 …): asking again changes nothing."""

    status = REJECTED


class NoEntry(CallFailed):
    """The service refuses the caller (key, permission, unknown model): no question will be answered."""

    status = UNASKED


class BudgetSpent(SyncDreamerError):
    """The budget in calls or money is spent; answers so far are kept, a larger budget goes on from there."""

    exit_code = EXIT_INPUT


class Backend(Protocol):
    """A model that answers one question. Raises `CallFailed` in one of its kinds, with no key in the text."""

    name: str

    async def ask(self, question: Question) -> Reply: ...

    async def close(self) -> None: ...
