"""Small pictures of clips, also of those that show nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THUMBNAIL = 128


def thumbnail(frame: NDArray[np.uint8]) -> bytes:
    """A JPEG of a frame, its longer side 128 pixels."""
    from PIL import Image

    picture = Image.fromarray(frame)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def blank_thumbnail() -> bytes:
    """The JPEG of a clip that shows nothing: grey with a cross."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (96, 96, 96))
    pen = ImageDraw.Draw(picture)
    for corners in ((32, 32, 96, 96), (96, 32, 32, 96)):
        pen.line(corners, fill=(160, 160, 160), width=4)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
