"""Below the chin: neck, torso, garments, legs, arms, hands and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.corpus.canvas import mirror, mix, shade, smooth
from components.corpus.pose import Hand, holding_side

if TYPE_CHECKING:
    from components.corpus.canvas import Canvas, Colour, Points
    from components.corpus.people import Person
    from components.corpus.pose import Pose

GARMENT_TONES: dict[str, Colour] = {
    "red": (200, 44, 48),
    "blue": (52, 98, 190),
    "green": (52, 140, 74),
    "yellow": (240, 204, 60),
    "white": (240, 240, 242),
    "black": (36, 36, 42),
    "purple": (128, 66, 160),
    "orange": (240, 132, 40),
}
TROUSERS = ((52, 58, 84), (70, 62, 56), (44, 46, 50))
SHOULDER_Y = 1.56
HIP_Y = 4.1
FEET_Y = 7.7
SIDE_HAND_Y = 4.35
REACH = 1.34
"""Length of the upper arm and of the forearm."""


def garment_of(person: Person) -> tuple[Colour, str]:
    """Tone and kind of the garment."""
    colour, kind = person.attributes["attire"].split(" ", 1)
    return GARMENT_TONES[colour], kind


def draw_legs(canvas: Canvas, person: Person) -> None:
    """Trousers and shoes, for the full body."""
    tone = TROUSERS[person.seed % len(TROUSERS)]
    width = person.shoulder * 0.62
    for side in (-1, 1):
        leg = np.array(
            [
                (0.0, HIP_Y - 0.2),
                (side * width * 1.08, HIP_Y - 0.2),
                (side * width * 0.98, 5.6),
                (side * width * 0.86, FEET_Y - 0.25),
                (side * width * 0.28, FEET_Y - 0.25),
                (side * 0.06, 5.0),
            ]
        )
        canvas.poly(leg, tone if side > 0 else shade(tone, 0.86))
        shoe = smooth(
            np.array(
                [
                    (side * width * 0.22, FEET_Y - 0.3),
                    (side * width * 0.9, FEET_Y - 0.3),
                    (side * width * 1.2, FEET_Y),
                    (side * width * 0.2, FEET_Y),
                ]
            )
        )
        canvas.poly(shoe, (40, 34, 32))


def draw_torso(canvas: Canvas, person: Person) -> None:
    """Neck and torso with the garment's collar; the neck is in the chin's shadow."""
    tone, kind = garment_of(person)
    skin, s, n = person.skin, person.shoulder, person.neck_width
    dark, light = shade(tone, 0.72), shade(tone, 1.22) if tone[0] > 60 else shade(tone, 1.12)
    neck = np.array([(n, 0.4), (n, 1.22), (n + 0.14, 1.5), (n + 0.2, 1.9)])
    canvas.poly(mirror(neck), shade(skin, 0.84))
    canvas.poly(smooth(mirror(np.array([(n, 0.6), (n, 1.02), (n * 0.6, 1.3), (0, 1.4)]))), shade(skin, 0.66))
    half = np.array(
        [
            (n * 0.98, 1.3),
            (n + 0.3, 1.44),
            (s * 0.9, SHOULDER_Y + 0.02),
            (s, SHOULDER_Y + 0.3),
            (s * 0.9, 2.4),
            (s * 0.74, 3.3),
            (s * 0.72, HIP_Y),
        ]
    )
    torso = mirror(half)
    canvas.poly(smooth(torso, steps=4), tone)
    shadow_side = 1 if person.light < 0 else -1
    flank = np.array(
        [
            (s * 0.93, SHOULDER_Y + 0.35),
            (s * 0.9, 2.4),
            (s * 0.73, 3.3),
            (s * 0.71, HIP_Y),
            (s * 0.45, HIP_Y),
            (s * 0.56, 3.0),
            (s * 0.66, 2.1),
        ]
    ) * (shadow_side, 1)
    canvas.poly(smooth(flank, steps=3), shade(tone, 0.88))
    if kind == "t-shirt":
        opening = np.array([(n * 1.02, 1.28), (n * 0.9, 1.52), (n * 0.5, 1.72), (0, 1.79)])
        canvas.poly(smooth(mirror(opening), steps=4), shade(skin, 0.9))
        rim = np.array(
            [
                (-n * 1.06, 1.34),
                (-n * 0.8, 1.62),
                (-n * 0.4, 1.77),
                (0, 1.81),
                (n * 0.4, 1.77),
                (n * 0.8, 1.62),
                (n * 1.06, 1.34),
            ]
        )
        canvas.line(smooth(rim, closed=False), dark, 0.07)
        for side in (-1, 1):
            bone = np.array([(side * 0.1, 1.56), (side * n * 0.7, 1.46)])
            canvas.line(bone, shade(skin, 0.72), 0.025)
    elif kind == "turtleneck":
        collar = np.array([(n * 1.06, 1.0), (n * 1.12, 1.3), (n * 1.3, 1.56), (0, 1.68)])
        canvas.poly(smooth(mirror(collar), steps=4), shade(tone, 0.9))
        fold = np.array([(-n * 1.08, 1.24), (-n * 0.5, 1.34), (0, 1.37), (n * 0.5, 1.34), (n * 1.08, 1.24)])
        canvas.line(smooth(fold, closed=False), dark, 0.05)
        for x in np.linspace(-0.8, 0.8, 7):
            canvas.line(np.array([(x * n, 1.14), (x * n * 1.1, 1.58)]), shade(tone, 0.8), 0.02)
    elif kind == "collared shirt":
        canvas.poly(np.array([(-n * 0.72, 1.3), (n * 0.72, 1.3), (0, 1.92)]), shade(skin, 0.88))
        for side in (-1, 1):
            wing = np.array(
                [(side * n * 1.04, 1.18), (side * 0.06, 1.74), (side * 0.34, 2.02), (side * (n + 0.34), 1.5)]
            )
            canvas.poly(wing, light)
            canvas.line(wing, dark, 0.035, closed=True)
        canvas.line(np.array([(0, 1.8), (0, HIP_Y)]), dark, 0.035)
        for y in (2.0, 2.5, 3.0, 3.5):
            canvas.dot((0.0, y), 0.05, dark if sum(tone) > 330 else (220, 220, 220))
    else:
        shirt: Colour = (236, 236, 238) if sum(tone) < 640 else (70, 80, 110)
        canvas.poly(np.array([(-n * 1.02, 1.3), (n * 1.02, 1.3), (0.0, 3.0)]), shirt)
        canvas.poly(np.array([(-n * 0.62, 1.3), (n * 0.62, 1.3), (0, 1.72)]), shade(skin, 0.88))
        for side in (-1, 1):
            lapel = np.array(
                [
                    (side * n * 1.0, 1.24),
                    (side * 0.02, 2.95),
                    (side * 0.62, 2.25),
                    (side * 0.82, 1.98),
                    (side * 0.66, 1.9),
                    (side * (n + 0.38), 1.46),
                ]
            )
            canvas.poly(lapel, shade(tone, 0.8) if sum(tone) > 140 else shade(tone, 1.2))
            canvas.line(lapel, shade(tone, 0.55) if sum(tone) > 140 else (92, 92, 100), 0.035, closed=True)
        canvas.line(np.array([(0, 2.95), (0, HIP_Y)]), dark, 0.035)


def _bone(start: Points, end: Points, wide: tuple[float, float]) -> Points:
    """A tapering stretch of a limb with round ends, (N,2); `wide` are half-widths."""
    along = end - start
    angle = float(np.arctan2(along[1], along[0]))
    t = np.linspace(-np.pi / 2, np.pi / 2, 9)
    tip = np.stack([np.cos(t), np.sin(t)], 1)
    local = np.concatenate([tip * wide[1] + (float(np.hypot(*along)), 0.0), tip[::-1] * (-wide[0], wide[0])])
    c, s = np.cos(angle), np.sin(angle)
    return local @ np.array([[c, s], [-s, c]]) + start


def draw_arm(canvas: Canvas, person: Person, side: int, hand: Hand | None, held: str | None) -> None:
    """Sleeve, forearm and hand of one side (−1 left, 1 right of the picture)."""
    tone, kind = garment_of(person)
    shoulder = np.array([side * (person.shoulder - 0.24), SHOULDER_Y + 0.3])
    end = np.array([side * person.shoulder * 1.08, SIDE_HAND_Y] if hand is None else [hand.x, hand.y])
    half = float(np.linalg.norm(end - shoulder)) / 2
    bend = max(REACH**2 - half**2, 0.06) ** 0.5
    lifted = float(np.clip((3.6 - end[1]) / 1.2, 0, 1))
    elbow = (shoulder + end) / 2 + bend * np.array([side * (0.62 - 0.2 * lifted), 0.8 * lifted])
    sleeve = shade(tone, 0.93)
    lower = shade(person.skin, 0.95) if kind == "t-shirt" else sleeve
    parts = [(_bone(shoulder, elbow, (0.3, 0.22)), lower), (_bone(elbow, end, (0.22, 0.15)), lower)]
    if kind == "t-shirt":
        parts.append((_bone(shoulder, shoulder + (elbow - shoulder) * 0.5, (0.32, 0.3)), sleeve))
    for outline, _ in parts:
        canvas.line(outline, shade(tone, 0.6), 0.06, closed=True)
    for outline, colour in parts:
        canvas.poly(outline, colour)
    gesture = "fist" if hand is None else hand.gesture
    along = np.array([float(side), -0.12]) if gesture == "point" else end - elbow
    draw_hand(canvas, person, end, along, side, gesture, held)


def draw_hand(
    canvas: Canvas, person: Person, at: Points, along: Points, side: int, gesture: str, held: str | None
) -> None:
    """A hand with fingers; a held object is drawn behind the fingers."""
    skin, edge = person.skin, shade(person.skin, 0.62)
    angle = float(np.arctan2(along[1], along[0]))
    if held is not None:
        palm = np.asarray(at, dtype=float)
        draw_object(canvas, held, palm, side)
        fist = smooth(
            palm
            + np.array([(-0.2, -0.2), (0.2, -0.2), (0.25, 0.1), (0.15, 0.32), (-0.15, 0.32), (-0.25, 0.1)])
        )
        canvas.poly(fist, skin, "hands")
        canvas.line(fist, edge, 0.03, closed=True, label="hands")
        for y in (-0.1, 0.02, 0.14):
            canvas.line(palm + np.array([(-0.2, y), (0.1, y)]), edge, 0.03, label="hands")
        return
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]])

    def place(points: list[tuple[float, float]]) -> Points:
        return np.array(points) @ turn + at

    palm_shape = smooth(
        place([(-0.1, -0.19), (0.2, -0.22), (0.34, -0.12), (0.34, 0.14), (0.2, 0.22), (-0.1, 0.18)])
    )
    fingers: list[Points] = []
    if gesture == "open":
        for spread in (-0.5, -0.18, 0.14, 0.46):
            fingers.append(place([(0.22, spread * 0.36), (0.66 - 0.16 * abs(spread), spread * 0.66)]))
        fingers.append(place([(0.05, -side * 0.16), (0.3, -side * 0.42)]))
    elif gesture == "point":
        fingers.append(place([(0.2, -0.06 * side), (0.78, -0.08 * side)]))
    for finger in fingers:
        canvas.line(finger, edge, 0.2, label="hands")
    canvas.line(palm_shape, edge, 0.05, closed=True, label="hands")
    for finger in fingers:
        canvas.line(finger, skin, 0.145, label="hands")
    canvas.poly(palm_shape, skin, "hands")
    if gesture != "open":
        for y in (-0.08, 0.04):
            canvas.line(place([(0.12, y), (0.32, y)]), edge, 0.03, label="hands")


def draw_object(canvas: Canvas, name: str, at: Points, side: int) -> None:
    """An object held upright at `at`."""

    def poly(points: list[tuple[float, float]], colour: Colour) -> None:
        canvas.poly(np.array(points) * (side, 1) + at, colour)

    if name == "book":
        poly([(-0.42, -0.86), (0.36, -0.94), (0.4, 0.16), (-0.38, 0.24)], (120, 26, 34))
        poly([(-0.34, -0.8), (0.3, -0.87), (0.34, 0.08), (-0.3, 0.15)], (178, 44, 52))
        poly([(0.34, -0.9), (0.42, -0.88), (0.46, 0.12), (0.39, 0.15)], (244, 238, 220))
        poly([(-0.16, -0.64), (0.16, -0.67), (0.17, -0.5), (-0.15, -0.47)], (246, 220, 140))
    elif name == "pen":
        poly([(-0.05, -0.6), (0.05, -0.6), (0.06, 0.3), (-0.06, 0.3)], (36, 74, 178))
        poly([(-0.06, -0.62), (0.06, -0.62), (0.0, -0.86)], (238, 202, 120))
        poly([(-0.02, -0.78), (0.02, -0.78), (0.0, -0.88)], (20, 20, 24))
    elif name == "cup":
        canvas.line(
            smooth(
                np.array([(0.26, -0.5), (0.5, -0.46), (0.48, -0.12), (0.24, -0.06)]) * (side, 1) + at,
                closed=False,
            ),
            (226, 232, 236),
            0.09,
        )
        poly([(-0.3, -0.68), (0.3, -0.68), (0.25, 0.12), (-0.25, 0.12)], (236, 242, 246))
        poly([(0.1, -0.68), (0.3, -0.68), (0.25, 0.12), (0.08, 0.12)], (202, 212, 220))
        poly([(-0.295, -0.5), (0.295, -0.5), (0.285, -0.36), (-0.285, -0.36)], (52, 150, 160))
        canvas.ellipse(at + np.array([0, -0.68]), (0.3, 0.075), (92, 58, 36))
    elif name == "phone":
        poly([(-0.26, -0.84), (0.26, -0.84), (0.26, 0.2), (-0.26, 0.2)], (24, 24, 28))
        poly([(-0.21, -0.76), (0.21, -0.76), (0.21, 0.12), (-0.21, 0.12)], (94, 190, 236))
        poly([(-0.21, -0.76), (0.02, -0.76), (-0.21, -0.3)], (188, 228, 248))
    elif name == "microphone":
        poly([(-0.09, -0.42), (0.09, -0.42), (0.06, 0.4), (-0.06, 0.4)], (44, 44, 50))
        canvas.dot(at + np.array([0, -0.58]), 0.24, (70, 72, 80))
        canvas.dot(at + np.array([0, -0.6]), 0.2, (150, 154, 164))
        for x in (-0.1, 0.0, 0.1):
            canvas.line(np.array([(x, -0.74), (x, -0.46)]) + at, (96, 98, 108), 0.025)
    elif name == "flower":
        canvas.line(np.array([(0.0, -0.5), (0.02, 0.4)]) + at, (46, 124, 56), 0.07)
        poly([(0.02, -0.1), (0.26, -0.3), (0.2, -0.06)], (60, 150, 70))
        for k in range(6):
            angle = k * np.pi / 3
            canvas.dot(
                at + np.array([0.19 * np.cos(angle), -0.62 + 0.19 * np.sin(angle)]), 0.15, (240, 96, 156)
            )
        canvas.dot(at + np.array([0, -0.62]), 0.12, (252, 212, 70))


def draw_arms(canvas: Canvas, person: Person, pose: Pose, framing: str) -> None:
    """Both arms; in a close-up only the hand with a held object, at the lower edge beside the face."""
    held = person.attributes["objects"][0] if pose.holding and person.attributes["objects"] else None
    if framing == "close-up":
        if held is not None:
            side = holding_side(person)
            at = np.array([side * 1.28, 1.5])
            tone, kind = garment_of(person)
            sleeve = np.array([at + (-0.22, 0.24), at + (0.22, 0.24), at + (0.4, 0.9), at + (-0.36, 0.9)])
            canvas.poly(sleeve, shade(tone, 0.86) if kind != "t-shirt" else mix(person.skin, (0, 0, 0), 0.08))
            canvas.line(sleeve, shade(tone, 0.55), 0.03, closed=True)
            draw_hand(canvas, person, at, np.array([0.0, -1.0]), side, "fist", held)
        return
    for side, hand in ((-1, pose.left_hand), (1, pose.right_hand)):
        carries = held if side == holding_side(person) else None
        place = hand
        if carries is not None:
            place = Hand(side * 1.1, 2.55, "fist")
        draw_arm(canvas, person, side, place, carries)
