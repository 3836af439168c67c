"""The head: outline, skin, ears and nose, turned in space and drawn flat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from components.core.seeds import derive
from components.corpus.canvas import Canvas, mirror, mix, shade, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.corpus.canvas import Colour, Points
    from components.corpus.people import Person
    from components.corpus.pose import Pose

TEXTURE_REACH = 1.6
JAW_DROP = 0.17
"""How far a fully opened mouth lowers the chin, face units."""
HAIR_TONES: dict[str, Colour] = {
    "black": (38, 32, 34),
    "brown": (104, 66, 38),
    "blond": (222, 182, 98),
    "red": (176, 74, 32),
    "grey": (164, 164, 170),
}


def hair_tone(person: Person) -> Colour:
    """Colour of the hair (brown for the brows of the bald)."""
    return (
        HAIR_TONES[person.attributes["hair"].split(" ")[-1]]
        if " " in person.attributes["hair"]
        else (84, 62, 48)
    )


@dataclass(frozen=True)
class Turn:
    """Maps points on the head (x, y, z towards the viewer) to the head's flat frame."""

    sy: float
    cy: float
    sp: float
    cp: float

    @classmethod
    def of(cls, pose: Pose) -> Turn:
        """The turn of a pose's yaw and pitch (roll is the canvas frame's)."""
        return cls(
            float(np.sin(pose.yaw)),
            float(np.cos(pose.yaw)),
            float(np.sin(pose.pitch)),
            float(np.cos(pose.pitch)),
        )

    def __call__(self, points: Points, depth: float | Points) -> Points:
        made = np.empty((len(points), 2))
        made[:, 0] = points[:, 0] * self.cy + depth * self.sy
        made[:, 1] = points[:, 1] * self.cp + depth * self.sp
        return made

    def silhouette(self, points: Points, depth: float | Points) -> Points:
        """Outline points: a head is as deep as it is wide, so its outline does not narrow with the turn."""
        made = np.empty((len(points), 2))
        far = 0.5 * max(abs(self.sy) - 0.36, 0.0) * (1 if self.sy > 0 else -1)
        wide = (self.cy**2 + (1.06 * self.sy) ** 2) ** 0.5
        made[:, 0] = points[:, 0] * wide + (depth - 0.1) * self.sy + far
        made[:, 1] = points[:, 1] * self.cp + depth * self.sp
        return made

    def at(self, x: float, y: float, depth: float) -> tuple[float, float]:
        """One point."""
        return x * self.cy + depth * self.sy, y * self.cp + depth * self.sp


def outline(person: Person, aperture: float) -> tuple[Points, Points]:
    """Control points (N,2) of the head's outline and their depth (N,); an open mouth lowers the jaw."""
    p, drop = person, JAW_DROP * aperture
    points = mirror(
        (
            (0.0, p.skull),
            (0.5 * p.face_width, p.skull * 0.93),
            (0.9 * p.temple, p.skull * 0.66),
            (p.temple, -0.42),
            (p.face_width * (0.97 + 0.03 * p.cheekbones), 0.02),
            (p.face_width * 0.95 * (1 - 0.25) + p.jaw_width * 0.25, 0.3),
            (p.jaw_width, p.jaw_height + drop * 0.4),
            (p.chin_width + 0.34 * (p.jaw_width - p.chin_width), p.chin - 0.13 + drop * 0.9),
            (p.chin_width * 0.8, p.chin - 0.015 + drop),
            (0.0, p.chin + 0.01 + drop),
        )
    )
    depth = np.interp(points[:, 1], (p.skull, -0.4, 0.3, p.chin), (0.0, 0.02, 0.12, 0.42))
    return points, depth


