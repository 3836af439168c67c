"""The nets that measure a video, and what they say about it frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.core.paths import Workspace, inside, require
from components.core.pictures import similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.faces import Face
    from components.perception.syncnet import SyncScores

INTERIOR = (40, 32)
"""Height and width of the aligned face interior, px."""
ANCHORS = ((8.0, 12.0), (24.0, 12.0), (16.0, 32.0))
"""Where the middles of eyes and mouth land in it: brows to chin inside, no hair, no background."""
EYES_AND_MOUTH = ((33, 133), (362, 263), (61, 291))
"""Mesh points whose middles are the anchors (picture's left eye, right eye, mouth)."""
MADE_BY = "syncdreamer stage perception"
SYNC_MADE_BY = "syncdreamer sync train"


@dataclass(frozen=True)
class Seen:
    """What was measured on one video.

    found: (T,) bool, the detector found a face. aperture: (T,) lips' opening over face height, NaN without a
    mesh. embeddings: (K,D) identity of every `stride`-th frame with a face, unit length. interiors:
    (K,40,32,3) uint8 aligned face interiors of the same frames. mouths: (T,48,48,3) uint8 for the sync
    model, None where no face can be followed. steadiness: 1 − mean change between frames / 255.
    """

    found: NDArray[np.bool_]
    aperture: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    interiors: NDArray[np.uint8]
    mouths: NDArray[np.uint8] | None
    steadiness: float


class Instruments:
    """Face detector, face mesh, identity model and sync model of a workspace; no state between videos.

    sync_model: the folder, below the workspace, of another sync model than the perception stage's.

    Raises:
        InputError: a model is missing.
    """

    def __init__(self, workspace: Workspace, stride: int, sync_model: str | None = None) -> None:
        from components.perception.faces import FaceDetector, FaceMesh
        from components.perception.identity import IdentityModel
        from components.perception.sync import SyncModel

        folder = require(workspace.artifacts("perception"), MADE_BY)
        self.stride = stride
        self.detector = FaceDetector()
        self.mesh = FaceMesh()
        self.identity = IdentityModel.load(folder / "identity")
        self.sync = SyncModel.load(sync_place(workspace, sync_model))

    def look(self, frames: NDArray[np.uint8], *, mouths: bool = True) -> Seen:
        """Measures a video (T,H,W,3) uint8; all but mouth track and steadiness frame by frame."""
        import torch

        from components.evaluation.metrics.functional.motion import temporal_flicker
        from components.perception.faces import crop_face
        from components.perception.landmarks import aperture

        opening = np.full(len(frames), np.nan)
        found = np.zeros(len(frames), bool)
        crops, interiors = [], []
        for index, frame in enumerate(frames):
            face = self._face(frame)
            if face is None:
                continue
            found[index] = True
            points = self.mesh.landmarks(frame, face)
            if points is None:
                continue
            opening[index] = aperture(points)
            if index % self.stride == 0:
                crops.append(crop_face(frame, face))
                interiors.append(face_interior(frame, points))
        still = len(frames) < 2
        steady = 1.0 if still else float(temporal_flicker(torch.from_numpy(frames).permute(0, 3, 1, 2)))
        return Seen(
            found=found,
            aperture=opening,
            embeddings=self.identity.embed(
                np.stack(crops) if crops else np.zeros((0, 112, 112, 3), np.uint8)
            ),
            interiors=np.stack(interiors) if interiors else np.zeros((0, *INTERIOR, 3), np.uint8),
            mouths=self.look_mouths(frames) if mouths else None,
            steadiness=steady,
        )

    def _face(self, frame: NDArray[np.uint8]) -> Face | None:
        return next(iter(self.detector.detect(frame, tiles=False)), None)

    def look_mouths(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The mouth track alone, see `Seen.mouths`."""
        from components.perception.sync import mouth_track

        return mouth_track(frames, self.detector)

    def hear(self, mouths: NDArray[np.uint8] | None, samples: NDArray[np.float32]) -> SyncScores | None:
        """Sync of a mouth track with a sound, None where there is no track or the sound is silent."""
        from components.perception.sync import silent

        return None if mouths is None or silent(samples) else self.sync.score(mouths, samples)


def sync_place(workspace: Workspace, sync_model: str | None) -> Path:
    """The folder of the sync model that measures: the one that is named, or the perception stage's.

    Raises:
        InputError: it is missing or outside the workspace.
    """
    if sync_model is None:
        return require(workspace.artifacts("perception", "sync"), MADE_BY)
    return require(inside(workspace.root, sync_model), SYNC_MADE_BY)


def network_names(workspace: Workspace, sync_model: str | None = None) -> dict[str, str]:
    """How each net is called in results: `name@digest` of a trained one, mediapipe's by name."""
    from components.core.files import digest_file, read_json

    names = {"faces": "mediapipe-blazeface", "mesh": "mediapipe-facemesh"}
    for kind, place in (("identity", "identity"), ("sync", "sync"), ("judge", "image_text")):
        folder = (
            sync_place(workspace, sync_model)
            if kind == "sync"
            else require(workspace.artifacts("perception", place), MADE_BY)
        )
        digest = digest_file(folder / "model.safetensors")[:12]
        names[kind] = f"{read_json(folder / 'config.json')['name']}@{digest}"
    return names


def face_interior(frame: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The face from brows to chin, eyes and mouth moved to fixed places: (40,32,3) uint8.

    A similarity transform (least squares over the three anchors), so that proportions stay the person's own.
    """
    import cv2

    middles = np.array([points[list(pair), :2].mean(0) for pair in EYES_AND_MOUTH], np.float64)
    matrix = similarity(middles, np.array(ANCHORS))
    return cv2.warpAffine(
        frame, matrix, (INTERIOR[1], INTERIOR[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def interior_features(interiors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(K,40,32,3) uint8 → (K,F) float32: pixels inside an ellipse, mean and spread of light removed.

    Brightness and contrast of a picture say nothing about who it is; colour relations and shape stay.
    """
    height, width = INTERIOR
    y, x = np.mgrid[0:height, 0:width]
    inside = ((x - (width - 1) / 2) / (width / 2)) ** 2 + ((y - (height - 1) / 2) / (height / 2)) ** 2 <= 1
    pixels = interiors.astype(np.float32)[:, inside].reshape(len(interiors), 3 * int(inside.sum()))
    pixels = pixels - pixels.mean(1, keepdims=True)
    return pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-6)
