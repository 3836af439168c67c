"""`syncdreamer publish|buckets`. boto3 is imported when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds this room's commands."""
    app.command("publish")(publish)
    app.command("buckets")(buckets)


def publish(
    to: Annotated[str, typer.Option(envvar="SYNCDREAMER_REPORTS", help="where to: s3://bucket/prefix")],
) -> None:
    """Upload the report to S3, under its digest and as `latest`."""
    from components.core.paths import find_workspace
    from components.storage.publish import publish_report
    from components.storage.s3 import S3Url

    typer.echo(str(publish_report(find_workspace(), S3Url.parse(to))))


def buckets(names: Annotated[list[str], typer.Argument(help="names of buckets")]) -> None:
    """Make S3 buckets that are not there yet (needs the right to; see docs/storage.md)."""
    from components.storage.s3 import S3Client

    client = S3Client()
    for name in names:
        client.make_bucket(name)
        typer.echo(f"s3://{name}")
