"""Gemini through Google's own client (`google-genai`): one call a question, every failure by its kind.

The client retries nothing here (`attempts=1`): waiting, limits and budgets are the caller's. It is given an
httpx2 client of its own, because with aiohttp installed it would choose that and repeat refused connections
by itself after up to ten seconds.
"""

from __future__ import annotations

import email.utils
import io
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from components.core.errors import InputError
from components.perception.params import ServiceParams
from components.perception.remote.questions import (
    Away,
    CallFailed,
    CutShort,
    NoEntry,
    Question,
    Refused,
    Rejected,
    Reply,
    Usage,
)

MODEL = "gemini-2.5-pro"
HIDDEN = "[key]"
BUSY = (408, 409, 425, 429)
TURNED_AWAY = (401, 403, 404)
_KEY_TROUBLE = re.compile(r"api[ _-]?key", re.IGNORECASE)
_DECLINED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_OTHER",
)  # fmt: skip


class Gemini:
    """A Gemini model. The key is read from the environment variable that `params.key_variable` names."""

    def __init__(self, params: ServiceParams) -> None:
        import httpx2
        from google import genai
        from google.genai import types

        self._key = os.environ.get(params.key_variable, "").strip()
        if not self._key:
            raise InputError(
                f"the environment variable {params.key_variable} is not set: Gemini needs an API key"
            )
        self.name = params.model or MODEL
        self._thinking = params.thinking_budget
        # The caller's own time-out ends a silent call; the connection gets a little longer.
        self._http = httpx2.AsyncClient(timeout=params.timeout_s + 5)
        self._client = genai.Client(
            api_key=self._key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=params.endpoint,
                timeout=int((params.timeout_s + 5) * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=self._http,
            ),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(self, question: Question) -> Reply:
        """See `Backend.ask`."""
        import httpx2
        from google.genai import errors, types

        parts: list[Any] = [
            types.Part.from_bytes(data=png(picture), mime_type="image/png") for picture in question.pictures
        ]
        config: dict[str, Any] = {"temperature": 0.0, "max_output_tokens": question.max_tokens}
        if question.schema is not None:
            config |= {"response_mime_type": "application/json", "response_schema": question.schema}
        if self._thinking is not None:
            config["thinking_config"] = types.ThinkingConfig(thinking_budget=self._thinking)
        try:
            response = await self._client.aio.models.generate_content(
                model=self.name,
                contents=[*parts, question.prompt],
                config=types.GenerateContentConfig(**config),
            )
        except errors.APIError as error:
            raise self._failure(error) from None
        except httpx2.TransportError as error:
            raise Away(self._hide(f"{type(error).__name__}: {error}")) from None
        except (errors.UnknownApiResponseError, json.JSONDecodeError, ValidationError) as error:
            raise Away(self._hide(f"the reply is no Gemini reply: {str(error)[:200]}")) from None
        return self._reply(response)

    def _reply(self, response: Any) -> Reply:
        usage = usage_of(response.usage_metadata)
        if not response.candidates:
            feedback = response.prompt_feedback
            reason = getattr(feedback, "block_reason", None) if feedback else None
            if reason is None:
                raise Away("the reply has no candidate")
            raise Refused(f"blocked: {_word(reason)}", usage)
        candidate = response.candidates[0]
        reason = _word(candidate.finish_reason)
        parts = candidate.content.parts if candidate.content and candidate.content.parts else []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if reason == "MAX_TOKENS":
            raise CutShort("the answer did not fit: MAX_TOKENS", usage)
        if reason in _DECLINED:
            raise Refused(f"declined: {reason}", usage)
        return Reply(text, usage)

    def _failure(self, error: Any) -> CallFailed:
        """An error status of the service as one of the caller's kinds."""
        told = self._hide(f"HTTP {error.code} {error.status or ''}: {str(error.message or '')[:300]}")
        if error.code in BUSY or error.code >= 500:
            return Away(told, retry_after(getattr(error.response, "headers", None) or {}, error.details))
        if error.code in TURNED_AWAY or _KEY_TROUBLE.search(str(error.message or "")):
            return NoEntry(told)
        return Rejected(told)

    def _hide(self, text: str) -> str:
        """No key in any message, whatever a service echoes."""
        return text.replace(self._key, HIDDEN)


def retry_after(headers: Mapping[str, str], details: Any) -> float | None:
    """Seconds that the service asks to wait: the Retry-After header (seconds or a date), or the error's
    RetryInfo; None where it does not say."""
    told = headers.get("retry-after") or headers.get("Retry-After")
    if told:
        try:
            return max(0.0, float(told))
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
        except ValueError:
            pass
    error = details.get("error", details) if isinstance(details, dict) else {}
    for detail in error.get("details") or [] if isinstance(error, dict) else []:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("RetryInfo"):
            match = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay", "")))
            if match:
                return float(match.group(1))
    return None


def usage_of(metadata: Any) -> Usage:
    """Billed tokens of a reply; what the model thought counts as output."""
    if metadata is None:
        return Usage()
    output = (metadata.candidates_token_count or 0) + (metadata.thoughts_token_count or 0)
    return Usage(metadata.prompt_token_count or 0, output)


def _word(value: Any) -> str:
    return str(getattr(value, "value", value) or "")


def png(picture: Any) -> bytes:
    """A picture (H,W,3) uint8 as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
