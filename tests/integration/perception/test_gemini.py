"""The Gemini client and its caller against a real HTTP server, in every way a service can behave."""

from __future__ import annotations

import email.utils
import logging
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from components.core.errors import InputError, TemporaryFailure
from components.perception.params import ServiceParams
from components.perception.remote.answers import Answers
from components.perception.remote.caller import Caller
from components.perception.remote.gemini import Gemini, retry_after
from components.perception.remote.questions import BudgetSpent, Outcome, Question
from tests.integration.perception.gemini_server import KEY, GeminiServer, answer, blocked


class Score(BaseModel):
    score: float = Field(ge=0, le=1)


GOOD = {"text": '{"score": 0.75}'}


def question(number: int = 0, **more: Any) -> Question:
    picture = np.full((8, 8, 3), number, np.uint8)
    return Question("How well does it fit?", "v1", (picture,), Score, **more)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield


def caller(address: str, folder: Path, **params: Any) -> Caller:
    settings = ServiceParams(**({"endpoint": address, "backoff_s": 0.01, "timeout_s": 5.0} | params))
    return Caller(Gemini(settings), Answers(folder / "answers.db"), settings, job="test")


def asked(server: GeminiServer, folder: Path, count: int = 1, **params: Any) -> tuple[list[Outcome], Caller]:
    one = caller(server.address, folder, **params)
    try:
        return one.ask([question(number) for number in range(count)]), one
    finally:
        one.close()


def rows(folder: Path) -> list[tuple[str, int, int]]:
    """(status, prompt tokens, output tokens) of every call."""
    file = sqlite3.connect(folder / "answers.db")
    found = file.execute("SELECT status, prompt_tokens, output_tokens FROM calls ORDER BY id").fetchall()
    file.close()
    return found


def test_success_is_structured_counted_and_never_paid_twice(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD) as server:
        outcomes, _ = asked(server, tmp_path, 3)
        assert [(one.status, one.value.score, one.cached) for one in outcomes] == [
            ("answered", 0.75, False)
        ] * 3
        again, _ = asked(server, tmp_path, 3)
        assert [(one.status, one.value.score, one.cached) for one in again] == [("answered", 0.75, True)] * 3
        assert len(server.requests) == 3
        seen = server.requests[0]
    assert seen.path.endswith("/models/gemini-2.5-pro:generateContent")
    assert seen.pictures == [(8, 8)] and "How well" in seen.prompt
    config = {name.lower().replace("_", ""): value for name, value in seen.config.items()}
    assert config["responsemimetype"] == "application/json" and config["temperature"] == 0
    assert "score" in str(config["responseschema"])
    assert rows(tmp_path) == [("answered", 100, 20)] * 3
    account = Answers(tmp_path / "answers.db").spent("test")
    assert account.cost == pytest.approx(3 * (100 * 1.25 + 20 * 10.0) / 1e6)


def test_equal_questions_are_asked_once(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD) as server:
        one = caller(server.address, tmp_path)
        outcomes = one.ask([question(1), question(2), question(1)])
        one.close()
        assert len(server.requests) == 2
    assert outcomes[0] == outcomes[2]


def test_another_prompt_version_or_model_is_another_question(tmp_path: Path) -> None:
    from dataclasses import replace

    keys = {question().key("a"), question().key("b"), replace(question(), version="v2").key("a")}
    assert len(keys) == 3
    assert question(1).key("a") != question(2).key("a")


@pytest.mark.parametrize(
    "bad",
    ["{not json", '{"score": 7}', '{"other": 1}', '["score"]', '{"score": "high"}', ""],
    ids=["malformed", "out of range", "wrong key", "no object", "wrong type", "empty"],
)
def test_unusable_answers_are_asked_again_with_the_reason(tmp_path: Path, bad: str) -> None:
    script = [{"text": bad}, GOOD]
    with GeminiServer(lambda number, seen: script[number]) as server:
        (outcome,), _ = asked(server, tmp_path)
        assert outcome.status == "answered" and outcome.value.score == 0.75
        assert "could not be used" in server.requests[1].prompt
        assert "could not be used" not in server.requests[0].prompt
    assert [row[0] for row in rows(tmp_path)] == ["invalid", "answered"]


def test_a_fenced_answer_is_an_answer(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: {"text": 'Here:\n```json\n{"score": 0.5}\n```'}) as server:
        (outcome,), _ = asked(server, tmp_path)
    assert outcome.value.score == 0.5


