"""Training checkpoints mirrored to S3 in the background, and fetched from there on a new machine.

`SYNCDREAMER_CHECKPOINT_MIRROR=s3://bucket/prefix` turns it on. It changes no result: a checkpoint is keyed by
the content of its training, so what is fetched is what this machine would have made. Layout:

    prefix/STAGE/KEY/manifest.json      the newest whole checkpoint: its files with size and SHA-256
    prefix/STAGE/KEY/SNAPSHOT/FILE      its content; the one before it is kept too, older ones are removed

The manifest is written after all its files, so a machine that dies in the middle leaves the former one valid.
A mirror that fails never stops training: it says so and tries again with the next checkpoint.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import InputError, SyncDreamerError
from components.core.files import digest_file, to_json, write_text
from components.core.paths import inside
from components.core.progress import say
from components.storage.s3 import ObjectMissing, S3Client, S3Url

VARIABLE = "SYNCDREAMER_CHECKPOINT_MIRROR"
MANIFEST = "manifest.json"
POLL_S = 2.0
TRANSFERS = 4
"""Files on their way at once."""
FINISHED = 1 << 62
"""Step of the snapshot of a training that is done: newer than any of its checkpoints."""
_GROWING = (".jsonl",)
"""Files that may get longer while they are read: a copy of them is stored."""


@dataclass(frozen=True)
class Snapshot:
    """A whole checkpoint below a work folder.

    name: one path component; step: a newer checkpoint has a higher one; files: relative to the work folder,
    the last of them is restored last; texts: small files and what they must say for this checkpoint to count
    (whatever they say by now), written after all files.
    """

    name: str
    step: int
    files: tuple[str, ...]
    texts: tuple[tuple[str, str], ...] = ()


Look = Callable[[Path], Snapshot | None]
"""Finds the newest whole checkpoint of a work folder."""


class Mirror:
    """The mirror of one training's checkpoints below `url`."""

    def __init__(self, url: S3Url, client: S3Client | None = None) -> None:
        self.url = url
        self.client = client or S3Client()

    def manifest(self) -> dict[str, Any] | None:
        """What the mirror holds; None if nothing.

        Raises:
            InputError: the manifest is damaged.
        """
        import json

        try:
            return dict(json.loads(self.client.read(self.url / MANIFEST)))
        except ObjectMissing:
            return None
        except ValueError as error:
            raise InputError(f"{self.url / MANIFEST} is not a JSON object; remove it") from error

    def store(self, folder: Path, snapshot: Snapshot) -> bool:
        """Uploads a snapshot, then its manifest, then removes what is older than the snapshot before it.

        Returns:
            False if the snapshot vanished while it was read (training has a newer one then).
        """
        former = self.manifest()
        with tempfile.TemporaryDirectory(prefix="syncdreamer-mirror-") as copies:

            def send(name: str) -> dict[str, Any]:
                path = folder / name
                if path.suffix in _GROWING:
                    path = Path(shutil.copy(path, Path(copies) / name.replace("/", "_")))
                size, digest = path.stat().st_size, digest_file(path)
                self.client.upload(path, self.url / snapshot.name / name)
                return {"path": name, "size": size, "sha256": digest}

            try:
                with ThreadPoolExecutor(TRANSFERS) as threads:
                    files = list(threads.map(send, snapshot.files))
            except FileNotFoundError:
                return False
        content = {
            "snapshot": snapshot.name,
            "step": snapshot.step,
            "files": files,
            "texts": dict(snapshot.texts),
        }
        self.client.write(self.url / MANIFEST, to_json(content).encode())
        self._prune({snapshot.name, former["snapshot"] if former else ""})
        return True

    def _prune(self, kept: set[str]) -> None:
        """Removes other snapshots; an identity that may not is no failure: a lifecycle rule can do it too."""
        base = f"{self.url.key.rstrip('/')}/"
        try:
            for row in self.client.list(S3Url(self.url.bucket, base)):
                name = row.url.key.removeprefix(base)
                if name != MANIFEST and name.split("/")[0] not in kept:
                    self.client.delete(row.url)
        except SyncDreamerError as error:
            say(f"  checkpoint mirror: older checkpoints stay ({error})")

    def restore(self, folder: Path, newer_than: int = -1) -> str:
        """Fetches the mirrored checkpoint if its step is above `newer_than`; returns its name, else "".

        An interrupted call is taken up by the next one: files that are whole are kept.

        Raises:
            InputError: an object is damaged, or the manifest names a path outside the folder.
            TemporaryFailure: the server stayed away.
        """
        manifest = self.manifest()
        if manifest is None or int(manifest["step"]) <= newer_than:
            return ""

        def fetch(row: dict[str, Any]) -> None:
            path = inside(folder, str(row["path"]))
            whole = path.is_file() and path.stat().st_size == row["size"]
            if not whole or digest_file(path) != row["sha256"]:
                self.client.download(self.url / manifest["snapshot"] / row["path"], path, row["sha256"])

        *rows, last = manifest["files"]
        with ThreadPoolExecutor(TRANSFERS) as threads:
            list(threads.map(fetch, rows))
        fetch(last)
        for name, text in manifest["texts"].items():
            write_text(inside(folder, name), text)
        return str(manifest["snapshot"])


@contextmanager
def mirrored(folder: Path, name: str, look: Look) -> Iterator[None]:
    """Fetches the checkpoint of `name` if the mirror's is newer than `folder`'s, then mirrors new ones while
    the body runs, and the last one after it. Without SYNCDREAMER_CHECKPOINT_MIRROR it does nothing.

    Raises:
        TemporaryFailure: the server stayed away at the start, so it is unknown whether there is a checkpoint.
        InputError: the address or the mirrored content is wrong.
    """
    address = os.environ.get(VARIABLE, "").strip()
    if not address:
        yield
        return
    mirror = Mirror(S3Url.parse(address) / name)
    local = look(folder)
    fetched = mirror.restore(folder, local.step if local else -1)
    if fetched:
        say(f"  {name}: goes on from {fetched} of {mirror.url}")
    worker = _Background(mirror, folder, look, look(folder) if fetched else None)
    thread = threading.Thread(target=worker.run, name="checkpoint-mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.ended.set()
        thread.join()


class _Background:
    """Looks for new checkpoints until `ended`, and once more after that."""

    def __init__(self, mirror: Mirror, folder: Path, look: Look, stored: Snapshot | None) -> None:
        self.mirror, self.folder, self.look, self.stored = mirror, folder, look, stored
        self.ended = threading.Event()

    def run(self) -> None:
        last = False
        while not last:
            last = self.ended.wait(POLL_S)
            snapshot = self.look(self.folder)
            if snapshot is None or snapshot == self.stored:
                continue
            try:
                if self.mirror.store(self.folder, snapshot):
                    self.stored = snapshot
            except (SyncDreamerError, OSError) as error:
                say(f"  checkpoint mirror: {snapshot.name} is not mirrored ({error}); training goes on")
                self.ended.wait(POLL_S)
