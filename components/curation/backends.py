"""What looks and listens, by one interface each: bundled and small models, or official weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from components.core.errors import InputError
from components.curation.params import BackendParams, WeightsFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.perception.arcface import ArcFace
    from components.perception.faces import Face
    from components.perception.identity import IdentityModel
    from components.perception.sync import OfficialSync, SyncModel
    from components.perception.syncnet import SyncScores

ARCFACE_MATCH = 0.4
"""Cosine above which two pictures show one person, as InsightFace's own applications have it."""
PUBLISHED = {"syncnet": "syncnet", "identity": "arcface"}
"""Our field → the entry of the table of official weights that knows the published hash."""


class Sync(Protocol):
    """Scores a followed face against sound."""

    def score(
        self, frames: NDArray[np.uint8], faces: Sequence[Face], samples: NDArray[np.float32]
    ) -> SyncScores:
        """Of frames (T,H,W,3) with one face each and samples (640·T,)."""
        ...


class Identity(Protocol):
    """Embeds faces for telling people apart."""

    @property
    def same_person(self) -> float:
        """Cosine distance up to which the means of two clips show one person."""
        ...

    @property
    def alike(self) -> float:
        """Cosine distance up to which they could: beyond it, splits hold them apart without doubt."""
        ...

    def embed(self, frames: Sequence[NDArray[np.uint8]], faces: Sequence[Face]) -> NDArray[np.float32]:
        """(N,D) of N frames with one face each, of unit length."""
        ...


@dataclass(frozen=True)
class SmallSync:
    """The small model, on mouth crops."""

    model: SyncModel

    def score(
        self, frames: NDArray[np.uint8], faces: Sequence[Face], samples: NDArray[np.float32]
    ) -> SyncScores:
        """See `Sync`."""
        import numpy as np

        from components.perception.faces import mouth_crop

        mouths = np.stack([mouth_crop(frame, face) for frame, face in zip(frames, faces, strict=True)])
        return self.model.score(mouths, samples)


@dataclass(frozen=True)
class SyncNetSync:
    """SyncNet, on the reference's crops."""

    model: OfficialSync

    def score(
        self, frames: NDArray[np.uint8], faces: Sequence[Face], samples: NDArray[np.float32]
    ) -> SyncScores:
        """See `Sync`."""
        from components.perception.sync import syncnet_crops

        return self.model.score(syncnet_crops(frames, faces), samples)


@dataclass(frozen=True)
class SmallIdentity:
    """The small model, on square crops."""

    model: IdentityModel

    @property
    def same_person(self) -> float:
        """Half of what the model allows two pictures: the mean over a clip's varies about half as much."""
        return 0.5 * (1.0 - self.model.threshold)

    @property
    def alike(self) -> float:
        """Half as much again: of 80 people, none was then in two splits."""
        return 1.5 * self.same_person

    def embed(self, frames: Sequence[NDArray[np.uint8]], faces: Sequence[Face]) -> NDArray[np.float32]:
        """See `Identity`."""
        import numpy as np

        from components.perception.faces import crop_face

        crops = [crop_face(frame, face) for frame, face in zip(frames, faces, strict=True)]
        return self.model.embed(np.stack(crops))


@dataclass(frozen=True)
class ArcFaceIdentity:
    """ArcFace, on faces that are aligned by the detector's points."""

    model: ArcFace
    same_person: float = 1.0 - ARCFACE_MATCH
    alike: float = 1.0 - ARCFACE_MATCH + 0.1

    def embed(self, frames: Sequence[NDArray[np.uint8]], faces: Sequence[Face]) -> NDArray[np.float32]:
        """See `Identity`."""
        import numpy as np

        from components.perception.arcface import aligned, five_of_face

        ready = [aligned(one, five_of_face(face.keypoints)) for one, face in zip(frames, faces, strict=True)]
        vectors = self.model.embed(np.stack(ready))
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def verified(name: str, file: WeightsFile, root: Path) -> Path:
    """The place of a weights file whose content is the one that params.yaml names.

    Raises:
        InputError: it is missing or has another hash.
    """
    from components.core.files import digest_file

    path = root / file.path
    if not path.is_file():
        raise InputError(f"curate.backends.{name}: {path} is missing (weights are never downloaded)")
    digest = digest_file(path)
    if digest != file.sha256:
        raise InputError(
            f"curate.backends.{name}: {path} has SHA-256 {digest}, params.yaml says {file.sha256}"
        )
    return path


def label(name: str, file: WeightsFile) -> str:
    """What a score made with the file is named by: the official name only with the published hash."""
    from components.perception.official import OFFICIAL

    short = file.sha256[:12]
    if name not in PUBLISHED:  # no hash of the detectors is published
        return f"scrfd@{short}"
    official = OFFICIAL[PUBLISHED[name]]
    return f"{official.name}@{short}" if file.sha256 == official.sha256 else f"{official.name}-like@{short}"


def labels(backends: BackendParams | None) -> dict[str, str]:
    """The labels of the models that `backends` replaces, by the ledger's names (sync, identity, faces)."""
    if backends is None:
        return {}
    named = {"sync": "syncnet", "identity": "identity", "faces": "detector"}
    files = {ours: (name, getattr(backends, name)) for ours, name in named.items()}
    return {ours: label(name, file) for ours, (name, file) in files.items() if file is not None}
