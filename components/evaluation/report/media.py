"""Files as data URIs, so that the page needs nothing beside itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".svg": "image/svg+xml"}


def data_uri(path: Path) -> str | None:
    """The file as a data URI, None where it is missing."""
    if not path.is_file():
        return None
    return encode(path.read_bytes(), KINDS[path.suffix.lower()])


def encode(data: bytes, kind: str) -> str:
    """`data` as a data URI of the MIME type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(path: Path, side: int, quality: int = 78) -> str | None:
    """A picture shrunk to `side` px and re-encoded as JPEG, None where it is missing or unreadable."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return encode(buffer.getvalue(), "image/jpeg")
