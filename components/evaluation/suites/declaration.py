"""A suite as it is declared: groups of clips of one kind, their instructions, what is mixed in, seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from components.core.errors import InputError
from components.core.params import Params
from components.evaluation.peers.declaration import read_yaml, validated

FOLDER = Path(__file__).parent / "declarations"
KINDS = (
    "portrait", "in_the_wild", "full_body", "singing_upper_body", "singing_full_body", "noisy_audio",
    "overlapping_audio", "vague_prompt",
)  # fmt: skip


class Curated(Params):
    """Clips that curation kept."""

    split: Literal["test", "val", "train"] = "test"
    framings: tuple[str, ...] = Field((), description="empty: any")
    deliveries: tuple[str, ...] = Field((), description="empty: any")
    count: int = Field(4, ge=1, description="at most; different people first")


class Folder(Params):
    """Talking videos in a folder below the data root: portrait = first frame, sound = own sound."""

    pattern: str = Field(description="glob below the data root")
    count: int = Field(20, ge=1, description="at most, in the order of names")
    framing: str = "close-up"
    delivery: str = "speech"


class Clip(Params):
    """Files below the data root. With `video`, portrait and sound default to its own."""

    image: str | None = None
    audio: str | None = None
    video: str | None = Field(None, description="the real clip: ground truth and driving video")
    pose: str | None = Field(None, description="pose video for peers that want one")
    person: str = "unknown"
    instruction: str | None = None
    prompt: str | None = Field(None, description="given as it stands, not enhanced")
    framing: str = "close-up"
    delivery: str = "speech"

    @model_validator(mode="after")
    def _enough(self) -> Clip:
        if not self.video and not (self.image and self.audio):
            raise ValueError("a clip needs a video, or an image and an audio")
        return self


class Group(Params):
    """Cases of one kind."""

    kind: Literal[KINDS]  # type: ignore[valid-type]
    curated: Curated | None = None
    folder: Folder | None = None
    clips: tuple[Clip, ...] = ()
    instructions: tuple[str, ...] = Field(
        ("talk naturally",), min_length=1, description="one a case, in turn, where a clip has none"
    )
    language: str = "en"
    noise_snr_db: tuple[float, ...] = Field(
        (), description="speech over noise; every clip once at each level"
    )
    overlap_db: float | None = Field(None, description="level of another speaker over the speech, mixed in")

    @model_validator(mode="after")
    def _one_source(self) -> Group:
        if sum((self.curated is not None, self.folder is not None, bool(self.clips))) != 1:
            raise ValueError("a group takes one of curated, folder, clips")
        return self


class Suite(Params):
    """What systems are compared on."""

    title: str
    name: str = Field(pattern="^[a-z0-9_-]+$")
    seconds: float = Field(5.0, ge=1, le=60, description="longest case; shorter clips stay as they are")
    least_seconds: float = Field(1.0, ge=1, description="shorter clips are left out")
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    groups: tuple[Group, ...] = Field(min_length=1)

    @property
    def uses_data(self) -> bool:
        """Whether it reads files of a data root."""
        return any(group.curated is None for group in self.groups)


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or one of your own by its file's path.

    Raises:
        InputError: there is none, or it does not fit; the message lists the shipped ones, or file and key.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not path.exists():
            shipped = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
            raise InputError(f"no suite {name!r}: name one of {shipped}, or give a .yaml file")
    return validated(Suite, {"name": path.stem} | read_yaml(path), path.name)
