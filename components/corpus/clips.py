"""One clip of one person: what is said, how it is shown, and the whole truth about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE
from components.core.seeds import derive
from components.core.vocabulary import FRAMINGS, HAND_ACTIONS, HEAD_ACTIONS
from components.corpus.motion import ActionInterval, pose_track
from components.corpus.people import Person, dress, sample_person
from components.corpus.pose import Pose, attributes_of
from components.corpus.render import SIZES, render
from components.corpus.speech import Speech, sentence, synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SECONDS = (5.0, 8.0)
"""Shortest and longest clip when no length is asked for."""
LEAD, PAUSE = 0.16, 0.28
"""Silence before the first sentence and between two, seconds."""


@dataclass(frozen=True)
class Clip:
    """frames (T,H,W,3) uint8 at 25 fps, samples (T·640,) float32 at 16 kHz, and all that is true."""

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]
    truth: dict[str, Any]


def spoken(
    person: Person, seed: int, delivery: str, pool: str, seconds: float | None, text: str | None
) -> Speech:
    """Sentences of a pool in the person's voice that last `seconds`, or 5–8 s when that is None."""
    rng = np.random.default_rng(derive(seed, "spoken", person.seed))
    low, high = SECONDS if seconds is None else (seconds, float("inf"))
    parts: list[Speech] = []
    total = LEAD
    for index in range(64):
        words = (
            text
            if text is not None
            else sentence(derive(seed, "sentence", index), pool, short=index % 2 == 1)
        )
        part = synthesise(words, person.seed, delivery, person.feminine)
        after = total + part.seconds + PAUSE
        if parts and seconds is None and after > high:
            continue
        parts.append(part)
        total = after
        if total >= low or text is not None:
            break
    speech = join(parts)
    if seconds is not None:
        return trim(speech, seconds)
    return trim(speech, min(max(speech.seconds + float(rng.uniform(0.04, 0.3)), low), high))


def join(parts: Sequence[Speech]) -> Speech:
    """One utterance out of several, with pauses; phonemes only if all parts have them."""
    sound = [np.zeros(round(LEAD * SAMPLE_RATE), np.float32)]
    phonemes: list[tuple[float, float, str]] = []
    at = LEAD
    for part in parts:
        sound += [part.samples, np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)]
        if part.phonemes is not None:
            phonemes += [(round(a + at, 4), round(b + at, 4), symbol) for a, b, symbol in part.phonemes]
        at = sum(map(len, sound)) / SAMPLE_RATE
    known = all(part.phonemes is not None for part in parts)
    return Speech(
        np.concatenate(sound),
        tuple(phonemes) if known else None,
        " ".join(part.text for part in parts),
        parts[0].delivery,
    )


def trim(speech: Speech, seconds: float) -> Speech:
    """Cuts (with a short fade) or pads with silence to `seconds`."""
    count = round(seconds * SAMPLE_RATE)
    samples = np.zeros(count, np.float32)
    kept = min(count, len(speech.samples))
    samples[:kept] = speech.samples[:kept]
    if kept < len(speech.samples):
        fade = min(480, kept)
        samples[kept - fade : kept] *= np.linspace(1, 0, fade, dtype=np.float32)
    phonemes = speech.phonemes
    if phonemes is not None:
        phonemes = tuple((a, min(b, seconds), symbol) for a, b, symbol in phonemes if a < seconds)
    return replace(speech, samples=samples, phonemes=phonemes)


def mood_of(rng: np.random.Generator, delivery: str, framing: str) -> Pose:
    """What a clip's person keeps up throughout: an expression, now and then an object in the hand."""
    holding = bool(rng.random() < (0.2 if framing == "close-up" else 0.3))
    kind = rng.random()
    if delivery == "emotional":
        if kind < 0.4:
            return Pose(smile=0.85, holding=holding)
        return Pose(smile=-0.85, holding=holding) if kind < 0.7 else Pose(brow=0.85, holding=holding)
    if kind < 0.2:
        return Pose(smile=0.75, holding=holding)
    return Pose(smile=float(rng.uniform(-0.1, 0.2)), holding=holding)


