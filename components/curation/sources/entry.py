"""What every reader lists, and the `source.yaml` that says what may be done with a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from components.core.errors import InputError
from components.core.params import Params


class SourceCard(Params):
    """The content of `source.yaml`."""

    name: str = Field(min_length=1, description="Name of the source, unique in a run.")
    licence: str = Field(min_length=1, description="Licence, e.g. an SPDX identifier.")
    consent: bool = Field(description="Whether the people shown agreed to this use.")
    split: Literal["auto", "test"] = Field("auto", description="test: held out; auto: train and validation.")
    description: str = Field("", description="What it is, for people.")
    identity: Literal["from_faces"] = Field("from_faces", description="How people are told apart.")
    audio: Literal["required", "none"] = Field(
        "required", description="none: the set is published without sound."
    )
    delivery: Literal["from_audio", "speech", "emotional", "singing", "performance"] = Field(
        "from_audio", description="A label that holds for the whole source, or from_audio."
    )
    language: str = Field("", description="Language of the whole source, where it is one: for the data card.")
    url: str = Field("", description="Where it was published.")


@dataclass(frozen=True)
class Crop:
    """A rectangle in the pixels of a video that is `of_height` pixels high (as the source measured it)."""

    left: int
    top: int
    width: int
    height: int
    of_height: int

    def at(self, height: int | None) -> tuple[int, int, int, int]:
        """(left, top, width, height) in a video of `height` pixels."""
        factor = (height or self.of_height) / self.of_height
        left, top, width, tall = (
            round(side * factor) for side in (self.left, self.top, self.width, self.height)
        )
        return left, top, width, tall


@dataclass(frozen=True)
class Entry:
    """One file of a source, or a time span of it.

    `path` is absolute; `start` and `end` are seconds inside the file (`end` None: to its end), or `frames`
    names the span as first frame and frame after the last, where the source counts frames; `source_video`
    names the recording it was cut from, so that all its clips stay in one split; `split` overrides
    the card's; `crop` is the part of the picture that the source means; `language` overrides the card's.
    """

    path: Path
    source_video: str
    card: SourceCard
    start: float = 0.0
    end: float | None = None
    caption: str | None = None
    frames: tuple[int, int] | None = None
    crop: Crop | None = None
    split: Literal["auto", "test"] | None = None
    language: str | None = None


@dataclass(frozen=True)
class Missing:
    """A video that a source names and the disk lacks: where it is looked for, and where it was published."""

    file: str
    url: str


@dataclass(frozen=True)
class Malformed:
    """A line of a source's lists that cannot be used (the others are): file below the source, line from 1."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Listing:
    """What a reader found in one source."""

    card: SourceCard
    entries: list[Entry] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)


def read_card(folder: Path) -> SourceCard:
    """Reads `source.yaml` of a source folder.

    Raises:
        InputError: it is missing, is not YAML, or a field is missing, unknown or of the wrong kind.
    """
    import yaml

    path = folder / "source.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; every source needs one with name, licence, consent and split"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold fields such as name, licence, consent and split")
    try:
        return SourceCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "file"
        raise InputError(f"{path}: {field}: {first['msg']}") from error
