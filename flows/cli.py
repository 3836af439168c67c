"""`syncdreamer …`: the commands. Each room brings its own; nothing heavy is imported before it runs."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
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

ROOM_COMMANDS = (
    "avatar", "corpus", "curation", "enhancer", "evaluation", "gates", "perception", "storage", "tracking",
)  # fmt: skip
"""Rooms with a `commands.py`; its `register(app)` adds the room's commands."""

MOVES = (["promote"], ["rollback"])
"""Commands that move aliases: what they did is told to the channels of params.yaml."""


@app.command()
def run(
    until: Annotated[str, typer.Option(help="stop after this stage")] = "",
    force: Annotated[
        bool, typer.Option(help="run register, promote and report even when nothing changed")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="minutes to wait for another run in this repository")
    ] = 0,
) -> None:
    """Run the whole chain: every stage that is out of date, its gates, then register, promote and report."""
    from flows.run import run_chain

    run_chain(until=until or None, force=force, wait_minutes=wait)


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
def preset(
    name: Annotated[
        str, typer.Argument(help="tiny, small, wan-1.3b, wan-14b, cogvideox-5b; empty lists them")
    ] = "",
) -> None:
    """Write params.yaml for a preset (the old file is kept as params.yaml.old if it differs)."""
    from components.avatar.presets import preset_names, read_preset
    from components.core.paths import find_workspace
    from flows.params import write_preset

    if not name:
        for each in preset_names():
            typer.echo(f"{each:14}{read_preset(each)['about']}")
        return
    typer.echo(write_preset(find_workspace().root / "params.yaml", read_preset(name)["params"]))


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="the mp4 to write; with --batch: a folder")],
    image: Annotated[Path | None, typer.Option(help="reference portrait (png, jpg)")] = None,
    audio: Annotated[Path | None, typer.Option(help="speech (wav, mp3, mp4 …)")] = None,
    text: Annotated[str, typer.Option(help="what the person should do")] = "",
    batch: Annotated[
        Path | None,
        typer.Option(help="list of videos: .jsonl, .csv (videoid,image,audio,prompt,fps), or lines"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int, typer.Option(min=0, help="denoising steps; 0 keeps the model's own")] = 0,
    enhance: Annotated[bool, typer.Option(help="let the enhancer rewrite the text first")] = True,
    mark: Annotated[bool, typer.Option(help="put the letters AI on every frame")] = False,
) -> None:
    """Make talking videos with the champion pair: reference image + speech + text → signed mp4."""
    from components.core.errors import InputError
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.generation import generate_file, generate_list

    workspace = find_workspace()
    prepare(workspace)
    if batch is not None:
        if image or audio or text:
            raise InputError("give either --batch or --image, --audio and --text")
        generate_list(workspace, batch, out, seed=seed, steps=steps or None, enhance=enhance, mark=mark)
        return
    if image is None or audio is None:
        raise InputError("give --image, --audio and --text, or --batch with a list")
    generate_file(
        workspace, image, audio, text, out, seed=seed, steps=steps or None, enhance=enhance, mark=mark
    )


@app.command()
def rematch() -> None:
    """Evaluate the champion on the newest pair's clips and seeds, so that the two can be compared."""
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.rematch import rematch as again

    workspace = find_workspace()
    prepare(workspace)
    judged = again(workspace)
    if judged is None:
        typer.echo("nothing to compare: there is no champion beside the newest pair")
        return
    typer.echo(
        f"the champion's figures on set {judged.frozen} are registered; `syncdreamer promote` compares"
    )


@app.command()
def forget(
    clip: Annotated[str, typer.Option(help="clip id, or its beginning")] = "",
    identity: Annotated[str, typer.Option(help="person, as `clips explain` names it")] = "",
    source: Annotated[str, typer.Option(help="source, recording or file; also what joins it later")] = "",
    why: Annotated[str, typer.Option(help="for the list and the ledger")] = "",
    purge: Annotated[
        bool, typer.Option(help="erase raw files, derived data, caches and remotes too")
    ] = False,
) -> None:
    """Withdraw a clip, a person or a source: it is left out from now on, what learnt from it is marked."""
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.takedown import forget as withdraw

    workspace = find_workspace()
    prepare(workspace)
    withdraw(workspace, clip=clip, identity=identity, source=source, why=why, purge=purge)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="a video that `generate` or a served model made")],
    json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Check a video's content credentials: unchanged, by a known signer, and made with which models.

    Exit status 3 if it was changed, bears no credentials, or its signer is not known here.
    """
    from components.core.errors import EXIT_GATE, InputError
    from components.core.files import to_json
    from components.core.paths import find_workspace
    from components.tracking.credentials import verify as judge

    try:
        workspace = find_workspace()
    except InputError:
        workspace = None  # only the environment's keys count then
    verdict = judge(file, workspace)
    if json:
        typer.echo(to_json(vars(verdict)))
    else:
        typer.echo(f"{file}: {verdict.status}: {verdict.reason}")
        if verdict.facts:
            typer.echo(f"{verdict.kind} by {verdict.signer or 'an unnamed signer'}: {to_json(verdict.facts)}")
    if verdict.status != "trusted":
        raise typer.Exit(EXIT_GATE)


@app.command()
def experiments() -> None:
    """Write DVC's experiments to MLflow, each once, under its own name; list them.

    Trainings of `syncdreamer ablate` are saved as DVC experiments first (`dvc exp show` then has them).
    """
    from components.core.paths import find_workspace
    from flows.ablation_experiments import save_ablations
    from flows.environment import prepare
    from flows.experiments import record_experiments

    workspace = find_workspace()
    prepare(workspace)
    for name in save_ablations(workspace):
        typer.echo(f"{name:24} saved as an experiment")
    for one in record_experiments(workspace):
        state = "new" if one.new else "known"
        typer.echo(f"{one.name:24} {one.rev[:7]}  of {one.baseline[:7]}  {state:6} MLflow run {one.run_id}")


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
    importlib.import_module("flows.commands").register(app)


def _announce(began: datetime) -> None:
    from components.core.paths import find_workspace
    from flows.notifications import notifier_for
    from flows.server import join_server

    workspace = find_workspace()
    join_server(workspace)
    notifier = notifier_for(workspace, f"syncdreamer {sys.argv[1]}")
    notifier.began = began
    notifier.announce_ledger()


def main() -> None:
    """Console entry: an expected failure is one line on standard error and its own exit status."""
    _mount()
    began = datetime.now(UTC).replace(microsecond=0)
    try:
        try:
            app()
        finally:
            if sys.argv[1:2] in MOVES and "--help" not in sys.argv:  # rooms below cannot notify
                _announce(began)
    except SyncDreamerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
