"""The base of every parameter model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

ABSENT: dict[str, Any] = {"absent": True}
"""`json_schema_extra` of a field that params.yaml names only when it is set."""


class Params(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
