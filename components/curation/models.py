"""The frozen models that curation looks and listens with, and the digests that name them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.files import digest_tree
from components.core.paths import require

if TYPE_CHECKING:
    from components.perception.faces import FaceDetector, FaceMesh
    from components.perception.identity import IdentityModel
    from components.perception.persons import PersonMask
    from components.perception.sync import SyncModel

NAMES = ("sync", "identity")


def digests(folder: Path, sync: Path | None = None) -> dict[str, str]:
    """SHA-256 of each model folder below `folder` (artifacts/perception), and of the bundled face models.

    `sync`: the folder of another sync model than the perception stage's.

    Raises:
        InputError: a model is missing.
    """
    from importlib.metadata import version

    found = {name: digest_tree(require(folder / name, "syncdreamer stage perception")) for name in NAMES}
    if sync is not None:
        found["sync"] = digest_tree(require(sync, "syncdreamer sync train"))
    bundled = f"mediapipe {version('mediapipe')} silero-vad {version('silero-vad')}"
    return found | {"faces": hashlib.sha256(bundled.encode()).hexdigest()}


@dataclass
class Models:
    """Loads each model at its first use and keeps it; `folder` is artifacts/perception, `sync_folder` that of
    another sync model than the one there."""

    folder: Path
    sync_folder: Path | None = None

    @cached_property
    def detector(self) -> FaceDetector:
        """Finds faces."""
        from components.perception.faces import FaceDetector

        return FaceDetector()

    @cached_property
    def persons(self) -> PersonMask:
        """Tells whether there is a person at all."""
        from components.perception.persons import PersonMask

        return PersonMask()

    @cached_property
    def mesh(self) -> FaceMesh:
        """Fits the 478-point mesh."""
        from components.perception.faces import FaceMesh

        return FaceMesh()

    @cached_property
    def identity(self) -> IdentityModel:
        """Embeds faces for telling people apart."""
        from components.perception.identity import IdentityModel

        return IdentityModel.load(self.folder / "identity")

    @property
    def same_person(self) -> float:
        """Cosine distance up to which two clips show one person: half of what the identity model allows two
        pictures, because the mean over a clip's pictures varies about half as much."""
        return 0.5 * (1.0 - self.identity.threshold)

    @cached_property
    def sync(self) -> SyncModel:
        """Scores picture against sound."""
        from components.perception.sync import SyncModel

        return SyncModel.load(self.sync_folder or self.folder / "sync")
