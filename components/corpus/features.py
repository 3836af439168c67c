"""What moves in a face: eyes, brows, mouth, and the beard that follows the jaw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.corpus.canvas import Canvas, mirror, mix, oval, pair, shade, smooth
from components.corpus.face import JAW_DROP, hair_tone, outline

if TYPE_CHECKING:
    from components.corpus.canvas import Points
    from components.corpus.face import Turn
    from components.corpus.people import Person
    from components.corpus.pose import Pose

OPENING = 0.56
"""Height of the fully opened mouth in face units."""


def draw_eyes(canvas: Canvas, person: Person, pose: Pose, turn: Turn) -> None:
    """Whites, irises, pupils, highlights, lids and lashes; a blink lowers the upper lid."""
    dark = mix(person.skin, (44, 24, 20), 0.72)
    wide = 1 + 0.42 * max(pose.brow, 0.0) - 0.12 * abs(pose.smile) - 0.26 * max(pose.gaze_y, 0.0)
    for side in (-1, 1):
        ew = person.eye_width
        up = ew * person.eye_open * 0.62 * wide * (1 - pose.blink)
        down = ew * person.eye_open * 0.44 * (1 - 0.25 * pose.blink)
        t = np.linspace(-1, 1, 13)
        arc = (1 - np.abs(t) ** (1.5 + 1.3 * person.eye_round)) ** 0.85
        slant = -person.eye_slant * ew * t * side
        top = -up * arc + slant + 0.24 * down * pose.blink * arc
        low = np.maximum(down * arc + slant, top)
        x = t * ew

        def place(px: Points, py: Points, lift: float = 0.0, side: int = side) -> Points:
            flat = pair(px + side * person.eye_distance, py + person.eye_height + lift)
            return turn(flat, 0.82 - 0.5 * (flat[:, 0] / person.face_width) ** 2 * 0.8)

        margin = np.concatenate([place(x * 1.16, top - 0.05), place(x * 1.16, low + 0.05)[::-1]])
        if canvas.labels:
            canvas.poly(margin, (0, 0, 0), "eyes")
            continue
        if person.lid_fold > 0.25 or pose.blink > 0.5:
            lid = np.concatenate(
                [
                    place(x * 1.06, top - 0.035 - 0.05 * arc * (0.4 + person.lid_fold)),
                    place(x * 1.02, top)[::-1],
                ]
            )
            canvas.poly(lid, shade(person.skin, 0.84))
            canvas.line(lid[:13], mix(person.skin, dark, 0.45), 0.018)
        openness = float((low - top).max())
        if openness > 0.025:
            white = np.concatenate([place(x, top), place(x, low)[::-1]])
            canvas.poly(white, (246, 244, 240))
            cx = pose.gaze_x * ew * 0.56
            cy = pose.gaze_y * ew * 0.36
            radius = ew * person.iris_size * 0.92

            def clipped(scale: float, dx: float = 0.0, dy: float = 0.0) -> Points:
                ring = oval((cx + dx, cy + dy), (radius * scale, radius * scale), count=20)  # noqa: B023
                ring[:, 0] = np.clip(ring[:, 0], x[0], x[-1])  # noqa: B023
                ceiling = np.interp(ring[:, 0], x, top)  # noqa: B023
                ring[:, 1] = np.clip(ring[:, 1], ceiling, np.interp(ring[:, 0], x, low))  # noqa: B023
                return place(ring[:, 0], ring[:, 1])  # noqa: B023

            canvas.poly(
                np.concatenate([place(x, top), place(x, top + 0.22 * (low - top))[::-1]]), (206, 202, 204)
            )
            canvas.poly(clipped(1.0), shade(person.iris, 0.6))
            canvas.poly(clipped(0.84), person.iris)
            canvas.poly(clipped(0.7, 0, 0.25 * radius), shade(person.iris, 1.22))
            canvas.poly(clipped(0.46), (16, 13, 14))
            canvas.poly(clipped(0.26, -0.3 * radius, -0.32 * radius), (255, 255, 255))
        canvas.line(place(x, low), mix(person.skin, dark, 0.5), 0.016)
        lash = 0.026 + 0.034 * person.lashes
        canvas.line(place(x * 1.03, top), shade(dark, 0.6 if person.lashes > 0.4 else 0.9), lash)
        if person.lashes > 0.4:
            tip = np.array([side * ew, side * ew * 1.28])
            rise = np.array([slant[-1 if side > 0 else 0], slant[-1 if side > 0 else 0] - 0.05])
            canvas.line(place(tip, rise), shade(dark, 0.6), lash * 0.8)


def draw_brows(canvas: Canvas, person: Person, pose: Pose, turn: Turn) -> None:
    """Brows: raised in surprise, inner ends up when sad, down in a frown."""
    tone = shade(hair_tone(person), 0.72)
    tone = mix(tone, person.skin, 0.12 if person.attributes["hair"] != "bald" else 0.0)
    lift = person.brow_gap + 0.2 * max(pose.brow, 0) + 0.05 * min(pose.brow, 0)
    sad = max(-pose.smile, 0.0)
    for side in (-1, 1):
        t = np.linspace(-1, 1, 9)
        x = side * person.eye_distance + t * person.eye_width * person.brow_length
        outer = t * side
        arch = person.brow_arch * (1 - (outer - 0.25) ** 2) + 0.05 * max(pose.brow, 0) * (1 - outer**2)
        slope = (
            -(person.brow_slant - 0.55 * sad) * 0.28 * outer + 0.1 * min(pose.brow, 0) * -(outer - 1) * 0.5
        )
        y = person.eye_height - lift - arch + slope
        thick = person.brow_thickness * np.clip(1.15 - 0.75 * np.maximum(outer, -0.2), 0.2, 1.2)
        depth = 0.86 - 0.42 * (x / person.face_width) ** 2
        top = turn(pair(x, y - thick * 0.6), depth)
        low = turn(pair(x, y + thick * 0.5), depth)
        canvas.poly(np.concatenate([top, low[::-1]]), tone)


def draw_beard(canvas: Canvas, person: Person, pose: Pose, turn: Turn) -> None:
    """Facial hair below the mouth's layer; it follows the jaw."""
    if person.beard == "none":
        return
    p, drop = person, JAW_DROP * pose.aperture
    tone = shade(hair_tone(person), 0.86)
    if person.beard == "stubble":
        tone = mix(person.skin, tone, 0.34)
    if person.beard in ("full", "stubble"):
        points, depth = outline(person, pose.aperture)
        keep = points[:, 1] > 0.1
        outer, deep = points[keep], depth[keep]
        cheek = p.mouth_height - 0.13
        inner = np.array(
            [
                (-p.face_width * 0.82, 0.12),
                (-p.face_width * 0.66, 0.42),
                (-p.mouth_width * 0.98, cheek),
                (0, p.mouth_height - 0.15),
                (p.mouth_width * 0.98, cheek),
                (p.face_width * 0.66, 0.42),
                (p.face_width * 0.82, 0.12),
            ]
        )
        ring = np.concatenate(
            [turn.silhouette(outer, deep), turn(inner, np.interp(np.abs(inner[:, 0]), (0, 0.8), (0.9, 0.3)))]
        )
        canvas.poly(smooth(ring), tone)
        if person.beard == "full":
            canvas.line(smooth(turn.silhouette(outer * 0.985, deep), closed=False), shade(tone, 0.75), 0.05)
    if person.beard == "goatee":
        chin = np.array(
            [
                (0, p.mouth_height + 0.2 + drop * 0.6),
                (0.2, p.mouth_height + 0.22 + drop * 0.6),
                (0.24, p.chin - 0.12 + drop),
                (0.12, p.chin + 0.03 + drop),
                (0, p.chin + 0.05 + drop),
            ]
        )
        canvas.poly(smooth(turn(mirror(chin), 0.72)), tone)
    if person.beard in ("moustache", "goatee", "full"):
        y, w = p.mouth_height - 0.19, p.mouth_width
        lip = np.array(
            [(0, y), (w * 0.55, y - 0.02), (w * 1.12, y + 0.15), (w * 0.6, y + 0.13), (0, y + 0.1)]
        )
        canvas.poly(smooth(turn(mirror(lip), 0.92)), tone)


