"""What was asked for but not yet done, one small file each: a scheduler picks them up at its next tick.

state/requests/<kind>-<key>.json while open, state/requests/done/ afterwards. Asking twice for the same is
asking once.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.core.files import read_json, to_json, write_json
from components.core.paths import Workspace

RETRAIN = "retrain"


@dataclass(frozen=True)
class Request:
    """kind: what is to be done. about: what it must take into account, e.g. the tombstone list's digest."""

    kind: str
    why: str
    about: dict[str, Any] = field(default_factory=dict)
    time: str = ""

    @property
    def name(self) -> str:
        """File name without ending: the same request has the same."""
        key = hashlib.sha256(to_json([self.kind, self.about], None).encode()).hexdigest()[:16]
        return f"{self.kind}-{key}"


def ask(workspace: Workspace, kind: str, why: str, **about: Any) -> Request:
    """Writes a request, unless the same is open already."""
    request = Request(kind, why, about, datetime.now(UTC).isoformat(timespec="seconds"))
    path = workspace.state("requests") / f"{request.name}.json"
    if not path.exists():
        write_json(path, asdict(request))
    return request


def pending(workspace: Workspace, kind: str = "") -> list[Request]:
    """Open requests, oldest first; only of a kind if one is given."""
    files = sorted(workspace.state("requests").glob(f"{kind or '*'}-*.json"))
    return sorted((Request(**read_json(path)) for path in files), key=lambda request: request.time)


def fulfil(workspace: Workspace, request: Request) -> None:
    """Files a request as done."""
    path = workspace.state("requests") / f"{request.name}.json"
    if path.exists():
        path.replace(workspace.state("requests", "done") / path.name)
