"""Six kinds of places, each in many variants; still, so nothing behind a person ever flickers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from components.core.seeds import derive
from components.corpus.canvas import Canvas, mix, oval, shade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.corpus.canvas import Colour


BLUR = 0.01
"""Of the picture's side: out of focus behind a sharp person, and nothing in it looks like a face."""


def _box(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    canvas.poly(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), colour)


def _pick(rng: np.random.Generator, tones: tuple[Colour, ...]) -> Colour:
    base = tones[int(rng.integers(len(tones)))]
    return shade(base, float(rng.uniform(0.9, 1.08)))


def _office(canvas: Canvas, rng: np.random.Generator) -> None:
    wall = _pick(rng, ((206, 212, 216), (190, 204, 212), (222, 214, 200)))
    _box(canvas, 0, 0, 1, 1, wall)
    x = float(rng.uniform(0.02, 0.12)) if rng.random() < 0.5 else float(rng.uniform(0.55, 0.66))
    _box(canvas, x - 0.02, 0.06, x + 0.36, 0.6, shade(wall, 0.7))
    _box(canvas, x, 0.08, x + 0.34, 0.58, (208, 232, 246))
    for y in np.arange(0.1, 0.58, 0.06):
        _box(canvas, x, y, x + 0.34, y + 0.022, (240, 242, 242))
    other = 0.72 if x < 0.4 else 0.06
    _box(canvas, 0, 0.74, 1, 0.8, (150, 118, 86))
    _box(canvas, 0, 0.8, 1, 1, (124, 96, 70))
    if rng.random() < 0.6:
        _box(canvas, other, 0.48, other + 0.22, 0.7, (34, 36, 42))
        _box(canvas, other + 0.015, 0.5, other + 0.205, 0.68, (78, 120, 168))
        _box(canvas, other + 0.09, 0.7, other + 0.13, 0.75, (34, 36, 42))
    else:
        for angle in np.linspace(-1.1, 1.1, 6):
            tip = (other + 0.1 + 0.16 * np.sin(angle), 0.6 - 0.16 * np.cos(angle))
            canvas.line(np.array([(other + 0.1, 0.64), tip]), (62, 128, 70), 0.035)
        _box(canvas, other + 0.04, 0.62, other + 0.16, 0.75, (196, 106, 70))


def _bookshelf(canvas: Canvas, rng: np.random.Generator) -> None:
    wood = _pick(rng, ((96, 64, 42), (128, 86, 54), (70, 50, 42)))
    _box(canvas, 0, 0, 1, 1, shade(wood, 0.55))
    tones: tuple[Colour, ...] = (
        (158, 44, 46),
        (44, 84, 140),
        (52, 116, 78),
        (212, 168, 70),
        (120, 70, 130),
        (216, 206, 186),
        (40, 44, 56),
    )
    rows = int(rng.integers(3, 5))
    for row in range(rows):
        top, low = row / rows, (row + 1) / rows
        x = float(rng.uniform(0, 0.03))
        while x < 1:
            width = float(rng.uniform(0.035, 0.075))
            height = float(rng.uniform(0.6, 0.88)) / rows
            tone = _pick(rng, tones)
            _box(canvas, x, low - height, x + width * 0.92, low, tone)
            _box(
                canvas,
                x + width * 0.12,
                low - height * 0.8,
                x + width * 0.78,
                low - height * 0.7,
                shade(tone, 1.35),
            )
            x += width
        _box(canvas, 0, low - 0.02, 1, low + 0.02, wood)
        _box(canvas, 0, top + 0.02, 1, top + 0.035, shade(wood, 0.4))


def _park(canvas: Canvas, rng: np.random.Generator) -> None:
    for index in range(16):
        _box(
            canvas,
            0,
            index / 24,
            1,
            (index + 1) / 24 + 0.002,
            mix((118, 180, 236), (214, 234, 248), index / 16),
        )
    if rng.random() < 0.6:
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.2)
        for dx, r in ((-0.07, 0.035), (0, 0.05), (0.07, 0.035)):
            canvas.dot((x + dx, y), r, (248, 250, 252))
    green = _pick(rng, ((72, 140, 64), (96, 150, 60), (60, 124, 76)))
    for x in np.linspace(-0.05, 1.05, 7):
        canvas.dot((x, 0.62 + rng.uniform(-0.04, 0.02)), rng.uniform(0.1, 0.16), shade(green, 0.8))
    for x in (rng.uniform(0.0, 0.18), rng.uniform(0.8, 1.0)):
        _box(canvas, x - 0.03, 0.35, x + 0.03, 0.8, (104, 74, 48))
        leaf = shade(green, float(rng.uniform(0.8, 1.0)))
        for dx, dy, r in ((-0.08, 0.34, 0.12), (0.08, 0.32, 0.13), (0, 0.22, 0.14), (0.02, 0.4, 0.12)):
            canvas.dot((x + dx, dy), r, leaf)
        canvas.dot((x - 0.03, 0.22), 0.07, shade(leaf, 1.14))
    _box(canvas, 0, 0.68, 1, 1, shade(green, 1.08))
    canvas.ellipse((0.5, 0.72), (0.7, 0.05), shade(green, 1.16))


