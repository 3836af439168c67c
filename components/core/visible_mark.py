"""A visible mark on generated frames: the letters AI in the lower right corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXT = "AI"
SHARE = 0.14
"""Height of the mark in frame heights (at least 9 px, or nobody could read it)."""


def mark_frames(frames: NDArray[np.uint8], text: str = TEXT) -> NDArray[np.uint8]:
    """frames (T,H,W,3) uint8 → the same with a mark: white letters on a dark, half transparent plate."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    height, width = frames.shape[1:3]
    size = max(9, round(SHARE * height))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    pad = max(1, size // 6)
    plate = (min(width, round(right - left) + 2 * pad), min(height, round(bottom - top) + 2 * pad))
    picture = Image.new("RGBA", plate, (0, 0, 0, 150))
    ImageDraw.Draw(picture).text((pad - left, pad - top), text, font=font, fill=(255, 255, 255, 255))
    values = np.asarray(picture, np.float32)
    alpha, colour = values[..., 3:] / 255, values[..., :3]
    marked = frames.copy()
    corner = marked[:, -plate[1] :, -plate[0] :].astype(np.float32)
    marked[:, -plate[1] :, -plate[0] :] = np.round(corner * (1 - alpha) + colour * alpha).astype(np.uint8)
    return marked
