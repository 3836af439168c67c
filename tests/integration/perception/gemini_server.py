"""A real HTTP server on this machine that speaks Gemini's protocol, well or badly as a test asks."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "AIza-test-key-1234567890"

Behaviour = dict[str, Any]
"""What the server does with a request: see `Handler.do_POST`."""


@dataclass
class Seen:
    """A request as it came."""

    path: str
    prompt: str
    pictures: list[tuple[int, int]]
    config: dict[str, Any]


@dataclass
class GeminiServer:
    """`script(number, request) -> behaviour`, numbers from 0; the server counts and keeps the requests."""

    script: Callable[[int, Seen], Behaviour]
    requests: list[Seen] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.stalled = threading.Event()
        owner = self

        class Bound(Handler):
            server_state = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> GeminiServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stalled.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def pick(mapping: dict[str, Any], name: str) -> Any:
    """A key in camel or snake case: the client mixes both."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return mapping.get(name, mapping.get(snake))


class Handler(BaseHTTPRequestHandler):
    server_state: GeminiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("x-goog-api-key") != KEY:
            told = f"API key not valid: {self.headers.get('x-goog-api-key')}"
            return self._error(400, "INVALID_ARGUMENT", told)
        seen = self._understood(body)
        with state.lock:
            number = len(state.requests)
            state.requests.append(seen)
            state.under_way += 1
            state.most_under_way = max(state.most_under_way, state.under_way)
        try:
            self._behave(state.script(number, seen))
        finally:
            with state.lock:
                state.under_way -= 1
        return None

    def _understood(self, body: dict[str, Any]) -> Seen:
        from PIL import Image

        texts, pictures = [], []
        for content in body["contents"]:
            for part in content["parts"]:
                if "text" in part:
                    texts.append(part["text"])
                inline = pick(part, "inlineData")
                if inline:
                    assert pick(inline, "mimeType") == "image/png"
                    raw = inline["data"].replace("-", "+").replace("_", "/")
                    pictures.append(Image.open(io.BytesIO(base64.b64decode(raw))).size)
        return Seen(self.path, "".join(texts), pictures, pick(body, "generationConfig") or {})

    def _behave(self, how: Behaviour) -> None:
        time.sleep(how.get("delay", 0.0))
        kind = how.get("kind", "text")
        if kind == "error":
            self._error(how["code"], how.get("status", "X"), how.get("message", ""), how.get("headers"), how)
        elif kind == "stall":
            self.server_state.stalled.wait(how.get("seconds", 30.0))
            self.close_connection = True
        elif kind == "reset":
            data = json.dumps(answer("half")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif kind == "raw":
            self._send(200, how["body"].encode())
        else:
            body = how["body"] if "body" in how else answer(how.get("text", ""), how.get("finish", "STOP"))
            self._send(200, json.dumps(body).encode())

    def _error(
        self,
        code: int,
        status: str,
        message: str,
        headers: dict[str, str] | None = None,
        how: Behaviour | None = None,
    ) -> None:
        error: dict[str, Any] = {"code": code, "status": status, "message": message}
        if how and "details" in how:
            error["details"] = how["details"]
        self._send(code, json.dumps({"error": error}).encode(), headers)

    def _send(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def answer(text: str, finish: str = "STOP", prompt: int = 100, output: int = 20) -> dict[str, Any]:
    """A reply of the service; no part where there is no text."""
    content = {"role": "model", "parts": [{"text": text}]} if text else {"role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output,
        },
        "modelVersion": "gemini-2.5-pro",
    }  # fmt: skip


def blocked(reason: str = "SAFETY") -> dict[str, Any]:
    """A refused prompt: no candidate."""
    return {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": {"promptTokenCount": 100, "totalTokenCount": 100},
    }