def _city(canvas: Canvas, rng: np.random.Generator) -> None:
    dusk = rng.random() < 0.5
    high, low = ((52, 58, 108), (238, 160, 116)) if dusk else ((148, 186, 222), (226, 232, 236))
    for index in range(20):
        _box(canvas, 0, index / 24, 1, (index + 1) / 24 + 0.002, mix(high, low, index / 20))
    for layer, base in ((0, 0.3), (1, 0.46)):
        x = -0.03
        tone: Colour = (
            ((74, 72, 104), (48, 48, 72))[layer] if dusk else ((142, 154, 170), (104, 116, 134))[layer]
        )
        while x < 1:
            width = float(rng.uniform(0.11, 0.2))
            top = base + float(rng.uniform(-0.18, 0.14))
            wall = shade(tone, float(rng.uniform(0.88, 1.08)))
            _box(canvas, x, top, x + width, 1, wall)
            lit: Colour = (252, 220, 132) if dusk else (208, 226, 238)
            for wy in np.arange(top + 0.04, 0.96, 0.075):
                for wx in np.arange(x + 0.02, x + width - 0.03, 0.045):
                    _box(
                        canvas,
                        wx,
                        wy,
                        wx + 0.022,
                        wy + 0.036,
                        lit if rng.random() < 0.6 else shade(wall, 0.75),
                    )
            x += width + float(rng.uniform(0.0, 0.02))


def _studio(canvas: Canvas, rng: np.random.Generator) -> None:
    base = _pick(rng, ((44, 46, 54), (40, 52, 70), (66, 46, 60), (52, 58, 52)))
    _box(canvas, 0, 0, 1, 1, shade(base, 0.7))
    centre = (float(rng.uniform(0.35, 0.65)), 0.42)
    for index in range(14):
        reach = 0.75 - index * 0.045
        canvas.poly(oval(centre, (reach, reach), count=24), shade(base, 0.75 + 0.05 * index))
    side = 0.0 if rng.random() < 0.5 else 1.0
    at = abs(side - 0.1)
    canvas.line(np.array([(at, 0.3), (at, 1.0)]), (18, 18, 20), 0.025)
    canvas.poly(
        np.array([(at - 0.1, 0.06), (at + 0.1, 0.06), (at + 0.08, 0.32), (at - 0.08, 0.32)]), (18, 18, 20)
    )
    canvas.poly(
        np.array([(at - 0.08, 0.08), (at + 0.08, 0.08), (at + 0.065, 0.3), (at - 0.065, 0.3)]),
        (255, 250, 232),
    )


def _bricks(canvas: Canvas, rng: np.random.Generator) -> None:
    tone = _pick(rng, ((168, 82, 62), (146, 72, 58), (186, 106, 78), (128, 84, 74)))
    _box(canvas, 0, 0, 1, 1, mix(tone, (214, 206, 196), 0.7))
    rows = int(rng.integers(10, 14))
    height, width = 1 / rows, 2.3 / rows
    for row in range(rows):
        for column in range(-1, round(1 / width) + 2):
            x = (column + 0.5 * (row % 2)) * width
            _box(
                canvas,
                x,
                row * height,
                x + width * 0.92,
                (row + 0.84) * height,
                shade(tone, float(rng.uniform(0.84, 1.1))),
            )


PAINTERS = {
    "office": _office,
    "bookshelf": _bookshelf,
    "park": _park,
    "city": _city,
    "studio": _studio,
    "brick wall": _bricks,
}


@lru_cache(maxsize=96)
def background(kind: str, seed: int, pixels: int) -> NDArray[np.uint8]:
    """A place as (pixels,pixels,3) uint8, slightly out of focus. Read-only: it is cached."""
    canvas = Canvas(pixels, float(pixels), (0.0, 0.0))
    PAINTERS[kind](canvas, np.random.default_rng(derive(seed, "background", kind)))
    image = cv2.GaussianBlur(canvas.image, (0, 0), pixels * BLUR)
    image.setflags(write=False)
    return image