def draw_actions(rng: np.random.Generator, seconds: float, framing: str) -> list[ActionInterval]:
    """None to two actions, one after the other."""
    wide = framing != "close-up"
    count = int(rng.choice(3, p=(0.1, 0.5, 0.4) if wide else (0.4, 0.45, 0.15)))
    length = seconds / max(count, 1)
    made = []
    for index in range(count):
        names = HAND_ACTIONS if wide and rng.random() < 0.6 else HEAD_ACTIONS
        lasts = float(rng.uniform(1.4, min(2.4, max(length - 0.4, 1.5))))
        start = index * length + float(rng.uniform(0.2, max(length - lasts - 0.1, 0.25)))
        made.append(
            ActionInterval(str(rng.choice(names)), round(start, 3), round(min(start + lasts, seconds), 3))
        )
    return made


def make_clip(
    person_seed: int,
    clip_seed: int,
    *,
    framing: str = "close-up",
    delivery: str = "speech",
    pool: str = "other",
    seconds: float | None = None,
    size: int | None = None,
    actions: Sequence[ActionInterval] | None = None,
    text: str | None = None,
    speech: Speech | None = None,
    mood: Pose | None = None,
    calm: float = 1.0,
) -> Clip:
    """A clip of the person of `person_seed`; clothes, place, words and motion come from `clip_seed`.

    Args:
        seconds: exact length; None gives 5–8 s by what is said.
        size: side in pixels; None takes `render.SIZES` of the framing.
        speech: said instead of sentences of `pool` (a recording, for example).

    Raises:
        InputError: an unknown framing, delivery, pool or action, or no time at all.
    """
    if framing not in FRAMINGS:
        raise InputError(f"framing {framing!r} is none of {', '.join(FRAMINGS)}")
    if seconds is not None and seconds < 1 / FPS:
        raise InputError(f"a clip of {seconds} s has no frame")
    person = dress(sample_person(person_seed), clip_seed)
    rng = np.random.default_rng(derive(clip_seed, "clip", person_seed))
    said = speech if speech is not None else spoken(person, clip_seed, delivery, pool, seconds, text)
    frames = round((seconds if seconds is not None else said.seconds) * FPS)
    said = trim(said, frames / FPS)
    held = mood_of(rng, said.delivery, framing) if mood is None else mood
    acts = draw_actions(rng, frames / FPS, framing) if actions is None else list(actions)
    poses = pose_track(person, said, frames, acts, clip_seed, calm=calm, mood=held)
    side = size or SIZES[framing]
    pictures = np.stack([render(person, pose, side, framing) for pose in poses])
    return Clip(pictures, said.samples, truth_of(person, clip_seed, said, poses, acts, framing, pool, side))


def truth_of(
    person: Person,
    clip_seed: int,
    speech: Speech,
    poses: list[Pose],
    actions: Sequence[ActionInterval],
    framing: str,
    pool: str,
    size: int,
) -> dict[str, Any]:
    """Everything exact about a clip, as plain values. Tracks hold one number a frame."""
    seen = [attributes_of(person, pose, framing) for pose in poses]
    usual = {
        name: Counter(str(row[name]) for row in seen).most_common(1)[0][0]
        for name in seen[0]
        if isinstance(seen[0][name], str)
    }

    def track(name: str) -> list[float]:
        return [round(float(getattr(pose, name)), 4) for pose in poses]

    return {
        "person": person.seed,
        "clip_seed": clip_seed,
        "framing": framing,
        "delivery": speech.delivery,
        "pool": pool,
        "text": speech.text,
        "fps": FPS,
        "n_frames": len(poses),
        "seconds": round(len(poses) / FPS, 4),
        "size": size,
        "phonemes": None if speech.phonemes is None else [list(row) for row in speech.phonemes],
        "aperture": track("aperture"),
        "mouth_width": track("mouth_width"),
        "head": {name: track(name) for name in ("yaw", "pitch", "roll", "lean", "forward")},
        "gaze": {name: track(name) for name in ("gaze_x", "gaze_y")},
        "blink": track("blink"),
        "expression": {name: track(name) for name in ("smile", "brow")},
        "hands": {
            name: [None if getattr(pose, name) is None else list(getattr(pose, name)) for pose in poses]
            for name in ("left_hand", "right_hand")
        },
        "holding": poses[0].holding,
        "objects": list(seen[0]["objects"]),
        "accessories": list(seen[0]["accessories"]),
        "attributes": usual,
        "actions": [row._asdict() for row in actions],
        "fault": None,
        "expected": {"outcome": "keep", "reason": ""},
    }