def test_an_answer_that_never_fits_is_quarantined_and_not_asked_again(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: {"text": '{"wrong": "schema"}'}) as server:
        (outcome,), one = asked(server, tmp_path, invalid_retries=2)
        assert outcome.status == "invalid" and outcome.text == '{"wrong": "schema"}'
        assert "score" in outcome.detail
        (again,), _ = asked(server, tmp_path)
        assert again.status == "invalid" and again.cached
        assert len(server.requests) == 3
        assert one.answers.path.exists()
        assert Answers(tmp_path / "answers.db").forget_quarantined() == 1
        asked(server, tmp_path, invalid_retries=0)
        assert len(server.requests) == 4
    assert [row[0] for row in rows(tmp_path)] == ["invalid"] * 4


@pytest.mark.parametrize(
    "how",
    [{"body": blocked()}, {"text": "", "finish": "SAFETY"}, {"text": "half", "finish": "PROHIBITED_CONTENT"}],
)
def test_a_refusal_is_final_and_paid(tmp_path: Path, how: dict[str, Any]) -> None:
    with GeminiServer(lambda number, seen: how if number == 0 else GOOD) as server:
        outcomes, one = asked(server, tmp_path, 2, concurrency=1)
        assert [outcome.status for outcome in outcomes] == ["refused", "answered"]
        again, _ = asked(server, tmp_path, 2)
        assert [outcome.cached for outcome in again] == [True, True]
        assert len(server.requests) == 2
    assert rows(tmp_path)[0][:2] == ("refused", 100)


def test_empty_text_with_max_tokens_gets_more_room_then_gives_up(tmp_path: Path) -> None:
    script = [{"text": "", "finish": "MAX_TOKENS"}, GOOD]
    with GeminiServer(lambda number, seen: script[number]) as server:
        (outcome,), _ = asked(server, tmp_path)
        assert outcome.status == "answered"
        room = [
            next(v for k, v in seen.config.items() if k.lower().replace("_", "") == "maxoutputtokens")
            for seen in server.requests
        ]
        assert room[1] == 2 * room[0]
        assert server.requests[0].prompt == server.requests[1].prompt
    with GeminiServer(lambda number, seen: {"text": "", "finish": "MAX_TOKENS"}) as server:
        (outcome,), _ = asked(server, tmp_path / "other", invalid_retries=1)
        assert outcome.status == "cut" and "MAX_TOKENS" in outcome.detail
        assert len(server.requests) == 2
    assert rows(tmp_path / "other") == [("cut", 100, 20)] * 2


def test_400_is_the_samples_fault_alone(tmp_path: Path) -> None:
    bad = {"kind": "error", "code": 400, "status": "INVALID_ARGUMENT", "message": "Unable to process image"}
    with GeminiServer(lambda number, seen: bad if number == 1 else GOOD) as server:
        outcomes, one = asked(server, tmp_path, 3, concurrency=1)
        assert [outcome.status for outcome in outcomes] == ["answered", "rejected", "answered"]
        assert "400" in outcomes[1].detail and "Unable to process image" in outcomes[1].detail
        assert len(server.requests) == 3
        assert one.outcomes == {"answered": 2, "rejected": 1}


def test_400_for_everything_ends_the_batch(tmp_path: Path) -> None:
    bad = {"kind": "error", "code": 400, "status": "INVALID_ARGUMENT", "message": "unknown field"}
    with GeminiServer(lambda number, seen: bad) as server:
        with pytest.raises(InputError, match="unknown field"):
            asked(server, tmp_path, 40, concurrency=2)
        assert 10 <= len(server.requests) <= 12


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refused_caller_ends_the_batch_at_once(tmp_path: Path, code: int) -> None:
    bad = {"kind": "error", "code": code, "status": "UNAUTHENTICATED", "message": "who are you"}
    with GeminiServer(lambda number, seen: GOOD if number == 0 else bad) as server:
        one = caller(server.address, tmp_path, concurrency=1)
        with pytest.raises(InputError, match=f"HTTP {code}.*who are you"):
            one.ask([question(number) for number in range(9)])
        one.close()
        assert len(server.requests) == 2
        assert one.outcomes == {"answered": 1, "unasked": 8}  # every sample accounted for
    with GeminiServer(lambda number, seen: GOOD) as server:  # what was answered is not asked again
        outcomes, _ = asked(server, tmp_path, 9)
        assert len(server.requests) == 8
        assert {outcome.status for outcome in outcomes} == {"answered"}


