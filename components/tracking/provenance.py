"""Lineage told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.tracking.lineage import Clip, Sighting

SHOWN = 20
SHORT = {"avatar": "syncdreamer-avatar", "enhancer": "syncdreamer-enhancer"}


def full_name(model: str) -> tuple[str, str]:
    """`avatar`, `avatar@3`, `syncdreamer-avatar@3` → registered name and version ("" for the newest)."""
    name, _, version = model.partition("@")
    return SHORT.get(name, name), version


def model_lines(facts: Mapping[str, Any]) -> list[str]:
    """Where a model comes from, a fact a line."""
    lines = [f"{facts['name']} {facts['version']}"]
    if facts.get("marked"):
        lines.append(f"MARKED: {facts['marked']}")
    for name in ("digest", "model_id", "run_id", "pair", "git", "data", "lock", "lineage"):
        if facts.get(name):
            lines.append(f"  {name:9} {facts[name]}")
    gates = facts.get("gates", {})
    lines += [f"  gate      {name}: {'passed' if passed else 'refused'}" for name, passed in gates.items()]
    lines += [
        f"  clips     {row['clips']} for {row['role']} (set {row['set'][:16]})" for row in facts["clips"]
    ]
    lines += [f"  parent    {name}: {digest}" for name, digest in facts.get("parents", {}).items()]
    for section, values in facts.get("params", {}).items():
        for name, value in _flat(values).items():
            lines.append(
                f"  param     {name if name.startswith(section) else f'{section}: {name}'} = {value}"
            )
    lines += [f"  clip      {clip_id}" for clip_id in facts.get("clip_ids", ())]
    return lines


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {prefix.removesuffix("."): values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.")
    return flat


def clip_lines(clips: Sequence[Clip], sightings: Sequence[Sighting]) -> list[str]:
    """Which models saw these clips, and how."""
    lines = [
        f"{clip.clip_id}  {clip.file or '-'}  source {clip.source or '-'}  person {clip.identity or '-'}"
        for clip in clips[:SHOWN]
    ]
    if len(clips) > SHOWN:
        lines.append(f"… and {len(clips) - SHOWN} more clips")
    for sighting in sightings:
        mark = f"  MARKED: {sighting.marked}" if sighting.marked else ""
        lines.append(f"  {sighting.name} {sighting.version}: {', '.join(sighting.roles)}{mark}")
    return [*lines, f"{len(sightings)} models saw {len(clips)} clips"]
