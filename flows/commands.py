"""`syncdreamer serve|notify|costs|drift`. Prefect and MLflow are imported when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands of operation."""
    app.command("serve")(serve)
    app.command("notify")(notify)
    app.command("drift")(drift)
    app.command("costs")(costs)


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one")] = 4200,
) -> None:
    """Serve the deployments of params.yaml: schedules, triggers, notifications, with a Prefect server."""
    import os

    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.lock import run_lock
    from flows.params import load_params
    from flows.server import URL_VARIABLE, start_server

    workspace = find_workspace()
    operations = load_params(workspace.root / "params.yaml").operations
    prepare(workspace)
    os.environ["SYNCDREAMER_ROOT"] = str(workspace.root)  # the runs' own processes start anywhere
    with run_lock(workspace, "syncdreamer serve", name="serve"):
        server = start_server(port, services=True)
        from flows.serve import run_service  # slow to import: the server starts meanwhile

        if server is not None:
            server.wait()
        run_service(workspace, operations, os.environ[URL_VARIABLE])


def notify(
    kind: Annotated[str, typer.Argument(help="which kind of event to pretend")] = "failure",
) -> None:
    """Send a test event to every channel that wants this kind; exit status 75 if one did not take it."""
    from typing import get_args

    from components.core.errors import InputError, TemporaryFailure
    from components.core.paths import find_workspace
    from flows.environment import prepare
    from flows.notifications import Notifier
    from flows.operations import Happening
    from flows.params import load_operations
    from flows.server import join_server

    if kind not in get_args(Happening):
        raise InputError(f"no event is called {kind!r}; there are: {', '.join(get_args(Happening))}")
    workspace = find_workspace()
    prepare(workspace)
    join_server(workspace)
    channels = load_operations(workspace.root / "params.yaml").notifications
    notifier = Notifier(workspace, channels, "syncdreamer notify")
    notifier.tell(kind, f"test of the notification {kind!r}", "Nothing has happened.", test=True)  # type: ignore[arg-type]
    left = notifier.deliver()
    if left:
        raise TemporaryFailure(f"{left} deliveries are still open; `syncdreamer serve` tries them again")
    typer.echo(f"told {sum(kind in channel.events for channel in channels)} channels and the log")


def drift() -> None:
    """Compare the clips curated since the champion with its training clips (exit status 3: they differ)."""
    from components.core.paths import find_workspace
    from flows.drift import check_drift
    from flows.environment import prepare
    from flows.lock import run_lock
    from flows.params import load_params

    workspace = find_workspace()
    prepare(workspace)
    parameters = load_params(workspace.root / "params.yaml", only="curate")
    with run_lock(workspace, "syncdreamer drift"):
        check_drift(workspace, parameters.operations.drift, parameters.seed)


def costs(json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False) -> None:
    """Show what each registered model took: time, processor time, peak memory, cost, stage by stage."""
    from components.core.files import to_json
    from components.core.paths import find_workspace
    from flows.costs import costs_table

    rows = costs_table(find_workspace())
    if json:
        typer.echo(to_json(rows))
        return
    if not rows:
        typer.echo("no registered model has figures yet; `syncdreamer run` measures what it runs")
    for row in rows:
        total = row["total"]
        typer.echo(
            f"{row['model']} {row['version']}: {total['seconds']:.0f} s, {total['cpu_seconds']:.0f} CPU s, "
            f"{total['gpu_seconds']:.0f} GPU s, peak {total['peak_memory_mb']:.0f} MB, "
            f"{total['cost']:.4f} {row['currency']}"
        )
        for stage, used in row["stages"].items():
            typer.echo(
                f"  {stage:18}{used['seconds']:9.1f} s{used['cpu_seconds']:9.1f} CPU s"
                f"{used['peak_memory_mb']:9.0f} MB{used['cost']:10.4f}"
            )
        if row["not_measured"]:
            typer.echo(f"  not measured (restored or made elsewhere): {', '.join(row['not_measured'])}")