def test_a_wrong_key_is_told_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-a-wrong-one-42")
    with GeminiServer(lambda number, seen: GOOD) as server:
        with pytest.raises(InputError, match="not valid") as error:
            asked(server, tmp_path, 2)
        assert "wrong-one" not in str(error.value) and "[key]" in str(error.value)


def test_no_key_is_told_by_the_variables_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(InputError, match="GEMINI_API_KEY"):
        caller("http://127.0.0.1:9", tmp_path)


def test_429_with_retry_after_waits_that_long_for_everybody(tmp_path: Path) -> None:
    busy = {"kind": "error", "code": 429, "status": "RESOURCE_EXHAUSTED", "headers": {"Retry-After": "0.6"}}
    times: list[float] = []

    def script(number: int, seen: object) -> dict[str, Any]:
        times.append(time.monotonic())
        return busy if number == 0 else GOOD

    with GeminiServer(script) as server:
        outcomes, _ = asked(server, tmp_path, 2, concurrency=1)
    assert [outcome.status for outcome in outcomes] == ["answered", "answered"]
    assert times[1] - times[0] >= 0.55
    assert [row[0] for row in rows(tmp_path)] == ["failed", "answered", "answered"]


def test_429_without_retry_after_backs_off(tmp_path: Path) -> None:
    busy = {"kind": "error", "code": 429, "status": "RESOURCE_EXHAUSTED"}
    times: list[float] = []

    def script(number: int, seen: object) -> dict[str, Any]:
        times.append(time.monotonic())
        return busy if number < 3 else GOOD

    with GeminiServer(script) as server:
        (outcome,), _ = asked(server, tmp_path, backoff_s=0.1)
    assert outcome.status == "answered"
    waits = [late - early for early, late in zip(times, times[1:], strict=False)]
    assert all(wait >= 0.5 * 0.1 * 2**n for n, wait in enumerate(waits)), waits


def test_a_wait_of_hours_is_not_waited_for(tmp_path: Path) -> None:
    busy = {"kind": "error", "code": 429, "status": "RESOURCE_EXHAUSTED", "headers": {"Retry-After": "7200"}}
    with GeminiServer(lambda number, seen: busy) as server:
        begin = time.monotonic()
        (outcome,), _ = asked(server, tmp_path)
        assert outcome.status == "failed" and "429" in outcome.detail
        assert time.monotonic() - begin < 5 and len(server.requests) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "error", "code": 500, "status": "INTERNAL"},
        {"kind": "error", "code": 503, "status": "UNAVAILABLE"},
        {"kind": "reset"},
        {"kind": "raw", "body": "<html>gateway</html>"},
        {"body": {}},
    ],
    ids=["500", "503", "reset half-way", "no JSON body", "no candidate"],
)
def test_what_passes_is_retried(tmp_path: Path, how: dict[str, Any]) -> None:
    with GeminiServer(lambda number, seen: how if number < 2 else GOOD) as server:
        (outcome,), _ = asked(server, tmp_path)
        assert outcome.status == "answered" and len(server.requests) == 3
    with GeminiServer(lambda number, seen: how) as server:
        (outcome,), _ = asked(server, tmp_path / "other", attempts=3)
        assert outcome.status == "failed" and len(server.requests) == 3
    with GeminiServer(lambda number, seen: GOOD) as server:  # not final: asked again later
        (outcome,), _ = asked(server, tmp_path / "other")
        assert outcome.status == "answered"


def test_a_stall_is_given_up_and_retried(tmp_path: Path) -> None:
    script = lambda number, seen: {"kind": "stall"} if number == 0 else GOOD  # noqa: E731
    with GeminiServer(script) as server:
        begin = time.monotonic()
        (outcome,), _ = asked(server, tmp_path, timeout_s=0.4)
        assert outcome.status == "answered" and 0.4 <= time.monotonic() - begin < 5
    assert [row[0] for row in rows(tmp_path)] == ["failed", "answered"]


