"""params.yaml, validated: composes the rooms' parameter models, knows none of their fields."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from components.core.errors import InputError
from components.core.params import ABSENT, Params
from flows.operations import OperationsParams
from flows.stages import STAGES

OPERATIONS = "operations"


class FlowParams(Params):
    """How the flow runs the stages; none of it changes a result."""

    timeout_minutes: float = Field(120.0, gt=0, description="a stage that runs longer is ended, whole group")
    retries: int = Field(
        2, ge=0, description="how often a stage that failed temporarily (exit 75) is retried"
    )
    retry_delay_seconds: float = Field(20.0, ge=0, description="pause before a retry")


OPTIONAL = {"weights": "components.perception.params:WeightsParams"}
"""Sections that params.yaml may leave out: the room reads its own; here they are only checked."""


class Parameters:
    """What params.yaml says: `seed`, `flow`, `operations`, and one validated section a stage."""

    def __init__(
        self,
        seed: int,
        flow: FlowParams,
        sections: dict[str, Params],
        operations: OperationsParams | None = None,
    ) -> None:
        self.seed = seed
        self.flow = flow
        self.operations = operations or OperationsParams()
        self.sections = sections

    def flat(self, name: str) -> dict[str, Any]:
        """A stage's parameters as `section.key` → plain value, for tracking."""
        return {f"{name}.{key}": value for key, value in self.sections[name].model_dump(mode="json").items()}


def load_params(path: Path, only: str | None = None) -> Parameters:
    """Reads and validates params.yaml; with `only`, builds just that stage's section (imports less).

    Raises:
        InputError: the file is missing or not YAML; a section or key is unknown (with the nearest known
            name), missing, or out of range. The message names section and key.
    """
    raw = _read(path)
    needed = ["seed", "flow", *STAGES]
    known = [*needed, OPERATIONS, *OPTIONAL]
    for section in raw:
        if section not in known:
            raise InputError(f"{path.name}: unknown section {section!r}{_nearest(str(section), known)}")
        if section in OPTIONAL:
            _section(path.name, section, _model(OPTIONAL[section]), raw[section])
    missing = [section for section in needed if section not in raw]
    if missing:
        raise InputError(f"{path.name}: section {missing[0]!r} is missing")
    seed = raw["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"{path.name}: seed must be a whole number ≥ 0, not {seed!r}")
    names = [only] if only else list(STAGES)
    flow = _section(path.name, "flow", FlowParams, raw["flow"])
    operations = _section(path.name, OPERATIONS, OperationsParams, raw.get(OPERATIONS))
    sections = {name: _section(path.name, name, STAGES[name].params_model(), raw[name]) for name in names}
    return Parameters(seed, flow, sections, operations)  # type: ignore[arg-type]


def load_operations(path: Path) -> OperationsParams:
    """The section `operations` alone (defaults where there is none); imports no room's parameters.

    Raises:
        InputError: as `load_params`, about this section only.
    """
    return _section(path.name, OPERATIONS, OperationsParams, _read(path).get(OPERATIONS))  # type: ignore[return-value]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name} is missing in {path.parent}; `syncdreamer preset tiny` writes one"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path.name} holds no sections")
    return raw


def _model(place: str) -> type[Params]:
    module, name = place.split(":")
    model: type[Params] = getattr(importlib.import_module(module), name)
    return model


def _section(file: str, name: str, model: type[Params], values: Any) -> Params:
    try:
        return model.model_validate(values if values is not None else {})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join([name, *map(str, problem["loc"])])
            if problem["type"] == "extra_forbidden":
                lines.append(
                    f"unknown parameter {key}{_nearest(str(problem['loc'][-1]), model.model_fields)}"
                )
            else:
                lines.append(f"{key}: {problem['msg']} (is {problem['input']!r})")
        raise InputError(f"{file}: " + "; ".join(lines)) from error


def _nearest(word: str, known: Any) -> str:
    match = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else f"; known are: {', '.join(known)}"


def default_text(values: dict[str, dict[str, Any]] | None = None) -> str:
    """The text of a params.yaml with every section, every key and its description as a comment.

    `values` overrides defaults, section by section (a preset).
    """
    values = values or {}
    lines = [
        "# Every parameter of every stage. An unknown key is an error; what a change touches runs again."
    ]
    lines += [f"seed: {values.get('seed', 1)}"]
    models: dict[str, type[Params]] = {"flow": FlowParams, OPERATIONS: OperationsParams}
    models |= {name: stage.params_model() for name, stage in STAGES.items()}
    for name, model in models.items():
        lines += ["", *_lines(name, model.model_validate(values.get(name, {})), 0)]
    return "\n".join(lines) + "\n"


def _lines(name: str, section: Params, depth: int) -> list[str]:
    """A section's YAML lines, nested sections included, each key with its description as a comment."""
    indent = "  " * depth
    fields = type(section).model_fields
    lines = [f"{indent}{name}:{'' if fields else ' {}'}"]
    stated = section.model_dump(mode="json")
    for key, field in fields.items():
        if key not in stated:  # a rare setting at its default
            continue
        value = getattr(section, key)
        if field.json_schema_extra == ABSENT and value == field.default:
            continue
        comment = f"  # {field.description}" if field.description else ""
        if isinstance(value, Params):
            nested = _lines(key, value, depth + 1)
            lines += [nested[0] + comment, *nested[1:]]
            continue
        if isinstance(value, tuple) and any(
            isinstance(item, Params) and len(str(item)) > 100 for item in value
        ):
            lines.append(f"{indent}  {key}:{comment}")
            lines += [
                f"{indent}  - {_inline(item.model_dump(mode='json', exclude_defaults=True), False)}"
                for item in value
            ]
            continue
        plain = stated[key]
        lines.append(f"{indent}  {key}: {_inline(plain)}{comment}")
    return lines


def _inline(value: Any, sort_keys: bool = True) -> str:
    """A value as YAML on one line."""
    import yaml

    text = yaml.safe_dump(
        value, allow_unicode=True, default_flow_style=True, width=10_000, sort_keys=sort_keys
    )
    # A scalar document ends with an explicit "..." line.
    return text.removesuffix("...\n").strip()


def write_preset(path: Path, values: dict[str, Any]) -> str:
    """Writes params.yaml for a preset's `values`; another file that was there is kept beside it.

    Returns:
        What was done, in a line.

    Raises:
        InputError: the preset names an unknown section or key, or a value out of range.
    """
    from components.core.files import write_text

    known = ["seed", "flow", OPERATIONS, *STAGES]
    for section, content in values.items():
        if section not in known:
            raise InputError(f"preset: unknown section {section!r}{_nearest(section, known)}")
        if section in STAGES:
            _section("preset", section, STAGES[section].params_model(), content)
    text = default_text(values)
    if path.exists() and (before := path.read_text(encoding="utf-8")) != text:
        write_text(path.with_name(f"{path.name}.old"), before)
        write_text(path, text)
        return f"wrote {path}; the one before is {path.name}.old"
    write_text(path, text)
    return f"wrote {path}"
