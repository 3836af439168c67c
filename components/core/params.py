"""The base of every parameter model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

ABSENT: dict[str, Any] = {"absent": True}
"""`json_schema_extra` of a field that params.yaml names only when it is set."""


class Params(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def optional(default: Any, **options: Any) -> Any:
    """A field that is left out of params.yaml, and of everything derived from it, while it has its default.

    For rare settings: adding one changes no existing parameter file, no stage's key and no output.
    """
    return Field(default, exclude_if=lambda value: value == default, **options)