@pytest.mark.slow
def test_a_stall_of_thirty_seconds_with_the_default_patience(tmp_path: Path) -> None:
    """Given up after the default 30 s and retried; the other question does not wait for it."""
    script = lambda number, seen: {"kind": "stall", "seconds": 60} if number == 0 else GOOD  # noqa: E731
    with GeminiServer(script) as server:
        begin = time.monotonic()
        outcomes, _ = asked(server, tmp_path, 2, timeout_s=ServiceParams().timeout_s)
        assert [one.status for one in outcomes] == ["answered"] * 2
        assert time.monotonic() - begin >= ServiceParams().timeout_s == 30
    assert [row[0] for row in rows(tmp_path)] == ["answered", "failed", "answered"]


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    one = caller(address, tmp_path, attempts=2)
    begin = time.monotonic()
    (outcome,) = one.ask([question()])
    assert outcome.status == "failed" and "ConnectError" in outcome.detail
    with pytest.raises(TemporaryFailure, match="no answer"):
        one.ask_all([question()])
    assert time.monotonic() - begin < 5
    one.close()


def test_a_budget_in_calls_stops_and_goes_on(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD) as server:
        one = caller(server.address, tmp_path, max_calls=4)
        with pytest.raises(BudgetSpent, match=r"4 calls.*6 of 10 questions are unasked"):
            one.ask_all([question(number) for number in range(10)])
        one.close()
        assert len(server.requests) == 4
        outcomes, more = asked(server, tmp_path, 10, max_calls=10)
        assert {outcome.status for outcome in outcomes} == {"answered"}
        assert sum(outcome.cached for outcome in outcomes) == 4 and len(server.requests) == 10


def test_a_budget_in_money_is_never_exceeded(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD | {"delay": 0.01}) as server:
        one = caller(server.address, tmp_path, max_cost=0.05, concurrency=8)
        outcomes = one.ask([question(number) for number in range(200)])
        one.close()
        spent = Answers(tmp_path / "answers.db").spent("test")
    assert one.budget_spent and 0 < spent.cost <= 0.05
    assert spent.calls == len(server.requests)
    assert {outcome.status for outcome in outcomes} == {"answered", "unasked"}
    assert sum(outcome.status == "answered" for outcome in outcomes) == spent.calls


def test_the_rate_limit_spaces_calls(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD) as server:
        begin = time.monotonic()
        asked(server, tmp_path, 6, requests_per_minute=600)
        assert time.monotonic() - begin >= 0.5


def test_calls_run_at_once_but_not_more_than_allowed(tmp_path: Path) -> None:
    with GeminiServer(lambda number, seen: GOOD | {"delay": 0.2}) as server:
        begin = time.monotonic()
        asked(server, tmp_path, 16, concurrency=8)
        assert 2 <= server.most_under_way <= 8
        assert time.monotonic() - begin < 0.5 * 16 * 0.2


def test_no_key_in_any_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"kind": "error", "code": 500, "status": "INTERNAL", "message": f"bad key {KEY} in request"}
    script = [GOOD, echo, {"kind": "reset"}, {"text": "{"}, {"kind": "error", "code": 429}, echo]
    with GeminiServer(lambda number, seen: script[number % len(script)]) as server:
        outcomes, one = asked(server, tmp_path, 12, attempts=2)
    out, err = capfd.readouterr()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    everything = caplog.text + out + err + repr(outcomes) + repr(one.__dict__) + str(one.params)
    assert KEY not in everything and KEY.encode() not in files
    assert len(outcomes) == 12


def test_a_mixed_storm_accounts_for_every_sample(tmp_path: Path) -> None:
    def script(number: int, seen: object) -> dict[str, Any]:
        kinds: list[dict[str, Any]] = [
            GOOD, {"text": "{"}, {"body": blocked()}, {"kind": "error", "code": 429}, {"kind": "reset"},
            {"kind": "error", "code": 400, "message": "bad picture"}, {"text": "", "finish": "MAX_TOKENS"},
            {"kind": "error", "code": 503},
        ]  # fmt: skip
        return kinds[number * 5 % len(kinds)] if number % 3 else GOOD

    with GeminiServer(script) as server:
        outcomes, one = asked(server, tmp_path, 60, attempts=2)
        calls = len(server.requests)
    assert sum(one.outcomes.values()) == len(outcomes) == 60
    assert all((outcome.value is not None) == (outcome.status == "answered") for outcome in outcomes)
    # A reset can end another call's connection before the server has read it: such a call counts as made.
    assert Answers(tmp_path / "answers.db").spent("test").calls >= calls


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "13"}, {}) == 13
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after({"Retry-After": date}, {}) == pytest.approx(30, abs=2)
    info = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"}]}}
    assert retry_after({}, info) == 9
    assert retry_after({}, {"error": {}}) is None
    assert retry_after({"retry-after": "soon"}, None) is None
    assert answer("")["candidates"][0]["finishReason"] == "STOP"
