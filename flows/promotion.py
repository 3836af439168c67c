"""When a trained pair is registered and moved: the rules themselves are tracking's."""

from __future__ import annotations

from typing import Any

from components.core.paths import Workspace
from flows import chain


def register_pair(workspace: Workspace) -> dict[str, Any]:
    """Registers the avatar and the enhancer of artifacts/ as a pair; the same content again is a no-op.

    Returns the versions, e.g. {"syncdreamer-avatar": "3", "syncdreamer-enhancer": "3"}.
    """
    from components.tracking import registry
    from flows.record import data_digest, git_state

    return registry.register_pair(
        workspace,
        lock_digest=chain.lock_digest(workspace),
        git=git_state(workspace).get("git", ""),
        data_digest=data_digest(workspace),
    )


def promote_pair(workspace: Workspace, versions: dict[str, Any]) -> Any:
    """Compares the pair with the champion under mlflow/promotion.yaml and moves the aliases if it wins."""
    from components.tracking import promotion

    return promotion.promote(workspace, versions)
