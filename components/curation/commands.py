"""The commands `syncdreamer clips …`: look at what curation decided, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from components.core.paths import Workspace

app = typer.Typer(help="Look at what curation decided about each clip, and why.", no_args_is_help=True)


def register(target: typer.Typer) -> None:
    """Adds the room's commands to the main one."""
    from components.curation.source_commands import app as sources
    from components.curation.sync_commands import app as sync

    target.add_typer(app, name="clips")
    target.add_typer(sources, name="sources")
    target.add_typer(sync, name="sync")


@app.command()
def explain(
    clip_id: Annotated[str, typer.Argument(help="Clip id, the beginning of one, or a file name.")],
) -> None:
    """Say what was decided about a clip and which score met which limit."""
    from components.core.paths import find_workspace
    from components.curation.explain import explanation

    workspace = find_workspace()
    config = _config(workspace)
    for row in find(_manifest(workspace), clip_id).to_dict("records"):
        typer.echo("\n".join(explanation(row, config["limits"], config.get("readmit"))))


@app.command("list")
def list_clips(
    reason: Annotated[str, typer.Option(help="Only clips rejected for this reason.")] = "",
    outcome: Annotated[str, typer.Option(help="Only keep, repair, cut or reject.")] = "",
    split: Annotated[str, typer.Option(help="Only train, val or test.")] = "",
) -> None:
    """List clips, one a line: id, outcome, reasons or repairs, split, file."""
    from components.core.paths import find_workspace

    table = _manifest(find_workspace())
    if reason:
        table = table[[reason in reasons.split(";") for reasons in table["reasons"]]]
    if outcome:
        table = table[table["outcome"] == outcome]
    if split:
        table = table[table["split"] == split]
    for row in table.to_dict("records"):
        why = row["reasons"] or row["repairs"] or "-"
        typer.echo(f"{row['clip_id']}  {row['outcome']:6}  {why:24}  {row['split']:5}  {row['file']}")
    typer.echo(f"{len(table)} clips", err=True)


@app.command()
def sheet(
    reason: Annotated[str, typer.Argument(help="A reject reason, or keep, repair, cut.")],
    out: Annotated[Path, typer.Option("--out", help="Picture to write (png or jpg).")],
) -> None:
    """Write a contact sheet of the clips with one reason."""
    from components.core.errors import InputError
    from components.core.media import write_image
    from components.core.paths import find_workspace
    from components.curation.contact_sheets import sheets

    workspace = find_workspace()
    found = sheets(workspace, _manifest(workspace))
    if reason not in found:
        raise InputError(f"no clip with {reason!r}; there are: {', '.join(found)}")
    write_image(out, found[reason])


@app.command()
def sheets(
    out: Annotated[Path, typer.Option("--out", help="Folder that gets a picture for each reason.")],
    limit: Annotated[int, typer.Option(min=1, help="Most clips on one sheet.")] = 48,
) -> None:
    """Write a contact sheet for every reject reason, and for kept, repaired and cut clips."""
    from components.core.media import write_image
    from components.core.paths import find_workspace
    from components.curation.contact_sheets import sheets as make

    workspace = find_workspace()
    for name, picture in make(workspace, _manifest(workspace), limit).items():
        write_image(out / f"{name}.jpg", picture)
        typer.echo(out / f"{name}.jpg")


@app.command()
def readmit(
    clip_id: Annotated[str, typer.Argument(help="Clip id, the beginning of one, or a file name.")],
    why: Annotated[str, typer.Option("--why", help="Why it is kept against its scores.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it off the list again.")] = False,
) -> None:
    """Keep a rejected clip from the next `curate` on: it is written to params.yaml, under curate.readmit.

    The list is versioned with params.yaml, so the next run does not undo it, and changing it runs curate
    again (nothing is measured twice).
    """
    from components.core.errors import InputError
    from components.core.params_file import set_value
    from components.core.paths import find_workspace

    workspace = find_workspace()
    rows = find(_manifest(workspace), clip_id)
    listed = dict(_curate_params(workspace).readmit)
    for row in rows.to_dict("records"):
        name = row["clip_id"]
        if undo:
            if name not in listed:
                raise InputError(f"{name} is not readmitted")
            del listed[name]
            continue
        if not why.strip():
            raise InputError("--why is missing: say why the clip is kept against its scores")
        if row["decision"] == "keep" and name not in listed:
            raise InputError(f"{name} ({row['file']}) is kept already")
        if not (row["face_rate"] or 0) > 0:
            raise InputError(
                f"{name} ({row['file']}) cannot be readmitted: it was rejected for {row['reasons']} and no "
                "face was found in it, so there is nothing to cut to"
            )
        listed[name] = why.strip()
    comment = "Clips kept against their scores: clip id → why."
    set_value(workspace.root / "params.yaml", "curate", "readmit", listed, comment)
    typer.echo(f"params.yaml: curate.readmit has {len(listed)} clips; `dvc repro curate` acts on it")


@app.command("what-if")
def what_if(
    limits: Annotated[list[str], typer.Argument(help="Thresholds to try, e.g. min_sharpness=60 max_yaw=30.")],
    show: Annotated[int, typer.Option(min=0, help="So many of the clips that change.")] = 10,
) -> None:
    """Say what other thresholds would keep and reject; changes nothing, measures nothing."""
    from components.core.files import read_parquet
    from components.core.paths import find_workspace
    from components.curation.params import Limits
    from components.curation.redecide import compare, parsed

    workspace = find_workspace()
    now = Limits.model_validate(_config(workspace)["limits"])
    inventory = read_parquet(workspace.artifacts("ingest", "inventory.parquet"))
    for line in compare(_manifest(workspace), inventory, now, parsed(now, limits), show):
        typer.echo(line)


@app.command()
def card(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder that gets data_card.html and data_card.md.")
    ] = None,
) -> None:
    """Write the data card of the curated set: counts, hours, framings, scores, licences, consent."""
    from components.core.paths import find_workspace
    from components.curation.data_card import write

    workspace = find_workspace()
    for path in write(_manifest(workspace), workspace, out or workspace.state("data_card")):
        typer.echo(path)


def _curate_params(workspace: Workspace) -> Any:
    """The section `curate` of params.yaml.

    Raises:
        InputError: the file or the section is missing or wrong.
    """
    from components.curation.params import CurateParams
    from components.curation.source_commands import section

    return section(workspace, "curate", CurateParams)


def _manifest(workspace: Workspace) -> pd.DataFrame:
    from components.core.files import read_parquet
    from components.core.paths import require

    path = workspace.artifacts("curate", "manifest.parquet")
    table = read_parquet(require(path, "syncdreamer stage curate"))
    return table.fillna({"reasons": "", "repairs": ""})


def _config(workspace: Workspace) -> dict[str, Any]:
    from components.core.files import read_json

    return read_json(workspace.artifacts("curate", "config.json"))


def find(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows whose clip id starts with `name`, or whose file is or ends with it.

    Raises:
        InputError: there is none, or the beginning of an id fits clips of several files.
    """
    from components.core.errors import InputError

    rows = table[table["clip_id"].str.startswith(name)] if name else table[:0]
    if not len(rows):
        rows = table[[name and Path(file).match(f"*{name}") for file in table["file"]]]
    if not len(rows):
        raise InputError(f"no clip is called {name!r}; `syncdreamer clips list` shows them all")
    if rows["file"].nunique() > 1:
        raise InputError(
            f"{name!r} fits {len(rows)} clips, e.g. {', '.join(rows['clip_id'][:3])}; give more of the id"
        )
    return rows
