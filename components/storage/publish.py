"""Publishing the report to S3, where people without this machine read it."""

from __future__ import annotations

import os
from pathlib import Path

from components.core.errors import SyncDreamerError
from components.core.files import digest_tree
from components.core.paths import Workspace, require
from components.core.progress import say
from components.storage.s3 import S3Client, S3Url

VARIABLE = "SYNCDREAMER_REPORTS"
LATEST = "latest"


def publish_report(workspace: Workspace, to: S3Url, client: S3Client | None = None) -> S3Url:
    """Uploads artifacts/report to `to`/DIGEST/ (which never changes) and `to`/latest/.

    Returns:
        the page of the former.

    Content that is there already is not sent again.

    Raises:
        InputError: there is no report, or the server refuses this identity.
        TemporaryFailure: the server stayed away; what is there already is kept.
    """
    client = client or S3Client()
    folder = require(workspace.artifacts("report", "index.html"), "syncdreamer report").parent
    version = digest_tree(folder)[:12]
    for place in (version, LATEST):
        for path in _pages_last(folder):
            client.upload(path, to / place / path.relative_to(folder).as_posix())
    return to / version / "index.html"


def publish_if_asked(workspace: Workspace) -> None:
    """Publishes where SYNCDREAMER_REPORTS says; a failure is told, it does not fail the run."""
    address = os.environ.get(VARIABLE, "").strip()
    if not address:
        return
    try:
        say(f"  report published: {publish_report(workspace, S3Url.parse(address))}")
    except SyncDreamerError as error:
        say(f"  the report is not published ({error}); `syncdreamer publish` does it later")


def _pages_last(folder: Path) -> list[Path]:
    """What a page shows is there before the page."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: path.suffix == ".html")
