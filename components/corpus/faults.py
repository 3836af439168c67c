"""The faults of real footage, put into clean clips, and what curation is expected to make of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, SAMPLE_RATE, encode_video
from components.core.seeds import derive
from components.corpus.backgrounds import background
from components.corpus.canvas import SUPERSAMPLING, Canvas
from components.corpus.clips import Clip, make_clip, spoken
from components.corpus.people import dress, sample_person
from components.corpus.pose import Pose
from components.corpus.render import draw_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAULTS: dict[str, tuple[str, str]] = {
    "offset": ("repair", "offset"),
    "frame_rate": ("repair", "frame_rate"),
    "variable_rate": ("repair", "frame_rate"),
    "hard_cut": ("cut", "hard_cut"),
    "two_people": ("reject", "two_people"),
    "no_face": ("reject", "no_face"),
    "blur": ("reject", "blur"),
    "silence": ("reject", "silence"),
    "second_voice": ("reject", "second_voice"),
    "too_short": ("reject", "too_short"),
    "truncated": ("reject", "truncated"),
    "corrupt": ("reject", "corrupt"),
    "no_audio": ("reject", "no_audio"),
    "clipped_audio": ("reject", "clipped_audio"),
    "duplicate": ("reject", "duplicate"),
    "tiny_face": ("reject", "tiny_face"),
    "profile": ("reject", "profile"),
    "dubbed": ("reject", "sync"),
}
"""Kind → (expected outcome, expected reason)."""
CRF = 18
AUDIO_BITRATE = 48_000
TOO_SHORT_SECONDS = 1.48
SCENE_SECONDS = 3.6
"""Length of either scene of a hard cut."""
PROFILE_YAW = 1.0
"""Radians; the detector still finds the face, the mesh (which underrates turns) says 25 to 45 degrees."""


@dataclass(frozen=True)
class Made:
    """A finished file: its bytes and its truth."""

    data: bytes
    truth: dict[str, Any]


def encoded(clip: Clip) -> Made:
    """A clean clip as an mp4."""
    return Made(encode_video(clip.frames, clip.samples, crf=CRF, audio_bitrate=AUDIO_BITRATE), clip.truth)


def apply_fault(
    kind: str,
    person_seed: int,
    clip_seed: int,
    *,
    pool: str = "other",
    delivery: str = "speech",
    other_seed: int | None = None,
    seconds: float | None = None,
) -> Made:
    """A close-up of a person with one fault in it.

    Args:
        kind: one of `FAULTS`. A duplicate is the same clip encoded again at another size and quality.
        other_seed: the second person or voice, where the fault has one.
        seconds: length of the clip (5–8 s by what is said when None); some faults have their own.

    Raises:
        InputError: the kind is unknown.
    """
    if kind not in FAULTS:
        raise InputError(f"fault {kind!r} is none of {', '.join(FAULTS)}")
    rng = np.random.default_rng(derive(clip_seed, "fault", kind, person_seed))
    other = other_seed if other_seed is not None else derive(person_seed, "other person") % 2**31
    how_made: dict[str, Any] = {"pool": pool, "delivery": delivery, "seconds": seconds}
    if kind in ("two_people", "tiny_face", "profile", "hard_cut"):
        how_made |= {"mood": Pose(), "actions": ()}
    if kind == "profile":
        how_made |= {
            "mood": Pose(yaw=PROFILE_YAW * float(rng.choice((-1, 1)))),
            "calm": 0.15,
            "delivery": "speech",
        }
    elif kind == "hard_cut":
        how_made |= {"seconds": SCENE_SECONDS, "delivery": "speech"}
    elif kind == "too_short":
        how_made["seconds"] = TOO_SHORT_SECONDS
    clip = make_clip(person_seed, clip_seed, **how_made)
    details: dict[str, Any] = {}
    how: dict[str, Any] = {"crf": CRF, "audio_bitrate": AUDIO_BITRATE}
    frames, samples = clip.frames, clip.samples

    if kind == "offset":
        shift = int(rng.integers(4, 11)) * int(rng.choice((-1, 1)))
        samples = shifted(samples, shift)
        details["offset_frames"] = shift
    elif kind == "frame_rate":
        how["fps"] = 30
        frames = resampled(frames, 30)
    elif kind == "variable_rate":
        kept, times = jittered(len(frames), rng)
        frames, how["times"] = frames[kept], times
    elif kind == "hard_cut":
        seed = derive(clip_seed, "second scene")
        scene = {"framing": "upper body", "size": frames.shape[1], "seconds": SCENE_SECONDS}
        second = make_clip(person_seed, seed, pool=pool, mood=Pose(), actions=(), **scene)
        frames = np.concatenate([frames, second.frames])
        samples = np.concatenate([samples, second.samples])
        details = {"cut_seconds": SCENE_SECONDS, "second": second.truth}
    elif kind in ("two_people", "tiny_face"):
        frames = _restaged(clip, kind, other)
    elif kind == "no_face":
        person = dress(sample_person(person_seed), clip_seed)
        frames = _scenery(
            person.attributes["background"], person.background_seed, len(frames), frames.shape[1]
        )
    elif kind == "blur":
        sigma = float(rng.uniform(2.3, 2.8)) * frames.shape[1] / 128
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
        details["sigma_px"] = round(sigma, 3)
    elif kind == "silence":
        samples = rng.normal(0, 4e-4, len(samples)).astype(np.float32)
    elif kind in ("second_voice", "dubbed"):
        samples = _revoiced(clip, kind, other, clip_seed, pool)
    elif kind == "no_audio":
        samples = None  # type: ignore[assignment]
    elif kind == "clipped_audio":
        samples = np.clip(samples * 14, -1, 1)
    elif kind == "duplicate":
        half = cv2.INTER_AREA
        frames = np.stack([cv2.resize(frame, (112, 112), interpolation=half) for frame in frames])
        how |= {"crf": CRF + 4, "audio_bitrate": 40_000}

    data = encode_video(frames, samples, **how)
    if kind == "truncated":
        data = data[: round(len(data) * float(rng.uniform(0.45, 0.7)))]
    elif kind == "corrupt":
        noise = rng.integers(0, 256, len(data), dtype=np.uint8).tobytes()
        data = data[:64] + noise[64:]
    outcome, reason = FAULTS[kind]
    expected = {"outcome": outcome, "reason": reason, **{k: v for k, v in details.items() if k != "second"}}
    truth = {**clip.truth, "fault": kind, "expected": expected, "fault_details": details}
    if kind == "no_face":
        truth["person"] = None
    elif kind == "tiny_face":
        truth["attributes"] = {**truth["attributes"], "background": "studio"}
    return Made(data, truth)


def shifted(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Sound `frames` frames later (positive) or earlier, padded with silence, same length."""
    step = frames * SAMPLE_RATE // FPS
    made = np.zeros_like(samples)
    if step >= 0:
        made[step:] = samples[: len(samples) - step]
    else:
        made[:step] = samples[-step:]
    return made


