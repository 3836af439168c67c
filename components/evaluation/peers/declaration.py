"""What the harness must know of a peer: how it is called, what it wants, where its video lands, its limits.

One YAML file a peer in `declarations/`, read from the peer's own code. Text in braces is filled in:
{image} {audio} {still} {driving} {pose} {prompt} are a case's inputs, {id} its name, {seed} and {frames}
numbers, {work} and {out} the run's folders, {repository} the peer's checkout, {files.NAME} a declared input
file; {image_stem}, {audio_stem}, {driving_stem}, {pose_stem} file names without ending.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from components.core.errors import InputError
from components.core.params import Params

FOLDER = Path(__file__).parent / "declarations"
Kind = Literal["image", "audio", "still", "driving", "pose", "prompt"]
PATHS = ("image", "audio", "still", "driving", "pose")
PLACES = {
    *PATHS, *(f"{name}_stem" for name in PATHS), "prompt", "id", "seed", "frames", "work", "out",
    "repository",
}  # fmt: skip
_BRACES = re.compile(r"\{([a-z_.]+)(:int)?\}")


class InputFile(Params):
    """A file that is written for the peer before it starts."""

    name: str = Field(pattern="^[a-z]+$", description="how arguments call it: {files.NAME}")
    file: str = Field(description="its path, with placeholders")
    format: Literal["text", "yaml", "csv", "copy"] = Field(
        description="csv: one row, with byte-order mark and CRLF; yaml: over `base`, keys replaced"
    )
    content: Any = Field(description="text, mapping, or (copy) the file to copy; placeholders are filled in")
    base: str | None = Field(None, description="YAML file in the peer's repository that `content` goes over")


class Panel(Params):
    """The part of the picture that is the result, where a peer writes several side by side."""

    columns: int = Field(ge=2)
    column: int = Field(ge=0, description="0 is the leftmost")
    padding: int = Field(0, ge=0, description="pixels around and between the columns")


class Output(Params):
    """Where the video lands."""

    pattern: str = Field(description="glob with placeholders; of several new files the newest counts")
    exclude: str | None = Field(None, description="names (glob) that are not the result")
    panel: Panel | None = None
    lead_s: float = Field(0.0, ge=0, description="seconds before the sound's begin that are cut off")


class Limits(Params):
    """What a peer can do. A case beyond `languages` is not run; a longer one is cut, and that is told."""

    frames: int | None = Field(None, ge=1, description="most frames; None: as long as the sound")
    fps: float = Field(25, gt=0, description="its frame rate")
    aspect: Literal["any", "square"] = "any"
    face_share: float = Field(0.6, gt=0, le=1, description="height of the face in a square portrait")
    languages: tuple[str, ...] = Field((), description="of the speech; empty: any")


class Seed(Params):
    """Whether the suite's seed reaches the peer: by argument, by file, fixed in its code, or not at all."""

    how: Literal["argument", "file", "fixed", "none"]
    value: int | None = None

    @property
    def ours(self) -> bool:
        """Whether another seed gives another video on purpose; else one run a case is enough."""
        return self.how in ("argument", "file")


class Peer(Params):
    """A declaration."""

    name: str = Field(pattern="^[a-z0-9_]+$")
    title: str
    source: str = Field(description="where its code is published")
    command: tuple[str, ...] = Field(
        min_length=1, description="argument list; `python` and other programs are the installation's own"
    )
    environment: dict[str, str] = Field({}, description="variables that its own scripts set")
    reads: tuple[Kind, ...] = Field(description="inputs of a case that it must have")
    files: tuple[InputFile, ...] = ()
    output: Output
    limits: Limits = Limits()
    seed: Seed
    note: str = ""

    @model_validator(mode="after")
    def _known_places(self) -> Peer:
        """Every placeholder must be known, and used inputs declared in `reads`."""
        known = PLACES | {f"files.{each.name}" for each in self.files}
        used = set().union(
            *(placeholders(each) for each in self.command),
            placeholders(self.output.pattern),
            *(placeholders(each.file) | placeholders(each.content) for each in self.files),
        )
        if unknown := sorted(used - known):
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known are {', '.join(sorted(known))}")
        needs = {name.removesuffix("_stem") for name in used} & {*PATHS, "prompt"}
        if missing := sorted(needs - set(self.reads)):
            raise ValueError(f"{{{missing[0]}}} is used but not in `reads`")
        return self


class Installation(Params):
    """Where a peer is on this machine (a section of the installations file)."""

    repository: str = Field(description="its checkout")
    python: str = Field(description="interpreter of its own environment")
    environment: dict[str, str] = Field({}, description="variables for it, over the declaration's")
    arguments: tuple[str, ...] = Field((), description="appended to its arguments, e.g. where weights lie")
    limit_minutes: float = Field(60, gt=0, description="a run that takes longer is ended, whole group")


def placeholders(value: Any) -> set[str]:
    """Names in braces anywhere in a text, list or mapping (keys too)."""
    if isinstance(value, str):
        return {match[1] for match in _BRACES.finditer(value)}
    if isinstance(value, Mapping):
        return set().union(*(placeholders(each) for pair in value.items() for each in pair))
    if isinstance(value, (list, tuple)):
        return set().union(*map(placeholders, value))
    return set()


def filled(value: Any, places: Mapping[str, str]) -> Any:
    """`value` with every {name} replaced, once: braces inside a prompt stay. {name:int} alone is a number."""
    if isinstance(value, str):
        whole = _BRACES.fullmatch(value)
        if whole and whole[2]:
            return int(places[whole[1]])
        return _BRACES.sub(lambda match: places[match[1]], value)
    if isinstance(value, Mapping):
        return {filled(key, places): filled(each, places) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(each, places) for each in value]
    return value


def load_peers(folder: Path = FOLDER) -> dict[str, Peer]:
    """Every declaration in `folder` by name (the file's).

    Raises:
        InputError: a file is not YAML or not a declaration; the message names file and key.
    """
    return {path.stem: _read(path, Peer, {"name": path.stem}) for path in sorted(folder.glob("*.yaml"))}


def chosen(names: list[str], peers: Mapping[str, Peer]) -> list[Peer]:
    """The peers called `names`.

    Raises:
        InputError: one is unknown; the message lists those that exist.
    """
    for name in names:
        if name not in peers:
            raise InputError(f"no peer is called {name!r}; there are: {', '.join(peers)}")
    return [peers[name] for name in names]


def load_installations(path: Path) -> dict[str, Installation]:
    """Peer name → installation, from a YAML file; empty if there is none.

    Raises:
        InputError: the file is not YAML, or a section or key does not fit.
    """
    if not path.exists():
        return {}
    sections = read_yaml(path)
    made = {}
    for name, section in sections.items():
        made[str(name)] = validated(Installation, section, f"{path.name}: {name}")
    return made


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        InputError: the file is missing, not YAML, or not a mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no mapping")
    return content


def validated(model: type[Any], values: Any, where: str) -> Any:
    """An instance of a parameter model.

    Raises:
        InputError: a key is unknown, missing or out of range; the message says which and where.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(map(str, problem["loc"])) or "it"
            lines.append(f"{key}: {problem['msg']}")
        raise InputError(f"{where}: " + "; ".join(lines)) from error


def _read(path: Path, model: type[Any], more: Mapping[str, Any]) -> Any:
    return validated(model, read_yaml(path) | dict(more), path.name)
