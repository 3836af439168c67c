"""Notifications against a real HTTP server and a real SMTP conversation: each event arrives, once."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import GateRefused, InputError
from components.core.files import read_jsonl
from components.core.paths import Workspace
from components.tracking.ledger import Ledger
from flows.chain import Interrupted
from flows.channels import SIGNATURE
from flows.notifications import Notifier
from flows.operations import Channel
from tests.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver().start()
    yield server
    server.stop()


def outbox(workspace: Workspace) -> list[Path]:
    return list((workspace.root / "state" / "operations" / "outbox").glob("*.json"))


def test_a_webhook_gets_the_event_signed(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    monkeypatch.setenv("KEY", "quiet")
    channel = Channel(kind="webhook", url_env="HOOK", secret_env="KEY", events=("failure",))
    notifier = Notifier(Workspace(tmp_path), (channel,), "by hand")
    notifier.tell("promotion", "not wanted by this channel")
    event = notifier.tell("failure", "curate: disk is full", "two lines\nof it", status=1)
    ((headers, body),) = receiver.got
    assert json.loads(body) == event and event["kind"] == "failure" and event["status"] == 1
    assert headers["Content-Type"] == "application/json" and headers["X-Syncdreamer-Event"] == "failure"
    expected = hmac.new(b"quiet", body, hashlib.sha256).hexdigest()
    assert {name.lower(): value for name, value in headers.items()}[SIGNATURE.lower()] == f"sha256={expected}"
    assert not outbox(notifier.workspace)
    log = read_jsonl(tmp_path / "state" / "operations" / "events.jsonl")
    assert [row["kind"] for row in log] == ["promotion", "failure"]


def test_what_was_not_taken_is_delivered_later_and_once(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_HOOK", "http://127.0.0.1:9/token-in-the-path")
    workspace = Workspace(tmp_path)
    good = Channel(name="team", kind="webhook", url=receiver.url)
    away = Channel(name="away", kind="webhook", url_env="SECRET_HOOK")
    receiver.status = 503
    notifier = Notifier(workspace, (good, away))
    notifier.tell("failure", "first")
    assert notifier.deliver() == 2 and len(outbox(workspace)) == 1
    told = capsys.readouterr().err
    assert "to team: not delivered yet: HTTP status 503" in told and "ConnectionRefusedError" in told
    assert "token-in-the-path" not in told

    receiver.status = 200
    later = Notifier(workspace, (good, away))  # another process
    assert later.deliver() == 1 and later.deliver() == 1
    assert [json.loads(body)["subject"] for _, body in receiver.got] == ["first"]
    assert Notifier(workspace, (good,)).deliver() == 0 and not outbox(workspace)  # the channel was taken out


def test_no_redirect_is_followed(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 302
    notifier = Notifier(Workspace(tmp_path), (Channel(kind="webhook", url=receiver.url),))
    notifier.tell("failure", "x")
    assert not receiver.got and len(outbox(notifier.workspace)) == 1


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client without encryption speaks."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().decode().strip():
            if line.upper().startswith("DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(text)
                self.server.letters.append("".join(lines))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")


def test_an_email_arrives_with_subject_and_text(tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail) as server:
        server.letters = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        channel = Channel(
            kind="email",
            host="127.0.0.1",
            port=server.server_address[1],
            starttls=False,
            sender="platform@example.org",
            to=("a@example.org", "b@example.org"),
        )
        notifier = Notifier(Workspace(tmp_path), (channel,))
        notifier.tell(
            "gate", "gate_clips: gate clips refused\r\nBcc: all@example.org", "blur: 40%", gate="clips"
        )
        server.shutdown()
    (letter,) = server.letters  # type: ignore[attr-defined]
    read = message_from_string(letter, policy=policy.default)
    assert "gate_clips: gate clips refused" in read["Subject"] and read["Bcc"] is None
    assert read["To"] == "a@example.org, b@example.org"
    assert "blur: 40%" in read.get_content() and "gate: clips" in read.get_content()
    assert not outbox(notifier.workspace)


def test_a_run_tells_its_failure_or_gate_and_nothing_when_a_person_stops_it(tmp_path: Path) -> None:
    notifier = Notifier(Workspace(tmp_path), (), "deployment nightly")
    for error in (GateRefused("gate_clips: refused\n  blur: 40%"), InputError("no"), Interrupted("stop")):
        with pytest.raises(type(error)), notifier.watching():
            raise error
    rows = read_jsonl(tmp_path / "state" / "operations" / "events.jsonl")
    assert [(row["kind"], row["subject"], row["source"]) for row in rows] == [
        ("gate", "gate_clips: refused", "deployment nightly"),
        ("failure", "no", "deployment nightly"),
    ]
    assert rows[0]["gate"] == "gate_clips" and "blur: 40%" in rows[0]["message"] and rows[1]["status"] == 2


def test_the_ledger_is_told_once_whoever_moved_the_aliases(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    ledger = Ledger(workspace.state("promotions"))

    def enter(action: str) -> None:
        with ledger.locked():
            versions = {"syncdreamer-avatar": "3", "syncdreamer-enhancer": "3"}
            ledger.append(action=action, actor="ann", reason="better", candidate={"versions": versions})

    notifier = Notifier(workspace)
    enter("promoted")
    enter("refused")
    assert notifier.announce_ledger() == 1 and notifier.announce_ledger() == 0
    enter("rolled back")
    enter("waiting")
    assert Notifier(workspace).announce_ledger() == 2
    rows = read_jsonl(tmp_path / "state" / "operations" / "events.jsonl")
    assert [(row["kind"], row["actor"]) for row in rows] == [
        ("promotion", "ann"),
        ("rollback", "ann"),
        ("waiting", "ann"),
    ]
    assert rows[0]["subject"] == "promoted: syncdreamer-avatar 3, syncdreamer-enhancer 3"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "webhook"},
        {"kind": "webhook", "url": "file:///etc/passwd"},
        {"kind": "webhook", "url": "http://x", "url_env": "X"},
        {"kind": "block", "block": "slack"},
        {"kind": "email", "host": "h"},
        {"kind": "webhook", "url": "http://x", "events": ["failures"]},
    ],
)
def test_a_channel_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Channel.model_validate(wrong)
