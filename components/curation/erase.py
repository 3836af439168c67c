"""Erasing a file's traces from curation's own state: its ledger rows, tracks, thumbnails and packages."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing

from components.core.paths import Workspace
from components.curation.ledger import Ledger


def erase_state(workspace: Workspace, digests: Iterable[str]) -> list[str]:
    """Removes all that curation keeps of files with these SHA-256; returns what it was, one line each."""
    folder = workspace.root / "state" / "curate"
    path = folder / "ledger.sqlite"
    if not path.exists():
        return []
    with Ledger(path):
        pass  # brings an older ledger up to date
    erased = []
    with closing(sqlite3.connect(path, timeout=60)) as base:
        for digest in digests:
            keys = {key for (key,) in base.execute("SELECT key FROM files WHERE sha256 = ?", (digest,))}
            for key in keys:
                base.execute("DELETE FROM clips WHERE key = ?", (key,))
                for place in folder.glob(f"work/*/{key[:2]}/{key}"):
                    shutil.rmtree(place)
                    erased.append(place.relative_to(workspace.root).as_posix())
            if keys:
                base.execute("DELETE FROM files WHERE sha256 = ?", (digest,))
                erased.append(f"state/curate/ledger.sqlite: {len(keys)} measured spans of {digest[:16]}")
        base.commit()
        base.execute("VACUUM")  # deleted rows' bytes (face embeddings) are overwritten, not only unlinked
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return erased
