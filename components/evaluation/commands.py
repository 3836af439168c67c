"""`syncdreamer report`: rebuild the page; `syncdreamer metrics`: score a folder of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the room's commands."""
    app.command(name="report")(report)
    app.command(name="metrics")(metrics)


def report() -> None:
    """Rebuild artifacts/report/index.html, with the durations and models of the last run."""
    from components.core.files import read_json
    from components.core.paths import find_workspace
    from components.evaluation.report import build_report

    workspace = find_workspace()
    last = workspace.root / "state" / "run_info.json"
    typer.echo(f"wrote {build_report(workspace, read_json(last) if last.exists() else {})}")


def metrics(
    generated: Annotated[Path, typer.Argument(help="folder of mp4 files")],
    real: Annotated[Path | None, typer.Option(help="folder of real clips, same names (mp4)")] = None,
    references: Annotated[Path | None, typer.Option(help="folder of pictures, same names (png, jpg)")] = None,
    out: Annotated[Path | None, typer.Option(help="also write the figures to this JSON file")] = None,
) -> None:
    """Score a folder of videos: what needs no network, and what official weights on this machine allow."""
    from components.core.files import to_json, write_json
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.evaluation.panel import find_clips, load_networks, score_clips

    single_thread()
    clips = find_clips(generated, real, references)
    result = score_clips(clips, load_networks(find_workspace()))
    if out is not None:
        write_json(out, result)
    typer.echo(to_json(result))