@lru_cache(maxsize=96)
def _texture(person: Person, light: float, scale: float) -> NDArray[np.uint8]:
    """Skin of the head's front, (N,N,3) uint8 over ±TEXTURE_REACH: light, blush, freckles, moles, age."""
    half = TEXTURE_REACH
    n = round(2 * half * scale)
    axis = (np.arange(n) + 0.5) / scale - half
    x, y = np.meshgrid(axis, axis)
    skin = np.array(person.skin)
    bright = float(skin.mean()) / 255

    def spot(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.float64]:
        return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    edge = np.clip(np.sqrt((x / person.face_width) ** 2 + ((y + 0.05) / person.chin) ** 2), 0, 1.4)
    tone = 1.04 - 0.2 * edge**3 + 0.1 * light * x / person.face_width
    tone -= 0.06 * spot(0, person.chin + 0.1, 0.9, 0.22) - 0.05 * spot(0, -0.62, 0.5, 0.3)
    for side in (-1, 1):
        eye = side * person.eye_distance
        tone -= 0.11 * spot(eye, person.eye_height - 0.07, 0.26, 0.13)
        tone -= 0.10 * person.age * spot(eye, person.eye_height + 0.2, 0.2, 0.06)
        tone += 0.06 * spot(side * 0.5 * person.face_width, 0.2, 0.2, 0.16) * (0.4 + person.cheekbones)
        tone -= 0.1 * person.cheekbones * spot(side * 0.78 * person.face_width, 0.46, 0.16, 0.22)
    image = skin * tone[..., None]
    for side in (-1, 1):
        cheek = spot(side * 0.56 * person.face_width, 0.32, 0.24, 0.17)
        image += (cheek * person.blush * (0.3 + 0.7 * bright))[..., None] * (14, -18, -14)
    picture = np.clip(image, 0, 255).astype(np.uint8)
    canvas = Canvas(n, scale, (-half, -half))
    canvas.image = picture
    _marks(canvas, person)
    return canvas.image


def _marks(canvas: Canvas, person: Person) -> None:
    rng = np.random.default_rng(derive(person.seed, "skin"))
    dark: Colour = mix(person.skin, (70, 30, 20), 0.34)
    if person.freckles:
        for _ in range(round(46 * person.freckles)):
            x = rng.normal(0, 0.34)
            y = rng.normal(0.22, 0.11) + 0.1 * abs(x)
            canvas.dot((x, y), rng.uniform(0.014, 0.026), mix(person.skin, (150, 84, 50), 0.55))
    for x, y, radius in person.moles:
        canvas.dot((x * person.face_width, y), radius, (74, 44, 36))
    if person.age > 0.3:
        strength = (person.age - 0.3) / 0.7
        crease = mix(person.skin, dark, 0.35 + 0.65 * strength)
        for index in range(1 + round(2 * strength)):
            at = -0.5 - 0.12 * index
            canvas.line(
                smooth(
                    ((-0.4, at + 0.03), (-0.2, at - 0.02), (0, at), (0.2, at - 0.02), (0.4, at + 0.03)),
                    closed=False,
                ),
                crease,
                0.018 + 0.014 * strength,
            )
        for side in (-1, 1):
            fold = ((0.2, 0.3), (0.34, 0.44), (person.mouth_width + 0.1, person.mouth_height + 0.08))
            canvas.line(
                smooth([(side * a, b) for a, b in fold], closed=False), crease, 0.024 + 0.014 * strength
            )
            if strength > 0.3:
                corner = person.eye_distance + person.eye_width
                for lift in (-0.05, 0.0, 0.05):
                    canvas.line(
                        np.array(
                            [
                                (side * (corner + 0.05), person.eye_height + lift * 0.6),
                                (side * (corner + 0.15), person.eye_height + lift * 1.8),
                            ]
                        ),
                        crease,
                        0.014,
                    )


def draw_ears(canvas: Canvas, person: Person, turn: Turn, near: bool = False) -> None:
    """Ears behind the head; the far one hides with the turn, the near one comes to the front."""
    for side in (-1, 1):
        if near != (side * turn.sy < -0.3):
            continue
        x, y = turn.at(side * person.face_width * 0.98, person.ear_height + 0.08, -0.1)
        size = person.ear_size
        canvas.ellipse((x, y), (size * 0.62, size), shade(person.skin, 0.9), side * 0.16)
        canvas.ellipse(
            (x + side * 0.01, y), (size * 0.36, size * 0.66), shade(person.skin, 0.72), side * 0.16
        )
        if "earrings" in person.attributes["accessories"]:
            at = (x + side * 0.02, y + size + 0.07)
            canvas.dot(at, 0.105, (150, 104, 20))
            canvas.dot(at, 0.085, (252, 208, 66))
            canvas.dot((at[0] - 0.025, at[1] - 0.03), 0.03, (255, 246, 190))


