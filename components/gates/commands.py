"""The commands `syncdreamer gates …`: what the gates compare with."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="See and set what the gates compare with.", no_args_is_help=True)
BASELINE = "data/accepted/clips.json"


@app.callback()
def _group() -> None:
    """Keeps `accept` a command of its own."""


def register(target: typer.Typer) -> None:
    """Adds the room's commands to the main one."""
    target.add_typer(app, name="gates")


@app.command()
def accept(
    to: Annotated[str, typer.Option("--to", help="File, below the workspace; commit it.")] = BASELINE,
) -> None:
    """Accept the curated manifest as it is: from now on the clips gate measures drift against it.

    Writes the file and its SHA-256 into params.yaml (gate_clips.drift); other bounds there stay.
    """
    import yaml

    from components.core.files import read_parquet
    from components.core.params_file import set_value
    from components.core.paths import find_workspace, inside, require
    from components.gates.accepted import accept as write
    from components.gates.params import Drift

    workspace = find_workspace()
    path = workspace.artifacts("curate", "manifest.parquet")
    table = read_parquet(require(path, "syncdreamer stage curate"))
    digest = write(table, inside(workspace.root, to))
    file = workspace.root / "params.yaml"
    before = (yaml.safe_load(file.read_text(encoding="utf-8")).get("gate_clips") or {}).get("drift") or {}
    values = before | {"baseline": to, "sha256": digest}
    Drift.model_validate(values)
    set_value(file, "gate_clips", "drift", values, "Drift against the last accepted version.")
    typer.echo(f"{to}: {len(table)} clips accepted; params.yaml names it (commit both)")
