"""Hair and everything worn on the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.core.seeds import derive
from components.corpus.canvas import mirror, shade, smooth
from components.corpus.face import hair_tone, outline

if TYPE_CHECKING:
    from components.corpus.canvas import Canvas
    from components.corpus.face import Turn
    from components.corpus.people import Person

HAT_TONES = ((46, 58, 92), (120, 34, 40), (54, 84, 60), (98, 78, 58), (60, 60, 66))
FRAME_TONES = (
    ((28, 26, 30), (92, 50, 26), (150, 30, 44)),
    ((232, 222, 200), (214, 60, 66), (96, 160, 214)),
)
"""Of glasses, on light and on dark skin."""
SCARF_TONES = ((190, 50, 60), (236, 190, 80), (70, 120, 160), (120, 80, 140))


def style_of(person: Person) -> str:
    """One of `core.vocabulary.HAIR_STYLES`."""
    return str(person.attributes["hair"].split(" ")[0])


def _curls(person: Person) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(derive(person.seed, "curls"))
    reach = person.face_width + 0.06 + 0.5 * person.hair_volume
    made = []
    for angle in np.linspace(-0.16 * np.pi, 1.16 * np.pi, 21):
        jitter = rng.uniform(-0.03, 0.03)
        made.append(
            (
                reach * np.cos(angle),
                -0.32 - (abs(person.skull) - 0.26) * np.sin(angle) + jitter,
                rng.uniform(0.2, 0.27) + 0.25 * person.hair_volume,
            )
        )
    return made


def draw_back_hair(canvas: Canvas, person: Person, turn: Turn) -> None:
    """What hangs behind the neck and stands above the skull."""
    style, tone = style_of(person), shade(hair_tone(person), 0.8)
    grow = person.hair_volume
    if style == "long":
        w = person.face_width
        length = 1.3 + 0.5 * person.fringe
        half = np.array(
            [
                (0, person.skull - grow),
                (0.75 * w, person.skull * 0.92 - grow * 0.6),
                (w + 0.1 + grow, -0.4),
                (w + 0.16 + grow, 0.5),
                (w + 0.14 + grow * 1.4, length),
                (w * 0.62, length + 0.12),
                (0, length),
            ]
        )
        canvas.poly(smooth(turn(mirror(half), -0.25)), tone, "hair")
    elif style == "bun":
        x, y = turn.at(0, person.skull - 0.14, -0.2)
        canvas.dot((x, y), 0.36, shade(tone, 0.8), "hair")
        canvas.dot((x, y), 0.325, hair_tone(person), "hair")
        for lift in (-0.12, 0.02):
            arc = np.array([(x - 0.24, y + lift + 0.08), (x, y + lift), (x + 0.24, y + lift + 0.08)])
            canvas.line(smooth(arc, closed=False), tone, 0.03, label="hair")
    elif style == "curly":
        for x, y, radius in _curls(person):
            at = turn.at(x, y, -0.15)
            canvas.dot(at, radius, shade(tone, 0.92), "hair")


def draw_front_hair(canvas: Canvas, person: Person, turn: Turn) -> None:
    """The cap of hair with its hairline; curls in front; a sheen for the bald."""
    style, tone = style_of(person), hair_tone(person)
    if style == "bald":
        if not canvas.labels:
            x, y = turn.at(-0.3 * person.light, person.skull * 0.78, 0.5)
            canvas.ellipse((x, y), (0.2, 0.09), shade(person.skin, 1.12), 0.1)
        return
    grow = {
        "short": 0.03 + 0.75 * person.hair_volume,
        "long": 0.05 + 0.6 * person.hair_volume,
        "bun": 0.03,
        "curly": 0.02,
    }[style]
    head, depth = outline(person, 0.0)
    end = {"short": 0.04 if not person.feminine else 0.34, "long": 0.55, "bun": -0.1, "curly": 0.0}[style]
    keep = head[:, 1] < end
    side = np.where(head[keep][:, 0] >= 0, 1, -1)
    rim = head[keep] + np.stack(
        [
            side * (0.03 + 0.35 * grow) * np.minimum(1, np.abs(head[keep][:, 0]) * 3),
            -grow * np.clip(-head[keep][:, 1], 0, 1),
        ],
        1,
    )
    order = np.argsort(np.where(side > 0, 1, -1) * (rim[:, 1] + 10))
    rim, edge_depth = rim[order], depth[keep][order]
    # rim runs from the lower left over the top to the lower right; the hairline returns to the left
    line, w = person.hairline, person.face_width
    low = float(min(rim[0, 1], rim[-1, 1]))
    part = person.parting * 0.6 * w
    if style == "short" and person.fringe > 0.62:
        front = [
            (w * 0.86, low),
            (w * 0.84, -0.34),
            (w * 0.6, line + 0.28),
            (0.22 * w, line + 0.33),
            (-0.22 * w, line + 0.27),
            (-w * 0.6, line + 0.31),
            (-w * 0.84, -0.34),
            (-w * 0.86, low),
        ]
    elif style in ("long", "short", "bun") and person.fringe > 0.3:
        front = [
            (w * 0.9, low),
            (w * 0.84, -0.36),
            (w * 0.62, line + 0.14),
            (part + 0.1, line - 0.08),
            (part, line - 0.13),
            (part - 0.12, line - 0.02),
            (-w * 0.62, line + 0.16),
            (-w * 0.84, -0.34),
            (-w * 0.9, low),
        ]
    else:
        front = [
            (w * 0.9, low),
            (w * 0.86, -0.42),
            (w * 0.66, line),
            (0.3 * w, line - 0.1),
            (0, line - 0.06),
            (-0.3 * w, line - 0.1),
            (-w * 0.66, line),
            (-w * 0.86, -0.42),
            (-w * 0.9, low),
        ]
    curve = np.array(front)
    fore = np.interp(np.abs(curve[:, 0]) / w, (0, 0.9), (0.72, 0.12))
    hairline = turn(curve, fore)
    if abs(turn.sy) > 0.25:  # the far side goes out of sight behind the brow
        far = curve[:, 0] * turn.sy > 0
        edge = turn.silhouette(curve, 0.1)[far, 0]
        further = hairline[far, 0] + 1.1 * (turn.sy - 0.25 * np.sign(turn.sy))
        hairline[far, 0] = np.sign(turn.sy) * np.minimum(np.abs(further), np.abs(edge))
    ring = np.concatenate([turn.silhouette(rim, edge_depth), hairline])
    canvas.poly(smooth(ring, steps=4), tone, "hair")
    if style == "curly":
        for x, y, radius in _curls(person)[2:-2]:
            if y < -0.5:
                at = turn.at(x * 0.86, y * 0.93, 0.25)
                canvas.dot(at, radius * 0.84, tone, "hair")
                canvas.dot((at[0] - 0.06, at[1] - 0.07), radius * 0.34, shade(tone, 1.16), "hair")
        return
    if not canvas.labels:
        top = turn(curve[1:-1] * (0.92, 1.0), fore[1:-1])
        canvas.line(smooth(top, closed=False), shade(tone, 0.66), 0.022)
        for lift, strength in ((0.5, 1.16), (0.74, 1.1)):
            arc = np.array(
                [
                    (-0.55 * w, -0.42 + person.skull * 0.34 * lift),
                    (part * 0.5 - 0.2, person.skull * (0.62 + 0.3 * lift)),
                    (0.25 * w, person.skull * (0.6 + 0.32 * lift)),
                ]
            )
            canvas.line(smooth(turn(arc, 0.3), closed=False), shade(tone, strength), 0.05)


def draw_headwear(canvas: Canvas, person: Person, turn: Turn) -> None:
    """Glasses, hat and headphones."""
    worn = person.attributes["accessories"]
    rng = np.random.default_rng(derive(person.seed, "headwear"))
    hat = HAT_TONES[int(rng.integers(len(HAT_TONES)))]
    shape = float(rng.uniform(0.0, 1.0))
    frames = FRAME_TONES[sum(person.skin) < 330]
    frame = frames[int(rng.integers(len(frames)))]
    if "glasses" in worn and not canvas.labels:
        _glasses(canvas, person, turn, frame, shape)
    if "hat" in worn:
        _hat(canvas, person, turn, hat)
    if "headphones" in worn:
        w = person.face_width + 0.09
        top = person.skull - 0.08 - (person.hair_volume if style_of(person) != "bald" else 0)
        band = smooth(
            turn(
                np.array(
                    [
                        (-w, 0.0),
                        (-w * 0.94, -0.6),
                        (-w * 0.56, top * 0.9),
                        (0, top),
                        (w * 0.56, top * 0.9),
                        (w * 0.94, -0.6),
                        (w, 0.0),
                    ]
                ),
                0.0,
            ),
            closed=False,
        )
        canvas.line(band, (36, 36, 42), 0.15)
        canvas.line(band, (196, 60, 60), 0.055)
        for side in (-1, 1):
            at = turn.at(side * w, 0.06, 0.0)
            canvas.ellipse(at, (0.17, 0.32), (36, 36, 42))
            canvas.ellipse((at[0] + side * 0.03, at[1]), (0.1, 0.22), (196, 60, 60))


def _glasses(canvas: Canvas, person: Person, turn: Turn, tone: tuple[int, int, int], shape: float) -> None:
    y = person.eye_height + 0.02
    wide, high = 0.265, 0.2 + 0.05 * shape
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    power = 1.0 if shape < 0.5 else 0.55
    for side in (-1, 1):
        c, s = np.cos(angle), np.sin(angle)
        ring = np.stack(
            [
                side * (person.eye_distance + 0.01) + wide * np.sign(c) * np.abs(c) ** power,
                y + high * np.sign(s) * np.abs(s) ** power,
            ],
            1,
        )
        canvas.line(turn(ring, 0.9), tone, 0.05, closed=True)
        arm = np.array(
            [(side * (person.eye_distance + wide), y - 0.04), (side * person.face_width * 0.99, y - 0.06)]
        )
        canvas.line(turn(arm, np.array([0.8, 0.05])), tone, 0.045)
    gap = max(person.eye_distance - wide, 0.04)
    canvas.line(
        turn(smooth(((-gap, y - 0.02), (0, y - 0.07), (gap, y - 0.02)), closed=False), 0.98), tone, 0.045
    )


def _hat(canvas: Canvas, person: Person, turn: Turn, tone: tuple[int, int, int]) -> None:
    w = person.face_width + 0.1
    brim = person.hairline + 0.1
    top = person.skull - 0.16
    crown = np.array([(0, top), (w * 0.62, top * 0.97), (w * 0.95, top * 0.72), (w, brim)])
    canvas.poly(smooth(turn(mirror(crown), 0.1)), tone)
    band = np.array(
        [
            (-w * 1.0, brim + 0.05),
            (-w * 0.5, brim - 0.05),
            (0, brim - 0.08),
            (w * 0.5, brim - 0.05),
            (w, brim + 0.05),
            (w * 0.99, brim - 0.13),
            (w * 0.5, brim - 0.25),
            (0, brim - 0.28),
            (-w * 0.5, brim - 0.25),
            (-w * 0.99, brim - 0.13),
        ]
    )
    canvas.poly(turn(band, 0.25), shade(tone, 1.35))
    rim = np.array(
        [
            (-w * 1.32, brim + 0.1),
            (-w * 0.7, brim - 0.06),
            (0, brim - 0.1),
            (w * 0.7, brim - 0.06),
            (w * 1.32, brim + 0.1),
            (w * 0.7, brim + 0.08),
            (0, brim + 0.06),
            (-w * 0.7, brim + 0.08),
        ]
    )
    canvas.poly(smooth(turn(rim, 0.3), steps=3), shade(tone, 0.8))


def draw_scarf(canvas: Canvas, person: Person) -> None:
    """A scarf round the neck with one hanging end (in the body's frame)."""
    if "scarf" not in person.attributes["accessories"]:
        return
    rng = np.random.default_rng(derive(person.seed, "scarf"))
    tone = SCARF_TONES[int(rng.integers(len(SCARF_TONES)))]
    w = person.neck_width + 0.26
    end = np.array([(0.12, 1.5), (0.52, 1.46), (0.6, 2.6), (0.18, 2.66)])
    canvas.poly(end, shade(tone, 0.82))
    for at in (2.2, 2.4):
        canvas.line(np.array([(0.17, at), (0.58, at - 0.03)]), shade(tone, 1.3), 0.05)
    for lift, dark in ((0.0, 0.9), (0.24, 1.0)):
        y = 1.08 + lift
        roll = np.array(
            [
                (-w, y),
                (-w * 0.5, y + 0.2),
                (0, y + 0.27),
                (w * 0.5, y + 0.2),
                (w, y),
                (w * 1.04, y + 0.22),
                (w * 0.5, y + 0.48),
                (0, y + 0.54),
                (-w * 0.5, y + 0.48),
                (-w * 1.04, y + 0.22),
            ]
        )
        canvas.poly(smooth(roll, steps=3), shade(tone, dark))
        for x in (-0.6, -0.2, 0.2, 0.6):
            canvas.line(
                np.array([(x * w, y + 0.22 - 0.1 * abs(x)), (x * w * 0.9, y + 0.46 - 0.1 * abs(x))]),
                shade(tone, 1.35),
                0.04,
            )
