"""Drawing primitives: smooth polygons in figure units on a supersampled picture, or labels on a map."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Points = NDArray[np.float64]

Colour = tuple[float, float, float]
SUPERSAMPLING = 2
SHIFT = 4
"""Fractional bits of the fixed-point coordinates that OpenCV draws with."""

LABELS = {"other": 0, "eyes": 1, "mouth": 2, "hair": 3, "jaw": 4, "hands": 5}

cv2.setNumThreads(1)


@lru_cache(maxsize=64)
def _smoothing(count: int, steps: int, closed: bool) -> Points:
    """Catmull-Rom matrix (count·steps or (count−1)·steps+1, count): samples = matrix @ control points."""
    rows = []
    for index in range(count if closed else count - 1):
        for step in range(steps):
            t = step / steps
            weights = (
                (-t + 2 * t**2 - t**3) / 2,
                (2 - 5 * t**2 + 3 * t**3) / 2,
                (t + 4 * t**2 - 3 * t**3) / 2,
                (-(t**2) + t**3) / 2,
            )
            row = np.zeros(count)
            for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
                at = (index + offset) % count if closed else min(max(index + offset, 0), count - 1)
                row[at] += weight
            rows.append(row)
    if not closed:
        last = np.zeros(count)
        last[-1] = 1
        rows.append(last)
    return np.array(rows)


def smooth(points: Points | Sequence[Sequence[float]], closed: bool = True, steps: int = 5) -> Points:
    """A smooth curve through control points (N,2) or (N,3)."""
    array = np.asarray(points, dtype=np.float64)
    return _smoothing(len(array), steps, closed) @ array


def mirror(right: Points | Sequence[Sequence[float]]) -> Points:
    """Closes a right-hand half outline, listed from top to bottom, with its mirror image."""
    half = np.asarray(right, dtype=np.float64)
    left = half[::-1].copy()
    left[:, 0] *= -1
    keep = np.abs(left[:, 0]) > 1e-9
    return np.concatenate([half, left[keep]])


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b`."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def shade(colour: Colour, factor: float) -> Colour:
    """Lighter (factor > 1, towards white) or darker (factor < 1)."""
    if factor <= 1:
        return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
    return mix(colour, (255, 255, 255), factor - 1)


@lru_cache(maxsize=4)
def _circle(count: int) -> Points:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def pair(x: Points, y: Points) -> Points:
    """Points (N,2) of two arrays (N,)."""
    made = np.empty((len(x), 2))
    made[:, 0] = x
    made[:, 1] = y
    return made


class Canvas:
    """A square picture whose coordinates are figure units, x to the right and y downwards.

    With `labels` it is a map (S,S) uint8 of `LABELS` instead: whatever is drawn on top takes the pixel.
    """

    def __init__(self, pixels: int, scale: float, origin: tuple[float, float], labels: bool = False) -> None:
        self.pixels = pixels
        self.labels = labels
        shape = (pixels, pixels) if labels else (pixels, pixels, 3)
        self.image: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.scale = scale
        self.matrix = np.array([[scale, 0.0], [0.0, scale]])
        self.offset = np.array([-origin[0] * scale - 0.5, -origin[1] * scale - 0.5])
        self._base = (self.matrix, self.offset)
        self._aim()
        self._type = cv2.LINE_8 if labels else cv2.LINE_AA

    def frame(
        self, angle: float = 0.0, pivot: Points | None = None, move: Points | None = None, zoom: float = 1.0
    ) -> None:
        """Sets the current coordinate frame: rotation and zoom about `pivot`, then a move, in base units."""
        matrix, offset = self._base
        c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
        turn = np.array([[c, -s], [s, c]])
        point = np.zeros(2) if pivot is None else pivot
        shift = point - turn @ point + (0 if move is None else move)
        self.matrix = matrix @ turn
        self.offset = offset + matrix @ shift
        self.scale = matrix[0, 0] * zoom
        self._aim()

    def _aim(self) -> None:
        self._fine = np.ascontiguousarray(self.matrix.T) * (1 << SHIFT)
        self._fine_offset = self.offset * (1 << SHIFT)

    def to_pixels(self, points: Points) -> Points:
        """Pixel coordinates of points (N,2) of the current frame."""
        return points @ self.matrix.T + self.offset

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        return np.rint(points @ self._fine + self._fine_offset).astype(np.int32)

    def poly(self, points: Points, colour: Colour, label: str = "other") -> None:
        """Fills a polygon (N,2)."""
        fill = float(LABELS[label]) if self.labels else colour
        cv2.fillPoly(self.image, [self._fixed(points)], fill, self._type, SHIFT)

    def line(
        self, points: Points, colour: Colour, width: float, closed: bool = False, label: str = "other"
    ) -> None:
        """Strokes a polyline `width` units wide (at least one supersampled pixel)."""
        fill = float(LABELS[label]) if self.labels else colour
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self._fixed(points)], closed, fill, thick, self._type, SHIFT)

    def ellipse(
        self,
        centre: Sequence[float],
        radii: tuple[float, float],
        colour: Colour,
        angle: float = 0.0,
        label: str = "other",
    ) -> None:
        """Fills an ellipse."""
        self.poly(oval(centre, radii, angle), colour, label)

    def dot(self, centre: Sequence[float], radius: float, colour: Colour, label: str = "other") -> None:
        """Fills a disc."""
        self.poly(oval(centre, (radius, radius)), colour, label)


def oval(centre: Sequence[float], radii: tuple[float, float], angle: float = 0.0, count: int = 24) -> Points:
    """Outline (count,2) of an ellipse."""
    points = _circle(count) * radii
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        points = points @ np.array([[c, s], [-s, c]])
    return points + np.asarray(centre)[:2]
