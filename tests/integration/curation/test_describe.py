"""Annotations by a large model in the place of the small ones: kept, quarantined, paid once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.media import write_image
from components.core.paths import Workspace
from components.curation.describe import redescribe
from components.curation.params import AnnotateParams
from components.perception.remote.answers import Answers
from components.perception.remote.questions import BudgetSpent
from tests.integration.perception.gemini_server import KEY, GeminiServer
from tests.unit.perception.test_remote_wordings import GOOD

CLIPS = ("a1", "b2", "c3")
CAPTION = "A person in a red jacket."


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for shade, clip in enumerate(CLIPS):
        write_image(tmp_path / "frames" / f"{clip}.png", np.full((16, 16, 3), 60 * shade, np.uint8))
    return Workspace(tmp_path)


def rows() -> list[dict[str, Any]]:
    small = {"caption": "small", "caption_tokens": 1, "text": "small", "attribute_model": "small"}
    acts = json.dumps([{"action": "nod"}, {"action": "wave"}, {"action": "smile"}])
    return [{"clip_id": clip, "attributes": "{}", "actions": acts, **small} for clip in CLIPS]


def params(server: GeminiServer, attributes: str = "gemini", captions: str = "gemini", **how: Any) -> Any:
    service = {"endpoint": server.address, "backoff_s": 0.01, "invalid_retries": 0, "concurrency": 1, **how}
    return AnnotateParams(
        attributes_by=attributes, captions_by=captions, max_actions=2, describer={"service": service}
    )


def redescribed(
    workspace: Workspace, told: AnnotateParams
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return redescribe(
        rows(),
        workspace.root / "frames",
        told,
        workspace,
        lambda text: len(text.split()),
        lambda caption, actions: f"{caption} Then: {', '.join(actions)}.",
    )


def script(number: int, seen: Any) -> dict[str, Any]:
    is_caption = "caption" in json.dumps(seen.config)
    return {"text": json.dumps({"caption": CAPTION} if is_caption else GOOD)}


def test_both_answers_take_the_small_ones_places(workspace: Workspace) -> None:
    with GeminiServer(script) as server:
        kept, quarantined = redescribed(workspace, params(server))
        assert not quarantined and [row["clip_id"] for row in kept] == list(CLIPS)
        for row in kept:
            assert json.loads(row["attributes"])["attire"] == GOOD["attire"]
            assert (row["caption"], row["caption_tokens"]) == (CAPTION, 6)
            assert row["text"] == f"{CAPTION} Then: nod, wave."
            assert row["attribute_model"].startswith("gemini")
        paid = len(server.requests)
        assert paid == 6
        assert redescribed(workspace, params(server)) == (kept, [])
        assert len(server.requests) == paid, "an answer is paid for once"
    spent = Answers(workspace.state("annotate", "gemini") / "answers.db")
    assert spent.spent("annotate attributes").calls == spent.spent("annotate caption").calls == 3
    spent.close()


@pytest.mark.parametrize("asked", ["attributes", "captions"])
def test_only_what_is_asked_of_the_large_model_changes(workspace: Workspace, asked: str) -> None:
    small = {"attributes": {"captions": "small"}, "captions": {"attributes": "small"}}[asked]
    with GeminiServer(script) as server:
        kept, _ = redescribed(workspace, params(server, **small))
        assert len(server.requests) == 3
    assert all((row["caption"] == "small") == (asked == "attributes") for row in kept)
    assert all((row["attributes"] == "{}") == (asked == "captions") for row in kept)


def test_a_frame_without_a_usable_answer_is_quarantined_whole(workspace: Workspace) -> None:
    def some(number: int, seen: Any) -> dict[str, Any]:
        answer = script(number, seen)
        first = number % 3 == 0
        if first and "caption" in answer["text"]:
            return {"text": json.dumps({"caption": "word " * 90})}
        if number == 1:
            return {"text": json.dumps(GOOD | {"hair": "rainbow"})}
        return answer

    with GeminiServer(some) as server:
        kept, quarantined = redescribed(workspace, params(server))
    assert [row["clip_id"] for row in kept] == ["c3"], "one lost its caption, one its attributes"
    told = {(row["clip_id"], row["asked"]): row for row in quarantined}
    assert set(told) == {("a1", "caption"), ("b2", "attributes")}
    assert "90 tokens" in told["a1", "caption"]["detail"]
    assert "rainbow" in told["b2", "attributes"]["answer"]
    assert all(row["status"] == "invalid" and row["by"].startswith("gemini") for row in quarantined)


def test_a_spent_budget_stops_and_goes_on(workspace: Workspace) -> None:
    with GeminiServer(script) as server:
        with pytest.raises(BudgetSpent, match="annotate attributes"):
            redescribed(workspace, params(server, max_calls=2))
        assert len(server.requests) == 2
        kept, _ = redescribed(workspace, params(server))
        assert len(kept) == 3 and len(server.requests) == 6
