"""`syncdreamer plan|join`. Heavy libraries load when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds this room's commands."""
    app.command("plan")(plan)
    app.command("join")(join)


def plan(
    preset: Annotated[str, typer.Option(help="a preset; empty: this workspace's params.yaml")] = "",
    clips: Annotated[int, typer.Option(min=1, help="curated clips")] = 10_000,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs (with --gpu cpu-core: cores)")] = 8,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100, l40s or cpu-core")] = "h100",
    utilisation: Annotated[float, typer.Option(min=0.01, max=1, help="share of peak that is reached")] = 0.35,
    price: Annotated[float, typer.Option(min=0, help="price of a GPU-hour, in your currency")] = 2.5,
    seconds: Annotated[float, typer.Option(min=0.1, help="mean length of a clip")] = 8.0,
    json: Annotated[bool, typer.Option("--json", help="the plain figures")] = False,
) -> None:
    """State memory per GPU, storage, steps, days and cost of a training, with the formulae."""
    from components.avatar import plan as planning
    from components.avatar.presets import read_preset
    from components.core.files import to_json

    if preset:
        raw = read_preset(preset)["params"]
    else:
        import yaml

        from components.core.paths import find_workspace

        raw = yaml.safe_load((find_workspace().root / "params.yaml").read_text(encoding="utf-8"))
    assumed = planning.Assumptions(gpu=gpu, utilisation=utilisation, price=price, seconds=seconds)
    lines, figures = planning.plan(planning.sections(raw), clips, gpus, assumed)
    if json:
        typer.echo(to_json(figures))
        return
    for line in lines:
        typer.echo(f"{line.what:32}{line.value}\n{'':32}= {line.formula}")


def join(
    stage: Annotated[str, typer.Argument(help="vae, train_stage1 or train_stage2")],
    patience: Annotated[float, typer.Option(min=1, help="seconds to wait for the first machine")] = 600.0,
) -> None:
    """Give this machine's cores or GPUs to a training that the first machine runs (shared workspace)."""
    from components.avatar.launch import join as take_part
    from components.core.errors import InputError
    from components.core.paths import find_workspace

    if stage not in ("vae", "train_stage1", "train_stage2"):
        raise InputError(f"{stage!r} does not train: give vae, train_stage1 or train_stage2")
    workspace = find_workspace()
    raise typer.Exit(take_part(workspace.state(stage), workspace.root, patience))
