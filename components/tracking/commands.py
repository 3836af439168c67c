"""`syncdreamer models|promote|rollback|history|diff|hold|release|lineage`; imports as little as it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from components.core.errors import EXIT_GATE

if TYPE_CHECKING:
    from components.core.paths import Workspace
    from components.tracking.promotion import Decision


def register(app: typer.Typer) -> None:
    """Adds this room's commands."""
    app.command("models")(models)
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("history")(history)
    app.command("diff")(diff)
    app.command("hold")(hold)
    app.command("release")(release)
    app.command("lineage")(lineage)


def _workspace() -> Workspace:
    from components.core.paths import find_workspace

    return find_workspace()


def models(
    json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """List the registered models: version, aliases, run, gate verdicts."""
    from components.core.files import to_json
    from components.tracking.registry import models_table

    rows = models_table(_workspace())
    if json:
        typer.echo(to_json(rows))
        return
    if not rows:
        typer.echo("no model is registered yet; `syncdreamer run` trains and registers a pair")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("model", "version", "aliases", "gates", "pair", "run", "content"):
        table.add_column(column)
    for row in rows:
        gates = row["gates"]
        refused = [name for name, passed in gates.items() if not passed]
        verdict = f"refused: {', '.join(refused)}" if refused else f"{len(gates)} passed"
        if row["marked"]:
            verdict += f"; MARKED: {row['marked']}"
        cells = (row["name"], row["version"], ", ".join(row["aliases"]), verdict, row["pair"], row["run_id"])
        table.add_row(*cells, row["digest"][:12])
    Console().print(table)


def promote(
    avatar: Annotated[str, typer.Option(help="version of syncdreamer-avatar; the newest pair if empty")] = "",
    enhancer: Annotated[str, typer.Option(help="version of syncdreamer-enhancer")] = "",
    approve: Annotated[bool, typer.Option(help="lift require_approval or a former rollback")] = False,
    why: Annotated[str, typer.Option(help="for the ledger")] = "",
) -> None:
    """Make a pair the champion if mlflow/promotion.yaml allows it (exit status 3 if it does not)."""
    from components.core.errors import InputError
    from components.tracking.promotion import promote as move
    from components.tracking.registry import AVATAR, ENHANCER

    if bool(avatar) != bool(enhancer):
        raise InputError("a pair moves together: give both --avatar and --enhancer, or neither")
    versions = {AVATAR: avatar, ENHANCER: enhancer} if avatar else None
    _tell(move(_workspace(), versions, approve=approve, why=why))


def rollback(why: Annotated[str, typer.Option(help="for the ledger")] = "") -> None:
    """Make the former pair the champion again."""
    from components.tracking.promotion import rollback as move

    _tell(move(_workspace(), why=why))


def history(json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False) -> None:
    """Show every promotion, refusal and rollback, after verifying the ledger."""
    from components.core.files import to_json
    from components.tracking.promotion import history as decisions

    rows = decisions(_workspace())
    if json:
        typer.echo(to_json(rows))
        return
    for row in rows:
        versions = (row["candidate"] or {}).get("versions", {})
        pair = ", ".join(f"{name} {version}" for name, version in versions.items())
        typer.echo(f"{row['time']}  {row['action']:12} {pair or '-'}  by {row['actor']}: {row['reason']}")
    typer.echo(f"{len(rows)} entries, ledger verified")


def diff(
    old: Annotated[str, typer.Argument(help="champion, previous, challenger, newest, or versions as 3+2")] = (
        "champion"
    ),
    new: Annotated[str, typer.Argument(help="the same")] = "newest",
    json: Annotated[bool, typer.Option("--json", help="machine-readable, every clip listed")] = False,
) -> None:
    """Show what two pairs differ in: figures (paired, clip by clip), parameters, data, code, clips."""
    from components.core.files import to_json
    from components.tracking.differences import difference, told

    found = difference(_workspace(), old, new)
    typer.echo(to_json(found) if json else "\n".join(told(found)))


def hold(why: Annotated[str, typer.Option(help="for the ledger, and for whoever finds it held")]) -> None:
    """Stop every promotion until `release`; `rollback` stays possible."""
    from components.tracking.promotion import hold as stop

    typer.echo(stop(_workspace(), why=why))


def release(why: Annotated[str, typer.Option(help="for the ledger")] = "") -> None:
    """Let promotions happen again after `hold`."""
    from components.tracking.promotion import release as go

    typer.echo(go(_workspace(), why=why))


def lineage(
    model: Annotated[
        str, typer.Argument(help="avatar or enhancer, a registered name, with @version for one version")
    ] = "",
    clip: Annotated[str, typer.Option(help="clip id: every model that saw it")] = "",
    identity: Annotated[str, typer.Option(help="person: every model that saw a clip of it")] = "",
    source: Annotated[str, typer.Option(help="source, recording or file: every model that saw a clip")] = "",
    clips: Annotated[bool, typer.Option(help="list the model's clips too")] = False,
    sync: Annotated[bool, typer.Option(help="read the registry first (seconds)")] = False,
    json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Show where a model comes from, or which models saw a clip, a person or a source."""
    from components.core.errors import InputError
    from components.core.files import to_json
    from components.tracking.lineage import Index
    from components.tracking.provenance import clip_lines, full_name, model_lines

    workspace = _workspace()
    if sync:
        from components.tracking.runs import Tracker
        from components.tracking.trace import synchronise

        typer.echo(f"{synchronise(Tracker(workspace))} models added to the index", err=True)
    if sum(map(bool, (model, clip, identity, source))) != 1:
        raise InputError("name a model, or one of --clip, --identity and --source")
    with Index.of(workspace) as index:
        if model:
            name, version = full_name(model)
            facts = index.model(name, version)
            if clips:
                facts["clip_ids"] = [c.clip_id for c in index.clips(name, facts["version"])]
            typer.echo(to_json(facts) if json else "\n".join(model_lines(facts)))
            return
        found = index.find(clip=clip, identity=identity, source=source)
        if not found:
            size = index.count()
            raise InputError(
                f"none of the {size['models']} models in the index saw it; --sync reads the registry"
            )
        sightings = index.sightings(c.clip_id for c in found)
        if json:
            typer.echo(to_json({"clips": [vars(c) for c in found], "models": [vars(s) for s in sightings]}))
        else:
            typer.echo("\n".join(clip_lines(found, sightings)))


def _tell(decision: Decision) -> None:
    typer.echo(decision.told())
    for figure in decision.figures:
        before = "" if figure.champion is None else f"{figure.champion:.4g} → "
        now = "not measured" if figure.candidate is None else f"{figure.candidate:.4g}"
        proof = ""
        if figure.low is not None and figure.high is not None and figure.p is not None:
            by = f"{figure.method}, n={figure.n}" if figure.n else figure.method
            proof = f"  gain in [{figure.low:.4g}, {figure.high:.4g}], p={figure.p:.3g} ({by})"
        typer.echo(f"  {figure.name:32} {before}{now}  {figure.outcome}{proof}")
    if decision.status == "refused":
        raise typer.Exit(EXIT_GATE)
