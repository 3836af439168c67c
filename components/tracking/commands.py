"""`syncdreamer models|promote|rollback|history`. MLflow is imported when a command runs."""

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
        pair = ", ".join(f"{name} {version}" for name, version in row["candidate"]["versions"].items())
        typer.echo(f"{row['time']}  {row['action']:12} {pair}  by {row['actor']}: {row['reason']}")
    typer.echo(f"{len(rows)} entries, ledger verified")


def _tell(decision: Decision) -> None:
    typer.echo(decision.told())
    for figure in decision.figures:
        before = "" if figure.champion is None else f"{figure.champion:.4g} → "
        now = "not measured" if figure.candidate is None else f"{figure.candidate:.4g}"
        typer.echo(f"  {figure.name:32} {before}{now}  {figure.outcome}")
    if decision.status == "refused":
        raise typer.Exit(EXIT_GATE)