def draw_mouth(canvas: Canvas, person: Person, pose: Pose, turn: Turn) -> None:
    """Lips, the dark inside, thin upper teeth, tongue; the opening is `OPENING`·aperture face units high."""
    p = person
    half = (
        p.mouth_width
        * (1 + 0.34 * pose.mouth_width)
        * (1 + 0.26 * max(pose.smile, 0))
        * (1 - 0.1 * pose.aperture)
    )
    opening = OPENING * pose.aperture
    t = np.linspace(-1, 1, 15)
    dome = (1 - t**2) ** 0.62
    x = t * half
    bend = 0.13 if pose.smile > 0 else 0.17
    middle = p.mouth_height - bend * pose.smile * (t**2 - 0.35) + 0.018 * dome
    top = middle - 0.24 * opening * dome
    low = middle + 0.76 * opening * dome
    bow = np.where(np.abs(t) < 0.3, -0.35 * p.cupid * (1 - np.abs(t) / 0.3), 0)
    pout = 1 + 0.35 * max(-pose.mouth_width, 0)
    upper = top - (p.upper_lip * pout + 0.012) * dome**0.9 * (1 + bow)
    lower = low + (p.lower_lip * pout + 0.01) * (1 - t**2) ** 0.75

    def place(py: Points, px: Points = x) -> Points:
        return turn(pair(px, py), 0.93 - 0.9 * px**2)

    outer = np.concatenate([place(upper, x * 1.04), place(lower, x * 1.02)[::-1]])
    if canvas.labels:
        centre = outer.mean(0)
        canvas.poly(centre + (outer - centre) * (1.2, 1.3), (0, 0, 0), "mouth")
        return
    lips = p.lip_colour
    canvas.poly(
        np.concatenate([place(lower + 0.05 * dome, x * 0.6), place(lower, x * 0.6)[::-1]]),
        shade(p.skin, 0.8) if p.beard not in ("full", "goatee") else shade(hair_tone(p), 0.7),
    )
    canvas.poly(outer, lips)
    canvas.poly(np.concatenate([place(upper, x * 1.04), place(top, x)[::-1]]), shade(lips, 0.84))
    canvas.poly(
        np.concatenate(
            [place(low + 0.3 * (lower - low), x * 0.5), place(low + 0.62 * (lower - low), x * 0.5)[::-1]]
        ),
        shade(lips, 1.2),
    )
    if opening > 0.012:
        canvas.poly(np.concatenate([place(top), place(low)[::-1]]), (52, 14, 20))
        if opening > 0.05:
            teeth = np.minimum(top + min(0.05, 0.3 * opening) * dome**0.5, low)
            inner = np.abs(t) < 0.8
            canvas.poly(
                np.concatenate([place(top[inner], x[inner]), place(teeth[inner], x[inner])[::-1]]),
                (240, 236, 228),
            )
        if opening > 0.14:
            tongue = np.maximum(low - 0.36 * opening * (1 - t**2), top)
            inner = np.abs(t) < 0.72
            canvas.poly(
                np.concatenate([place(tongue[inner], x[inner]), place(low[inner] - 0.01, x[inner])[::-1]]),
                (188, 82, 88),
            )
    else:
        canvas.line(place(middle), shade(lips, 0.45), 0.026)
