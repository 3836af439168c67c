"""The command `syncdreamer corpus`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


def register(target: typer.Typer) -> None:
    """Adds the room's command to the main one."""
    target.command()(corpus)


@app.command()
def corpus(
    out: Annotated[Path, typer.Option("--out", help="Folder that gets demo/, demo_test/ and truth/.")],
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same bytes.")] = 7,
    identities: Annotated[int, typer.Option(min=2, help="People; a quarter is for testing only.")] = 32,
    clips: Annotated[int, typer.Option(min=2, help="Clean clips of 5–8 s in all.")] = 110,
    faults: Annotated[str, typer.Option(help="`all` (two of each kind), `none`, or kind:n,kind:n.")] = "all",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core.")] = 0,
) -> None:
    """Make a corpus of synthetic people who speak, with exact truth; a stopped run goes on where it was."""
    from components.core.progress import say
    from components.corpus.build import build_corpus, parse_faults

    items = build_corpus(seed, identities, clips, parse_faults(faults), out, workers)
    broken = sum(bool(item.fault) for item in items)
    say(f"{out}: {len(items) - broken} clean clips and {broken} with a fault")
