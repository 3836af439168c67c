"""Ready-made parameter sets: `infra/presets/NAME.yaml` holds what differs from the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.errors import InputError

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "presets"


def preset_names() -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """A preset: `about` (one line) and `params` (section → key → value, only what differs).

    Raises:
        InputError: there is no such preset, or its file is not of this form.
    """
    import yaml

    path = FOLDER / f"{name}.yaml"
    if name not in preset_names():
        raise InputError(f"no preset is called {name!r}; there are: {', '.join(preset_names())}")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or set(raw) != {"about", "params"} or not isinstance(raw["params"], dict):
        raise InputError(f"{path} must hold `about` and `params` alone")
    return raw
