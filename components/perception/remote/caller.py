"""Asks a model many questions: at once, each once, within limits of rate and budget, and loses none.

Every question comes back with exactly one outcome. What is final is cached before it is returned; what failed
for a while (throttling, errors of the service, silence) is retried with back-off and, if it stays, may be
asked again later. A spent budget and a refused caller end the batch in order: calls under way finish and are
kept, the rest is `unasked`.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from components.core.errors import InputError, TemporaryFailure
from components.perception.params import ServiceParams
from components.perception.remote.answers import Answers, Kept
from components.perception.remote.questions import (
    ANSWERED,
    FAILED,
    INVALID,
    UNASKED,
    Away,
    Backend,
    BudgetSpent,
    CallFailed,
    CutShort,
    NoEntry,
    Outcome,
    Question,
    Rejected,
    Usage,
)

T = TypeVar("T")
PICTURE_TOKENS = 258
"""Tokens of a small picture (Gemini's tile), for the reservation of a call's price."""
LONGEST_WAIT_S = 120.0
"""A service that asks for more patience (a daily quota) is treated as away."""
REJECTIONS = 10
"""So many requests turned away before a single answer: the request itself is wrong, not a picture."""


class Caller:
    """Asks one backend. `answers` is the cache and the account, `job` the name on whose budget calls go."""

    def __init__(
        self, backend: Backend, answers: Answers, params: ServiceParams | None = None, job: str = "default"
    ) -> None:
        self.backend = backend
        self.params = params or ServiceParams()
        self.answers = answers
        self.job = job
        self.outcomes: Counter[str] = Counter()
        """How questions ended so far, `cached` beside the statuses."""
        self.budget_spent = False
        self._refused_entry: NoEntry | None = None
        self._rejected = 0
        self._answered = 0
        self._under_way = (0, 0.0)
        self._spent = answers.spent(job)
        self._resume_at = 0.0
        self._next_slot = 0.0
        self._jitter = random.Random(0)
        self._loop = _Loop()

    def close(self) -> None:
        """Ends the connections and the thread of the event loop."""
        self._loop.run(self.backend.close())
        self._loop.stop()

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """One outcome a question, in order; equal questions are asked once.

        Raises:
            InputError: the service refuses the caller (key, permission, model) or every request.
        """
        keys = [question.key(self.backend.name) for question in questions]
        kept = self.answers.find(list(dict.fromkeys(keys)))
        found: dict[str, Outcome] = {}
        missing: dict[str, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            if key in found or key in missing:
                continue
            outcome = _reread(question, kept[key]) if key in kept else None
            if outcome is None:
                missing[key] = question
            else:
                found[key] = outcome
        if missing:
            found.update(self._loop.run(self._all(missing)))
        result = [found[key] for key in keys]
        self.outcomes.update("cached" if one.cached else one.status for one in result)
        if self._refused_entry is not None:
            raise InputError(f"{self.backend.name}: {self._refused_entry}")
        return result

    def ask_all(self, questions: Sequence[Question]) -> list[Outcome]:
        """As `ask`, for work that needs every question asked.

        Raises:
            BudgetSpent: some are unasked because the budget is spent.
            TemporaryFailure: the service was away for all that were asked.
        """
        result = self.ask(questions)
        left = sum(one.status == UNASKED for one in result)
        if left:
            raise BudgetSpent(
                f"{self.backend.name}: the budget of job {self.job!r} is spent ({self.account()}); {left} of "
                f"{len(result)} questions are unasked. Answers are kept in {self.answers.path}: raise "
                "max_calls or max_cost and run the same command again"
            )
        new = [one for one in result if not one.cached]
        if new and all(one.status == FAILED for one in new):
            raise TemporaryFailure(f"{self.backend.name} gave no answer: {new[0].detail}")
        return result

    def account(self) -> str:
        """Calls, tokens and money of the job, all its runs together."""
        spent = self.answers.spent(self.job)
        return (
            f"{spent.calls} calls, {spent.prompt_tokens} + {spent.output_tokens} tokens, "
            f"{spent.cost:.4f} {self.params.currency}"
        )

    async def _all(self, missing: dict[str, Question]) -> dict[str, Outcome]:
        gate = asyncio.Semaphore(self.params.concurrency)

        async def one(key: str, question: Question) -> Outcome:
            async with gate:
                return await self._one(key, question)

        outcomes = await asyncio.gather(*(one(key, question) for key, question in missing.items()))
        return dict(zip(missing, outcomes, strict=True))

    async def _one(self, key: str, question: Question) -> Outcome:
        """A question's whole life: calls until there is an outcome."""
        asked = question
        failure: CallFailed | None
        tried_away = tried_invalid = 0
        while True:
            if self._refused_entry is not None:
                return Outcome(UNASKED, detail="the service refuses the caller")
            price = self._price(self._expected(asked))
            if not self._reserve(price):
                return Outcome(UNASKED, detail="the budget is spent")
            try:
                await self._turn()
                reply = await asyncio.wait_for(self.backend.ask(asked), self.params.timeout_s)
                failure, usage, text = None, reply.usage, reply.text
            except TimeoutError:
                failure, usage, text = Away(f"no answer in {self.params.timeout_s:g} s"), Usage(), ""
            except CallFailed as error:
                failure, usage, text = error, error.usage, ""
            except BaseException:
                self._release(price)
                raise
            value, problem = (None, "") if failure else _read(asked, text)
            status = failure.status if failure else INVALID if problem else ANSWERED
            self._settle(key, price, status, usage, str(failure or problem))
            if isinstance(failure, Away):
                tried_away += 1
                wait = self._patience(failure, tried_away)
                if tried_away >= self.params.attempts or wait > LONGEST_WAIT_S:
                    return Outcome(FAILED, detail=str(failure))
                if failure.retry_after is not None:
                    self._resume_at = max(self._resume_at, _now() + wait)
                await asyncio.sleep(wait)
                continue
            if (problem or isinstance(failure, CutShort)) and tried_invalid < self.params.invalid_retries:
                tried_invalid += 1
                asked = question.again(problem, asked.max_tokens * (1 if problem else 2))
                continue
            return self._end(key, question, failure, Outcome(status, value, text, str(failure or problem)))

    def _end(self, key: str, question: Question, failure: CallFailed | None, outcome: Outcome) -> Outcome:
        """Keeps a final outcome; notices a service that turns everything away."""
        if isinstance(failure, NoEntry):
            self._refused_entry = failure
        elif isinstance(failure, Rejected):
            self._rejected += 1
            if self._rejected >= REJECTIONS and not self._answered:
                self._refused_entry = NoEntry(f"the first {self._rejected} requests were rejected: {failure}")
        elif failure is None:
            self._answered += 1
        kept = Kept(outcome.status, outcome.text, outcome.detail)
        self.answers.keep(key, question.content, self.backend.name, question.version, kept)
        return outcome

    async def _turn(self) -> None:
        """Waits for the rate limit's next slot and for the end of a pause that the service asked for."""
        while True:
            begin = max(self._resume_at, self._next_slot)
            wait = begin - _now()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        if self.params.requests_per_minute:
            self._next_slot = max(_now(), self._next_slot) + 60 / self.params.requests_per_minute

    def _patience(self, failure: Away, tried: int) -> float:
        """Seconds before the next try: what the service asks for, else doubling with jitter."""
        if failure.retry_after is not None:
            return failure.retry_after
        longest = min(self.params.longest_backoff_s, self.params.backoff_s * 2 ** (tried - 1))
        return longest * self._jitter.uniform(0.5, 1.0)

    def _expected(self, question: Question) -> Usage:
        """The most that a call is expected to use: a character a token at worst is three too many."""
        asked = len(question.prompt) // 3 + PICTURE_TOKENS * len(question.pictures) + 300
        return Usage(asked, question.max_tokens)

    def _price(self, usage: Usage) -> float:
        params = self.params
        return (usage.prompt * params.prompt_price + usage.output * params.output_price) / 1e6

    def _reserve(self, price: float) -> bool:
        """Sets a call and its price aside; False when the budget would not hold it."""
        calls, money = self._under_way
        params, spent = self.params, self._spent
        over_calls = params.max_calls is not None and spent.calls + calls + 1 > params.max_calls
        over_money = params.max_cost is not None and spent.cost + money + price > params.max_cost
        if over_calls or over_money:
            self.budget_spent = True
            return False
        self._under_way = (calls + 1, money + price)
        return True

    def _release(self, price: float) -> None:
        calls, money = self._under_way
        self._under_way = (calls - 1, max(0.0, money - price))

    def _settle(self, key: str, price: float, status: str, usage: Usage, detail: str) -> None:
        self._release(price)
        cost = self._price(usage)
        self.answers.record(self.job, self.backend.name, key, status, usage, cost, detail[:500])
        self._spent = type(self._spent)(
            self._spent.calls + 1,
            self._spent.prompt_tokens + usage.prompt,
            self._spent.output_tokens + usage.output,
            self._spent.cost + cost,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(question: Question, text: str) -> tuple[Any, str]:
    """The validated answer, or what is wrong with it."""
    if question.schema is None:
        return (text, "") if text.strip() else (None, "it is empty.")
    try:
        value = question.schema.model_validate_json(unfenced(text))
        problem = question.check(value) if question.check else ""
        return (None, problem) if problem else (value, "")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the answer"
        return None, f"{place}: {first['msg']}."


def unfenced(text: str) -> str:
    """The JSON object in a text: models like to put it into a Markdown fence or after a sentence."""
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else text


def _reread(question: Question, kept: Kept) -> Outcome | None:
    """The outcome of a kept answer; None if it no longer fits the schema."""
    if kept.status != ANSWERED:
        return Outcome(kept.status, None, kept.text, kept.detail, cached=True)
    value, problem = _read(question, kept.text)
    return None if problem else Outcome(ANSWERED, value, kept.text, "", cached=True)


class _Loop:
    """An event loop in a thread of its own: connections outlive a batch, whoever asks."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="questions")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` and waits; an interruption of the waiting thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
