"""What each role needs from upstream: reference picture, sound, real video, another sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.core.errors import InputError
from components.core.files import read_json
from components.core.media import FPS, SAMPLE_RATE, read_image
from components.core.paths import Workspace, require
from components.evaluation.cast import Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


@dataclass(frozen=True)
class Take:
    """A real clip cut to the evaluated length and framed as the generator's training saw it: frames (T,S,S,3)
    uint8, samples (640·T,) float32."""

    clip_id: str
    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A role with its material. picture: (H,W,3) uint8 reference; portrait: (S,S,3) uint8, what the generator
    shows of it; take: the sentence's own clip; other: sound of the control."""

    role: Role
    picture: NDArray[np.uint8]
    portrait: NDArray[np.uint8]
    take: Take
    other: NDArray[np.float32]


def frame_count(seconds: float) -> int:
    """Frames of the evaluated length, cut to 4k+1, the lengths a causal video autoencoder knows."""
    return max(5, (round(seconds * FPS) - 1) // 4 * 4 + 1)


def takes(workspace: Workspace, wanted: Iterable[str], frames: int) -> dict[str, Take]:
    """The wanted clips, each decoded once from the curated shards and cut to `frames`.

    Raises:
        InputError: a clip is in no shard, has no sound or is too short.
    """
    from components.avatar.clips import read_clip
    from components.avatar.framing import framed
    from components.storage.shards import read_shards

    share, follow = framing(workspace)
    left = set(wanted)
    found: dict[str, Take] = {}
    for sample in read_shards(require(workspace.artifacts("curate", "shards"), "syncdreamer stage curate")):
        if sample.key in left:
            left.discard(sample.key)
            found[sample.key] = _cut(framed(read_clip(sample), share, follow), frames)
    if left:
        raise InputError(
            f"clips of the manifest are in no shard of artifacts/curate: {', '.join(sorted(left))}"
        )
    return found


def _cut(clip: CuratedClip, frames: int) -> Take:
    length = frames * SAMPLES_PER_FRAME
    if clip.samples is None:
        raise InputError(f"clip {clip.clip_id} has no sound; evaluation needs talking clips")
    if len(clip.frames) < frames or len(clip.samples) < length - SAMPLES_PER_FRAME:
        raise InputError(
            f"clip {clip.clip_id} has {len(clip.frames)} frames of {frames}; lower evaluate.seconds"
        )
    import numpy as np

    samples = clip.samples[:length]
    return Take(clip.clip_id, clip.frames[:frames], np.pad(samples, (0, length - len(samples))))


def scenes(workspace: Workspace, roles: list[Role], clips: dict[str, Take]) -> list[Scene]:
    """The roles with their material.

    Raises:
        InputError: a reference frame of the annotate stage is missing.
    """
    from components.avatar.portrait import frame_portrait

    folder, share = workspace.artifacts("annotate", "frames"), framing(workspace)[0]
    made = []
    for role in roles:
        picture = read_image(require(folder / f"{role.reference}.png", "syncdreamer stage annotate"))
        portrait = frame_portrait(picture, share).square
        made.append(Scene(role, picture, portrait, clips[role.sound], clips[role.other].samples))
    return made


def framing(workspace: Workspace) -> tuple[float, bool]:
    """The face's share of a close-up's height in the trained pipeline, and whether heads are held still."""
    from components.avatar.pipeline_files import ENCODERS

    pipeline = workspace.artifacts("train_stage2", "pipeline")
    settings = read_json(require(pipeline / ENCODERS, "syncdreamer stage train_stage2"))
    return float(settings["face_share"]), bool(settings.get("follow", False))
