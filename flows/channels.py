"""Ways out for notifications: a webhook, e-mail, a notification block saved in Prefect (Slack, Teams …)."""

from __future__ import annotations

import hashlib
import hmac
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any

from components.core.files import to_json
from flows.operations import Channel

PATIENCE_S = 10.0
SIGNATURE = "X-SyncDreamer-Signature"


class Undelivered(Exception):
    """The receiver was away or said no; it is tried again later."""


def send(channel: Channel, event: dict[str, Any]) -> None:
    """Hands one event to a channel.

    Raises:
        Undelivered: it did not take it. The text holds no secret.
    """
    {"webhook": _webhook, "email": _email, "block": _block}[channel.kind](channel, event)


def _variable(name: str | None) -> str:
    if not name:
        return ""
    value = os.environ.get(name, "")
    if not value:
        raise Undelivered(f"the environment variable {name} is not set")
    return value


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """An event goes where params.yaml says, nowhere else."""


def _webhook(channel: Channel, event: dict[str, Any]) -> None:
    url = channel.url or _variable(channel.url_env)
    body = to_json(event, indent=None).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "syncdreamer",
        "X-SyncDreamer-Event": event["kind"],
    }
    if channel.secret_env:
        key = _variable(channel.secret_env).encode()
        headers[SIGNATURE] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    if not url.startswith(("http://", "https://")):
        raise Undelivered("its address does not begin with http:// or https://")
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=PATIENCE_S):
            pass
    except urllib.error.HTTPError as error:
        raise Undelivered(f"HTTP status {error.code}") from error
    except (OSError, ValueError) as error:
        raise Undelivered(type(getattr(error, "reason", error)).__name__) from error


def _email(channel: Channel, event: dict[str, Any]) -> None:
    from flows.notifications import as_text

    assert channel.host and channel.sender
    letter = EmailMessage()
    letter["Subject"] = " ".join(f"[{event['repository']}] {event['kind']}: {event['subject']}".split())[:200]
    letter["From"] = channel.sender
    letter["To"] = ", ".join(channel.to)
    letter["Message-ID"] = f"<{event['id']}@syncdreamer>"
    letter.set_content(as_text(event))
    password = _variable(channel.password_env)
    try:
        with smtplib.SMTP(channel.host, channel.port, timeout=PATIENCE_S) as server:
            if channel.starttls:
                server.starttls(context=ssl.create_default_context())
            if channel.user:
                server.login(channel.user, password)
            server.send_message(letter)
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(type(error).__name__) from error


def _block(channel: Channel, event: dict[str, Any]) -> None:
    """A block needs the Prefect server it is saved in: that of `syncdreamer serve`, or PREFECT_API_URL.

    In a thread of its own: where an event loop runs (`serve` itself), Prefect's calls return coroutines.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise Undelivered("no Prefect server is running here; `syncdreamer serve` delivers it")
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        thread.submit(_notify, channel, event).result()


def _notify(channel: Channel, event: dict[str, Any]) -> None:
    import httpx
    from prefect.blocks.abstract import NotificationBlock, NotificationError
    from prefect.blocks.core import Block
    from prefect.exceptions import PrefectException

    from flows.notifications import as_text

    assert channel.block
    try:
        block = Block.load(channel.block, validate=False)
        if not isinstance(block, NotificationBlock):
            raise Undelivered(f"block {channel.block} is a {type(block).__name__}, no notification block")
        with block.raise_on_failure():
            block.notify(as_text(event), subject=event["subject"])
    except (
        ValueError,
        OSError,
        httpx.HTTPError,
        httpx.InvalidURL,
        NotificationError,
        PrefectException,
    ) as error:
        raise Undelivered(f"{type(error).__name__} of block {channel.block}") from error