def draw_head(canvas: Canvas, person: Person, pose: Pose, turn: Turn) -> None:
    """The head's outline, filled with the skin texture moved along with the turn."""
    points, depth = outline(person, pose.aperture)
    edge = smooth(turn.silhouette(points, depth))
    if canvas.labels:
        canvas.poly(edge, (0, 0, 0), "other")
        jaw = edge.copy()
        jaw[:, 1] = np.maximum(jaw[:, 1], turn.at(0, 0.34, 0.5)[1])
        canvas.poly(jaw, (0, 0, 0), "jaw")
        return
    half = TEXTURE_REACH
    pixels = canvas.to_pixels(edge)
    low = np.clip(np.floor(pixels.min(0)).astype(int) - 2, 0, canvas.pixels)
    high = np.clip(np.ceil(pixels.max(0)).astype(int) + 3, 0, canvas.pixels)
    if (high <= low).any():
        return
    base = abs(float(np.linalg.det(canvas.matrix))) ** 0.5
    texture = _texture(person, person.light, float(round(base)))
    # texture pixel -> head frame -> canvas pixel
    step = 2 * half / len(texture)
    stretch = np.diag([turn.cy, turn.cp]) * step
    shift = np.array([0.62 * turn.sy, 0.55 * turn.sp]) + np.array([turn.cy, turn.cp]) * (0.5 * step - half)
    linear = canvas.matrix @ stretch
    offset = canvas.matrix @ shift + canvas.offset - low
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    warp = np.column_stack([linear, offset])
    skin = cv2.warpAffine(texture, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.rint((pixels - low) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    region = canvas.image[low[1] : high[1], low[0] : high[0]]
    cv2.copyTo(skin, mask, region)
    canvas.line(edge, shade(person.skin, 0.7), 0.026, closed=True)


def draw_nose(canvas: Canvas, person: Person, turn: Turn) -> None:
    """Bridge, tip, wings and nostrils; the tip stands out most, so it moves most when the head turns."""
    p, skin = person, person.skin
    top = p.eye_height + 0.02
    base = top + p.nose_length
    side = 1 if p.light < 0 else -1
    w = p.nose_width
    bridge = np.array(
        [
            (side * p.nose_bridge, top),
            (side * (p.nose_bridge + 0.035), top + 0.5 * p.nose_length),
            (side * w * 0.98, base - 0.05),
            (side * w * 0.3, base + 0.01),
            (side * 0.03, top + 0.6 * p.nose_length),
        ]
    )
    canvas.poly(
        turn(smooth(bridge), np.interp(smooth(bridge)[:, 1], (top, base), (0.86, 1.12))), shade(skin, 0.86)
    )
    tip = turn.at(0, base - 0.07, 1.22)
    canvas.ellipse(tip, (w * (0.5 + 0.25 * p.nose_tip), 0.07 + 0.06 * p.nose_tip), shade(skin, 0.97))
    shine = (tip[0] - side * 0.02, tip[1] - 0.025)
    canvas.ellipse(shine, (0.045, 0.03), shade(skin, 1.16))
    crease = shade(skin, 0.62)
    for s in (-1, 1):
        wing = turn(
            smooth(
                ((s * w * 0.92, base - 0.13), (s * w * 1.1, base - 0.045), (s * w * 0.86, base + 0.02)),
                closed=False,
            ),
            0.98,
        )
        canvas.line(wing, crease, 0.026)
        canvas.ellipse(turn.at(s * w * 0.48, base + 0.005, 1.1), (w * 0.27, 0.032), shade(skin, 0.4))
    under = turn(
        smooth(((-w * 0.4, base + 0.02), (0, base + 0.04), (w * 0.4, base + 0.02)), closed=False), 1.12
    )
    canvas.line(under, shade(skin, 0.72), 0.02)
