"""`syncdreamer …`: the commands. Each room brings its own; nothing heavy is imported before it runs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from components.core.errors import SyncDreamerError

app = typer.Typer(
    help="Curate talking-person video, train an avatar generator and its prompt enhancer, evaluate, promote.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ROOM_COMMANDS = ("corpus", "curation", "evaluation", "gates", "perception", "tracking")
"""Rooms with a `commands.py`; its `register(app)` adds the room's commands."""


@app.command()
def run(
    until: Annotated[str, typer.Option(help="stop after this stage")] = "",
    force: Annotated[
        bool, typer.Option(help="run register, promote and report even when nothing changed")
    ] = False,
) -> None:
    """Run the whole chain: every stage that is out of date, its gates, then register, promote and report."""
    from flows.run import run_chain

    raise typer.Exit(run_chain(until=until or None, force=force))


@app.command()
def stage(name: str) -> None:
    """Run one stage as DVC does (its inputs must be there; nothing is locked)."""
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.stages import stage_named
    from flows.supervisor import supervise

    stage_named(name)
    workspace = find_workspace()
    prepare(workspace)
    raise typer.Exit(supervise(name, workspace))


@app.command()
def gate(name: str) -> None:
    """Judge what a stage made: clips, annotations, latents, checkpoint, enhancer, evaluation."""
    stage(f"gate_{name}")


@app.command()
def params(
    write: Annotated[bool, typer.Option(help="write params.yaml with every default and its meaning")] = False,
) -> None:
    """Check params.yaml (or write it)."""
    from components.core.files import write_text
    from components.core.paths import find_workspace
    from flows.params import default_text, load_params

    path = find_workspace().root / "params.yaml"
    if write:
        write_text(path, default_text())
        typer.echo(f"wrote {path}")
        return
    load_params(path)
    typer.echo(f"{path.name}: every section and key is known and in range")


@app.command()
def generate(
    image: Annotated[Path, typer.Option(help="reference portrait (png, jpg)")],
    audio: Annotated[Path, typer.Option(help="speech (wav, mp3, mp4 …)")],
    text: Annotated[str, typer.Option(help="what the person should do")],
    out: Annotated[Path, typer.Option(help="the mp4 to write")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int, typer.Option(min=1, help="denoising steps; 0 keeps the model's own")] = 10,
    enhance: Annotated[bool, typer.Option(help="let the enhancer rewrite the text first")] = True,
) -> None:
    """Make a talking video with the champion pair: reference image + speech + text → mp4."""
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.generation import generate_file

    workspace = find_workspace()
    prepare(workspace)
    generate_file(workspace, image, audio, text, out, seed=seed, steps=steps, enhance=enhance)


@app.command()
def doctor() -> None:
    """Say what is installed, which weights are stand-ins, which accelerator there is, and what is missing."""
    from components.core.paths import find_workspace
    from flows.doctor import examine
    from flows.environment import prepare

    workspace = find_workspace()
    prepare(workspace)
    findings = examine(workspace)
    for finding in findings:
        mark = {True: "ok", False: "MISSING", None: "–"}[finding.ok]
        typer.echo(f"{mark:8}{finding.topic:13}{finding.what}")
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _mount() -> None:
    for room in ROOM_COMMANDS:
        importlib.import_module(f"components.{room}.commands").register(app)


def main() -> None:
    """Console entry: an expected failure is one line on standard error and its own exit status."""
    _mount()
    try:
        app()
    except SyncDreamerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
