"""Sources on an S3 server: a prefix of any layout, mirrored object by object below state/sources/s3.

Objects are streamed to disk, an interrupted one is taken up where it broke, and one whose version (ETag) is
there already is not fetched again. Endpoint and credentials are boto3's own (`AWS_ENDPOINT_URL`, profiles …).
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.files import append_jsonl, read_jsonl
from components.core.paths import Workspace, inside
from components.core.progress import say, track
from components.curation.sources.places import S3, local


def fetch(workspace: Workspace, url: str) -> Path:
    """Brings the mirror of a prefix up to date; returns its folder.

    Objects that the server no longer has are removed from the mirror: the listing is the truth.

    Raises:
        InputError: the address is wrong, nothing is below it, or an object's key leaves its prefix.
        TemporaryFailure: the server stayed away; what is here already is kept.
    """
    from components.storage.s3 import S3Client, S3Url

    place = S3Url.parse(url)
    prefix = place.key.rstrip("/") + "/" if place.key else ""
    folder = local(workspace, f"{S3}://{place.bucket}/{prefix}".rstrip("/"))
    client = S3Client()
    there = [
        each
        for each in client.list(S3Url(place.bucket, prefix))
        if not each.url.key.endswith("/") and each.url.key != prefix
    ]
    if not there:
        raise InputError(f"nothing is below {url}; is the prefix right?")
    index = workspace.state("sources", "index") / f"{place.bucket}.jsonl"
    rows = read_jsonl(index) if index.exists() else []
    versions = {row["key"]: row["etag"] for row in rows}
    wanted = {inside(folder, each.url.key.removeprefix(prefix)): each for each in there}
    todo = {
        path: each
        for path, each in wanted.items()
        if versions.get(each.url.key) != each.etag or not path.is_file()
    }
    if len(todo) < len(wanted):
        say(f"ingest: {len(wanted) - len(todo)} of {len(wanted)} objects of {url} are here already")
    for path, each in track(todo.items(), "fetch", len(todo)):
        client.download(each.url, path)
        append_jsonl(index, {"key": each.url.key, "etag": each.etag})
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted and not path.name.endswith(".part"):
            path.unlink()
    return folder
