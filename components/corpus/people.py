"""Who a synthetic person is: a face that differs from others in its geometry, and what the person wears."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from components.core import vocabulary
from components.core.seeds import derive

WORN = {"glasses": 0.3, "hat": 0.18, "earrings": 0.3, "headphones": 0.14}
"""How often an accessory is worn (the scarf goes with the clothes)."""
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
SKIN_TONES = (
    (251, 219, 196),
    (243, 203, 172),
    (232, 184, 146),
    (216, 164, 122),
    (194, 137, 96),
    (164, 109, 74),
    (129, 83, 56),
    (98, 62, 44),
)
IRIS_COLOURS = ((92, 58, 32), (120, 84, 40), (96, 118, 62), (70, 116, 168), (104, 128, 140), (58, 40, 26))


@dataclass(frozen=True)
class Person:
    """A face in face units (half the height of an average face; x right, y down, origin between the eyes
    and the mouth). Lengths are half-widths where that is natural. `attributes` is the static part of
    `core.vocabulary` (attire, hair, background, accessories, objects the person owns)."""

    seed: int
    # outline
    face_width: float
    skull: float
    chin: float
    temple: float
    jaw_width: float
    jaw_height: float
    chin_width: float
    ear_size: float
    ear_height: float
    neck_width: float
    shoulder: float
    # eyes and brows
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_open: float
    eye_slant: float
    eye_round: float
    iris_size: float
    iris: tuple[int, int, int]
    lid_fold: float
    lashes: float
    brow_gap: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_slant: float
    # nose and mouth
    nose_length: float
    nose_width: float
    nose_tip: float
    nose_bridge: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    cupid: float
    lip_colour: tuple[float, float, float]
    # skin and age
    skin: tuple[float, float, float]
    age: float
    blush: float
    freckles: float
    moles: tuple[tuple[float, float, float], ...]
    cheekbones: float
    beard: str
    feminine: bool
    # hair
    hair_volume: float
    hairline: float
    parting: float
    fringe: float
    # surroundings
    light: float
    background_seed: int
    attributes: dict[str, Any] = field(hash=False)


def sample_person(seed: int) -> Person:
    """The person of a seed; the same seed gives the same person everywhere."""
    rng = np.random.default_rng(derive(seed, "person"))

    def span(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    feminine = bool(rng.random() < 0.5)
    age = float(rng.beta(1.1, 1.6))
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    low = int(tone)
    high = min(low + 1, len(SKIN_TONES) - 1)
    skin = tuple(
        round(float(a + (b - a) * (tone - low) + rng.normal(0, 3)), 2)
        for a, b in zip(SKIN_TONES[low], SKIN_TONES[high], strict=True)
    )
    beard = "none" if feminine else str(rng.choice(BEARDS, p=(0.36, 0.14, 0.16, 0.14, 0.2)))
    lips = np.array(skin) * (0.66, 0.46, 0.45) + (58, 22, 26)
    if feminine and rng.random() < 0.6:
        lips = lips * 0.45 + np.array(((176, 42, 60), (196, 84, 96), (150, 40, 84))[rng.integers(3)]) * 0.55
    width = span(0.74, 0.97)
    moles = tuple(
        (
            round(float(rng.uniform(-0.62, 0.62)), 3),
            round(float(rng.uniform(-0.5, 0.85)), 3),
            span(0.022, 0.042),
        )
        for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.5, 0.25, 0.15, 0.1))))
    )
    return Person(
        seed=seed,
        face_width=width,
        skull=-span(1.12, 1.3),
        chin=span(0.96, 1.22),
        temple=round(width * span(0.86, 1.0), 4),
        jaw_width=round(width * span(0.66, 0.98 if not feminine else 0.88), 4),
        jaw_height=span(0.5, 0.68),
        chin_width=span(0.16, 0.46),
        ear_size=span(0.17, 0.32),
        ear_height=span(-0.08, 0.1),
        neck_width=span(0.4, 0.52) if feminine else span(0.48, 0.68),
        shoulder=span(1.36, 1.56) if feminine else span(1.5, 1.76),
        eye_distance=span(0.33, 0.47),
        eye_height=span(-0.24, -0.08),
        eye_width=span(0.17, 0.26),
        eye_open=span(0.5, 0.84),
        eye_slant=span(-0.2, 0.2),
        eye_round=span(0.55, 1.0),
        iris_size=span(0.46, 0.6),
        iris=IRIS_COLOURS[int(rng.integers(len(IRIS_COLOURS)))],
        lid_fold=span(0.0, 1.0),
        lashes=span(0.5, 1.0) if feminine else span(0.0, 0.3),
        brow_gap=span(0.15, 0.3),
        brow_thickness=span(0.03, 0.07) if feminine else span(0.045, 0.115),
        brow_length=span(1.05, 1.5),
        brow_arch=span(0.0, 0.09),
        brow_slant=span(-0.22, 0.1),
        nose_length=span(0.3, 0.52),
        nose_width=span(0.1, 0.23),
        nose_tip=span(0.0, 1.0),
        nose_bridge=span(0.03, 0.09),
        mouth_height=span(0.5, 0.62),
        mouth_width=span(0.25, 0.42),
        upper_lip=span(0.035, 0.085),
        lower_lip=span(0.055, 0.125),
        cupid=span(0.0, 1.0),
        lip_colour=tuple(round(float(v), 2) for v in lips),  # type: ignore[arg-type]
        skin=skin,  # type: ignore[arg-type]
        age=round(age, 4),
        blush=span(0.0, 1.0),
        freckles=span(0.4, 1.0) if rng.random() < 0.25 and tone < 4 else 0.0,
        moles=moles,
        cheekbones=span(0.0, 1.0),
        beard=beard,
        feminine=feminine,
        hair_volume=span(0.06, 0.24),
        hairline=span(-0.86, -0.6),
        parting=span(-0.6, 0.6),
        fringe=span(0.0, 1.0),
        light=span(-1.0, 1.0),
        background_seed=int(rng.integers(2**31)),
        attributes=_attributes(seed, feminine, age),
    )


def _attributes(seed: int, feminine: bool, age: float) -> dict[str, Any]:
    rng = np.random.default_rng(derive(seed, "attributes"))
    styles = vocabulary.HAIR_STYLES
    weights = (0.1, 0.34, 0.24, 0.28, 0.04) if feminine else (0.4, 0.16, 0.22, 0.06, 0.16)
    style = str(rng.choice(styles, p=weights))
    colours = np.array((0.24, 0.24, 0.2, 0.16, 0.16 if age > 0.35 else 0.04))
    colour = str(rng.choice(vocabulary.HAIR_COLOURS, p=colours / colours.sum()))
    hair = style if style == "bald" else f"{style} {colour}"
    worn = {name for name, share in WORN.items() if rng.random() < share}
    if style in ("bun", "bald"):
        worn.discard("hat")
    if "headphones" in worn:
        worn -= {"hat", "earrings"}
    return _settle({"hair": hair, "accessories": sorted(worn), **_outfit(rng)})


def _outfit(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "attire": f"{rng.choice(vocabulary.GARMENT_COLOURS)} {rng.choice(vocabulary.GARMENTS)}",
        "background": str(rng.choice(vocabulary.BACKGROUNDS)),
        "objects": [str(rng.choice(vocabulary.OBJECTS))],
        "scarf": bool(rng.random() < 0.2),
    }


def _settle(attributes: dict[str, Any]) -> dict[str, Any]:
    """Turns the draw of a scarf into an accessory where it hides no collar; sorts the accessories."""
    made = dict(attributes)
    scarf = made.pop("scarf", False)
    worn = set(made["accessories"]) - {"scarf"}
    if scarf and made["attire"].split(" ", 1)[1] in ("t-shirt", "jacket"):
        worn.add("scarf")
    made["accessories"] = [name for name in vocabulary.ACCESSORIES if name in worn]
    return made


def dress(person: Person, seed: int) -> Person:
    """The same face and hair in other clothes, before another background, with another object."""
    rng = np.random.default_rng(derive(person.seed, "dress", seed))
    attributes = _settle({**person.attributes, **_outfit(rng)})
    return replace(
        person,
        attributes=attributes,
        background_seed=int(rng.integers(2**31)),
        light=round(float(rng.uniform(-1, 1)), 4),
    )