def resampled(frames: NDArray[np.uint8], fps: int) -> NDArray[np.uint8]:
    """The same seconds at another constant rate, by the nearest frame."""
    count = round(len(frames) / FPS * fps)
    return frames[np.minimum(np.arange(count) * FPS // fps, len(frames) - 1)]


def jittered(count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Drops a third of the frames here and there: kept indices and their times in seconds (from 0)."""
    keep = rng.random(count) > 0.34
    keep[0] = keep[-1] = True
    kept = np.flatnonzero(keep)
    return kept, np.array([float(Fraction(int(index), FPS)) for index in kept])


def _stage(clip: Clip) -> tuple[Any, list[Pose]]:
    truth = clip.truth
    person = dress(sample_person(truth["person"]), truth["clip_seed"])
    tracks = {**truth["head"], **truth["gaze"], **truth["expression"]}
    tracks |= {name: truth[name] for name in ("aperture", "mouth_width", "blink")}
    return person, [Pose(**{k: v[index] for k, v in tracks.items()}) for index in range(truth["n_frames"])]


def _restaged(clip: Clip, kind: str, other: int) -> NDArray[np.uint8]:
    """The clip's person beside a listener, or far away."""
    person, poses = _stage(clip)
    size = clip.frames.shape[1]
    pixels = size * SUPERSAMPLING
    # a far person before a plain place: among many things some look more like a face than a far face does
    kind_of_place = "studio" if kind == "tiny_face" else person.attributes["background"]
    place = background(kind_of_place, person.background_seed, pixels)
    listener = dress(sample_person(other), clip.truth["clip_seed"])
    height, top = {"two_people": (4.6, -2.1), "tiny_face": (14.0, -7.0)}[kind]
    made = []
    for pose in poses:
        canvas = Canvas(pixels, pixels / height, (-height / 2, top))
        canvas.image = place.copy()
        if kind == "tiny_face":
            draw_figure(canvas, person, pose, "full body")
        else:
            quiet = replace(
                pose, yaw=-pose.yaw * 0.8, pitch=pose.pitch * 0.6, aperture=0.0, mouth_width=0.0, smile=0.2
            )
            # two figures side by side: the picture is moved, not the people
            for figure, how, across in ((listener, quiet, 1.15), (person, pose, -1.15)):
                part = Canvas(pixels, pixels / height, (-height / 2 - across, top))
                part.image = canvas.image
                draw_figure(part, figure, how, "close-up")
        made.append(cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(made)


def _scenery(kind: str, seed: int, count: int, size: int) -> NDArray[np.uint8]:
    """A slow pan over a place without people."""
    wide = background(kind, seed, round(size * 1.3))
    room = len(wide) - size
    made = []
    for index in range(count):
        x = room * index / max(count - 1, 1)
        matrix = np.array([[1, 0, -x], [0, 1, -room / 2]])
        made.append(cv2.warpAffine(wide, matrix, (size, size), flags=cv2.INTER_LINEAR))
    return np.stack(made)


def _revoiced(clip: Clip, kind: str, other: int, seed: int, pool: str) -> NDArray[np.float32]:
    """Another voice takes over after 45% of the time, or (dubbed) other words in the same voice."""
    person = dress(sample_person(clip.truth["person"]), seed)
    seconds = len(clip.samples) / SAMPLE_RATE
    if kind == "dubbed":
        return spoken(person, derive(seed, "dubbed"), "speech", pool, seconds, None).samples
    stranger = replace(sample_person(other), feminine=not person.feminine)
    voice = spoken(stranger, derive(seed, "second voice"), "speech", pool, seconds, None).samples
    made = clip.samples.copy()
    at = round(0.45 * len(made))
    made[at:] = voice[: len(made) - at]
    return made
