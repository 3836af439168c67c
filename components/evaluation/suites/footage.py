"""Where a suite's clips come from: curated shards, a folder of videos, or files that are named one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import InputError
from components.core.files import read_parquet
from components.core.media import FPS, SAMPLE_RATE, Video, read_audio, read_image, read_video
from components.core.paths import Workspace, inside, require
from components.evaluation.suites.declaration import Clip, Curated, Folder, Group, Suite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PER_FRAME = SAMPLE_RATE // FPS


@dataclass(frozen=True)
class Footage:
    """picture (H,W,3) uint8; samples (640·T,) float32; frames, copy (T,H,W,3) uint8 at 25 fps or None: the
    real clip, and other footage of the person."""

    person: str
    framing: str
    delivery: str
    picture: NDArray[np.uint8]
    samples: NDArray[np.float32]
    frames: NDArray[np.uint8] | None
    copy: NDArray[np.uint8] | None
    pose: Path | None = None
    instruction: str | None = None
    prompt: str | None = None


def footage(suite: Suite, group: Group, workspace: Workspace, data: Path | None) -> list[Footage]:
    """The clips of a group, cut to the suite's length.

    Raises:
        InputError: there is none, or a file is missing or cannot be read.
    """
    if group.curated is not None:
        found = list(_curated(suite, group.curated, workspace))
    else:
        if data is None:
            raise InputError(f"suite {suite.name} reads files: say where they lie with --data FOLDER")
        files = _named(group.folder, data) if group.folder else group.clips
        found = [each for clip in files if (each := _of_files(suite, clip, data)) is not None]
    if not found:
        raise InputError(
            f"suite {suite.name}: no clip of {suite.least_seconds:g} s or more for a group {group.kind}"
        )
    return found


def at_25(video: Video) -> NDArray[np.uint8]:
    """Frames (T,H,W,3) of a video at 25 fps with even sides: at each moment the frame that is shown then."""
    import numpy as np

    times = video.times - video.times[0]
    last = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1 / FPS)
    count = max(1, int(round(last * FPS, 3)))
    shown = np.searchsorted(times, np.arange(count) / FPS + 1e-4, "right") - 1
    height, width = (side // 2 * 2 for side in video.frames.shape[1:3])
    return video.frames[np.clip(shown, 0, len(times) - 1), :height, :width]


def fitted(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Samples cut or padded with silence to (640·frames,)."""
    import numpy as np

    part = samples[: frames * PER_FRAME]
    return np.pad(part, (0, frames * PER_FRAME - len(part))).astype(np.float32)


def _curated(suite: Suite, wanted: Curated, workspace: Workspace) -> Iterator[Footage]:
    from components.avatar.clips import read_clip
    from components.storage.shards import read_shards

    stage = "syncdreamer stage curate"
    table = read_parquet(require(workspace.artifacts("curate", "manifest.parquet"), stage))
    kept = table[(table["decision"] == "keep") & table["has_sound"].fillna(0).astype(bool)]
    kept = kept.sort_values("clip_id", kind="stable")
    here = kept[(kept["split"] == wanted.split) & (kept["duration"] >= suite.least_seconds)]
    for column, values in (("framing", wanted.framings), ("delivery", wanted.deliveries)):
        here = here[here[column].isin(values)] if values else here
    first = here.drop_duplicates("identity")
    chosen = list(first["clip_id"]) + [clip for clip in here["clip_id"] if clip not in set(first["clip_id"])]
    chosen = chosen[: wanted.count]
    other = {
        clip: next(
            (o.clip_id for o in kept.itertuples() if (o.identity, o.framing) == who and o.clip_id != clip),
            None,
        )
        for clip in chosen
        for who in [tuple(here.set_index("clip_id").loc[clip, ["identity", "framing"]])]
    }
    needed = {*chosen, *filter(None, other.values())}
    clips = {
        sample.key: read_clip(sample)
        for sample in read_shards(require(workspace.artifacts("curate", "shards"), stage))
        if sample.key in needed
    }
    facts = here.set_index("clip_id")
    for clip_id in chosen:
        clip = clips.get(clip_id)
        if clip is None or clip.samples is None:
            raise InputError(f"clip {clip_id} of the manifest is in no shard of artifacts/curate")
        frames = clip.frames[: round(suite.seconds * FPS)]
        frame = require(
            workspace.artifacts("annotate", "frames", f"{clip_id}.png"), "syncdreamer stage annotate"
        )
        elsewhere = clips.get(other[clip_id] or "")
        yield Footage(
            clip.identity, clip.framing, str(facts.loc[clip_id, "delivery"]), read_image(frame),
            fitted(clip.samples, len(frames)), frames,
            _copy(frames, clip.frames if elsewhere is None else elsewhere.frames, elsewhere is None),
        )  # fmt: skip


def _copy(frames: NDArray[np.uint8], other: NDArray[np.uint8], same: bool) -> NDArray[np.uint8]:
    """Footage of the person that does not belong to the sound: another clip, repeated as needed, or the own
    one begun in its middle."""
    import numpy as np

    begin = len(other) // 2 if same else 0
    return other[(begin + np.arange(len(frames))) % len(other)]


def _named(wanted: Folder, data: Path) -> list[Clip]:
    paths = [path for path in sorted(data.glob(wanted.pattern)) if path.is_file()][: wanted.count]
    return [
        Clip(
            video=path.relative_to(data).as_posix(), person=path.stem, framing=wanted.framing,
            delivery=wanted.delivery,
        )
        for path in paths
    ]  # fmt: skip


def _of_files(suite: Suite, clip: Clip, data: Path) -> Footage | None:
    """None when the clip is shorter than the suite's least."""
    video = read_video(inside(data, clip.video)) if clip.video else None
    real = at_25(video) if video else None
    picture = read_image(inside(data, clip.image)) if clip.image else real[0]  # type: ignore[index]
    samples = read_audio(inside(data, clip.audio)) if clip.audio else video.samples  # type: ignore[union-attr]
    if samples is None:
        raise InputError(f"{clip.video}: no sound; a case needs speech")
    longest = [suite.seconds * FPS, len(samples) / PER_FRAME, *([len(real)] if real is not None else [])]
    frames = int(min(longest))
    if frames < suite.least_seconds * FPS:
        return None
    return Footage(
        clip.person, clip.framing, clip.delivery, picture, fitted(samples, frames),
        None if real is None else real[:frames],
        None if real is None else _copy(real[:frames], real, True),
        inside(data, clip.pose) if clip.pose else None, clip.instruction, clip.prompt,
    )  # fmt: skip
