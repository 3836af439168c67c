"""The command `syncdreamer sync train`: a sync model from a corpus of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from components.core.paths import Workspace

app = typer.Typer(help="Sync models for other languages and footage.", no_args_is_help=True)
REGISTERED = "sync"
MODELS = Path("models/sync")


@app.callback()
def _group() -> None:
    """Keeps `train` a command of its own."""


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", help="Folder below the workspace.")] = MODELS,
    clips: Annotated[int, typer.Option(min=12, help="Most clips that are used.")] = 400,
    first_steps: Annotated[int, typer.Option(min=1, help="Steps of the pass over everything.")] = 240,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the pass over what was in sync.")] = 480,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    use: Annotated[
        bool, typer.Option("--use", help="Name the model and its threshold in params.yaml (curate).")
    ] = False,
    register: Annotated[bool, typer.Option(help="Make it a version of the registered model `sync`.")] = True,
) -> None:
    """Train a sync model on the clips that `curate` measured: on all, then on those it finds in sync.

    Its threshold is calibrated on recordings that it never saw. Nothing of the run changes unless --use.
    """
    from components.core.errors import InputError
    from components.core.files import read_json
    from components.core.params_file import set_value
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.curation.params import CurateParams
    from components.curation.source_commands import section
    from components.curation.sync_bootstrap import BootstrapParams, bootstrap

    single_thread()
    workspace = find_workspace()
    place = (workspace.root / out).resolve()
    if not place.is_relative_to(workspace.root.resolve()):
        raise InputError(f"--out {out} is outside the workspace, where no stage could name it")
    curation = section(workspace, "curate", CurateParams)
    params = BootstrapParams(clips=clips, first_steps=first_steps, steps=steps)
    folder = bootstrap(params, curation, workspace, seed, place)
    told = read_json(folder / "config.json")["calibration"]
    name = folder.relative_to(workspace.root.resolve()).as_posix()
    typer.echo(
        f"{name}: min_sync {told['min_sync']}, strangers that pass {told['false_accept']:.1%}, "
        f"held-out clips that fail {told['false_reject']:.1%} of {told['held_out_clips']}"
    )
    for which in ("first_pass", "second_pass"):
        figures = told[which]
        typer.echo(f"  {which}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    if register:
        typer.echo(f"registered: {REGISTERED} version {registered(workspace, folder)}")
    if use:
        file = workspace.root / "params.yaml"
        limits = curation.limits.model_dump() | {"min_sync": told["min_sync"]}
        set_value(file, "curate", "sync_model", name)
        set_value(file, "curate", "limits", limits)
        typer.echo(f"params.yaml: curate.sync_model is {name}")


def registered(workspace: Workspace, folder: Path) -> str:
    """The version of the registered model with this content; made if it is not there."""
    from components.core.files import digest_tree, read_json
    from components.tracking.runs import Tracker

    tracker = Tracker(workspace)
    client, digest = tracker.client, digest_tree(folder)
    if not client.search_registered_models(f"name = '{REGISTERED}'"):
        client.create_registered_model(REGISTERED)
    known = client.search_model_versions(f"name = '{REGISTERED}' and tags.digest = '{digest}'")
    if known:
        return str(known[0].version)
    calibration = read_json(folder / "config.json")["calibration"]
    numbers = {key: value for key, value in calibration.items() if not isinstance(value, dict)}
    run_id = tracker.log_stage(None, "sync_train", params=numbers, artifacts=[folder], digest=digest)
    source = f"{client.get_run(run_id).info.artifact_uri}/{folder.name}"
    made = client.create_model_version(REGISTERED, source, run_id, tags={"digest": digest})
    return str(made.version)
