"""ArcFace (InsightFace's w600k_r50): who a face is, from the published ONNX file through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.perception.onnx import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from components.perception.official import Status

SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the picture's left eye, right eye, nose tip and mouth corners land in the 112 px input."""
MESH_POINTS = ((33, 133), (362, 263), (4,), (61,), (291,))
"""Mesh points whose means are those five."""
BATCH = 32


class ArcFace:
    """Embeddings (N,512) of aligned faces. Not normalised: cosines are taken by the metrics.

    The five points come from MediaPipe's mesh and not from InsightFace's own detector; cosines differ a
    little from those of its pipeline, so the protocol names the alignment.
    """

    name = "arcface"
    alignment = "mediapipe mesh, 5 points"

    def __init__(self, path: Path, digest: str) -> None:
        """Raises InputError when the file is no ONNX model from (N,3,112,112) to one (N,D)."""
        self.session: Any = session(path)
        self.input = self.session.get_inputs()[0]
        if list(self.input.shape[1:]) != [3, SIDE, SIDE]:
            raise InputError(f"{path} takes {self.input.shape}, ArcFace takes (N,3,{SIDE},{SIDE})")
        given = [list(output.shape) for output in self.session.get_outputs()]
        if len(given) != 1 or len(given[0]) != 2:
            raise InputError(f"{path} gives {given}, ArcFace gives one embedding (N,D) a face")
        self.digest = digest

    @classmethod
    def official(cls, status: Status) -> ArcFace:
        """From verified weights (`official.find`)."""
        assert status.path is not None and status.digest is not None
        return cls(status.path, status.digest[:12])

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,512) float32 of aligned faces (N,112,112,3) uint8 RGB.

        Raises:
            InputError: another shape or type.
        """
        faces = np.asarray(faces)
        if faces.shape[1:] != (SIDE, SIDE, 3) or faces.dtype != np.uint8:
            raise InputError(f"ArcFace takes (N,{SIDE},{SIDE},3) uint8, got {faces.dtype} {faces.shape}")
        parts = []
        for begin in range(0, len(faces), BATCH):
            pixels = (faces[begin : begin + BATCH].astype(np.float32) - 127.5) / 127.5
            ready = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
            parts.append(self.session.run(None, {self.input.name: ready})[0])
        return np.concatenate(parts) if parts else np.zeros((0, 512), np.float32)

    def embed_frames(
        self, frames: NDArray[np.uint8], meshes: Sequence[NDArray[np.floating] | None]
    ) -> NDArray[np.float32]:
        """(T,512) of frames (T,H,W,3) by their meshes (478,3); a row of NaN where there is no mesh."""
        if len(frames) != len(meshes):
            raise InputError(f"{len(meshes)} meshes for {len(frames)} frames")
        seen = [index for index, mesh in enumerate(meshes) if mesh is not None]
        faces = [aligned(frames[index], five_points(np.asarray(meshes[index]))) for index in seen]
        found = self.embed(np.stack(faces) if faces else np.zeros((0, SIDE, SIDE, 3), np.uint8))
        rows = np.full((len(frames), found.shape[1]), np.nan, np.float32)
        rows[seen] = found
        return rows


def five_points(mesh: NDArray[np.floating]) -> NDArray[np.float64]:
    """The picture's left eye, right eye, nose tip, left and right mouth corner (5,2) px of a mesh (478,3)."""
    return np.array([mesh[list(points), :2].mean(0) for points in MESH_POINTS], np.float64)


def five_of_face(keypoints: NDArray[np.floating]) -> NDArray[np.float64]:
    """The same from a detector's key points (6,2), which mark the middle of the mouth: its corners are set
    beside it along the line of the eyes, as far apart as in the template."""
    right, left, nose, mouth = np.asarray(keypoints, np.float64)[:4]
    eyes, lips = TEMPLATE[1] - TEMPLATE[0], TEMPLATE[4] - TEMPLATE[3]
    half = 0.5 * (left - right) * np.linalg.norm(lips) / np.linalg.norm(eyes)
    return np.stack([right, left, nose, mouth - half, mouth + half])


def aligned(frame: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The face (112,112,3) uint8 with its five points (5,2) moved to InsightFace's template by a similarity.

    Least squares over all points (Umeyama without reflection), as its `norm_crop` does.
    """
    import cv2

    a = np.asarray(points, np.float64) @ (1, 1j)
    b = TEMPLATE @ (1, 1j)
    spread = (np.abs(a - a.mean()) ** 2).sum()
    if not np.isfinite(spread) or spread <= 0:
        raise InputError("five points of a face are needed that are finite and not all the same")
    turn = ((b - b.mean()) * (a - a.mean()).conj()).sum() / spread
    shift = b.mean() - turn * a.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(frame, matrix, (SIDE, SIDE), borderValue=0.0)
