"""The frozen models that curation looks and listens with, and the digests that name them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.files import digest_tree
from components.core.paths import require
from components.curation.backends import (
    ArcFaceIdentity,
    Identity,
    SmallIdentity,
    SmallSync,
    Sync,
    SyncNetSync,
    verified,
)
from components.curation.params import BackendParams

if TYPE_CHECKING:
    from components.perception.faces import FaceDetector, FaceMesh
    from components.perception.persons import PersonMask

NAMES = ("sync", "identity")


@dataclass(frozen=True)
class Places:
    """Where models lie: `folder` is artifacts/perception; `sync` the folder of another sync model than the
    one there; `backends` are official weights, whose relative paths count from `root`."""

    folder: Path
    root: Path
    sync: Path | None = None
    backends: BackendParams = BackendParams()


def digests(places: Places) -> dict[str, str]:
    """SHA-256 of each model that is used, and of the bundled face models.

    Raises:
        InputError: a model is missing, or is not the one that params.yaml names.
    """
    from importlib.metadata import version

    backends, found = places.backends, {}
    files = {"sync": ("syncnet", backends.syncnet), "identity": ("identity", backends.identity)}
    folders = {name: (places.folder / name, "syncdreamer stage perception") for name in NAMES}
    if places.sync is not None:
        folders["sync"] = (places.sync, "syncdreamer sync train")
    for name, (field, file) in files.items():
        if file is not None:
            verified(field, file, places.root)
            found[name] = file.sha256
        else:
            found[name] = digest_tree(require(*folders[name]))
    bundled = f"mediapipe {version('mediapipe')} silero-vad {version('silero-vad')}"
    if backends.detector is not None:
        verified("detector", backends.detector, places.root)
        bundled += f" scrfd {backends.detector.sha256}"
    return found | {"faces": hashlib.sha256(bundled.encode()).hexdigest()}


@dataclass
class Models:
    """Loads each model at its first use and keeps it."""

    places: Places

    @cached_property
    def detector(self) -> FaceDetector:
        """Finds faces."""
        from components.perception.faces import FaceDetector
        from components.perception.scrfd import ScrfdDetector

        file = self.places.backends.detector
        return FaceDetector() if file is None else ScrfdDetector(self.places.root / file.path)

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
    def identity(self) -> Identity:
        """Embeds faces for telling people apart."""
        file = self.places.backends.identity
        if file is not None:
            from components.perception.arcface import ArcFace

            return ArcFaceIdentity(ArcFace(self.places.root / file.path, file.sha256[:12]))
        from components.perception.identity import IdentityModel

        return SmallIdentity(IdentityModel.load(self.places.folder / "identity"))

    @cached_property
    def sync(self) -> Sync:
        """Scores picture against sound."""
        file = self.places.backends.syncnet
        if file is not None:
            from components.perception.sync import OfficialSync

            return SyncNetSync(OfficialSync(self.places.root / file.path))
        from components.perception.sync import SyncModel

        return SmallSync(SyncModel.load(self.places.sync or self.places.folder / "sync"))
