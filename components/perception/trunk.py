"""What the small nets look at, and the convolutional trunk that each of them trains for itself.

A person's head and body are cut out relative to the detected face, so that one small net serves every
framing: the head at a fixed size whatever the distance, the torso and arms below it, and the whole picture
small for its background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

PICTURE = 112
HEAD, BODY, SCENE = 72, 80, 32
HEAD_SIDE, HEAD_RISE = 2.3, 0.15
"""Side of the head view in face sizes, and how far its centre lies above the face's."""
BODY_SIDE, BODY_DROP = 3.8, 1.4
"""Side of the body view in face sizes (at most the picture), and how far its centre lies below the face's."""
CROP_MARGIN, CROP_RISE = 0.35, 0.04
"""Of `faces.crop_face`: the crop's side is 1.35 face sizes, its centre 0.04 above the face's."""

Box = tuple[float, float, float, float]


def square(frame: NDArray[np.uint8], size: int = PICTURE) -> NDArray[np.uint8]:
    """The largest centred square of a frame (H,W,3) at `size` px."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = np.ascontiguousarray(frame[top : top + side, left : left + side])
    if side == size:
        return cut
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def _window(picture: NDArray[np.uint8], x: float, y: float, side: float, size: int) -> NDArray[np.uint8]:
    """The square of `side` px around (x, y) at (size,size,3), edge pixels repeated beyond the picture."""
    scale = size / side
    source = picture
    if scale < 0.7:  # average first, else warping would alias
        source = cv2.GaussianBlur(picture, (0, 0), 0.35 / scale)
    matrix = np.array([[scale, 0, size / 2 - scale * x], [0, scale, size / 2 - scale * y]], np.float64)
    return cv2.warpAffine(
        source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def head_view(picture: NDArray[np.uint8], face: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Head with hair, hat and ears (72,72,3), the face in it from its own, sharper crop (S,S,3)."""
    size = max(box[2] - box[0], box[3] - box[1], 4.0)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    view = _window(picture, x, y - HEAD_RISE * size, HEAD_SIDE * size, HEAD).copy()
    inner = round(HEAD * (1 + CROP_MARGIN) / HEAD_SIDE)
    left = round((HEAD - inner) / 2)
    top = round(left + HEAD * (HEAD_RISE - CROP_RISE) / HEAD_SIDE)
    view[top : top + inner, left : left + inner] = square(face, inner)
    return view


def body_view(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Torso, arms and what is held (80,80,3): a window below the face, moved to lie inside the picture."""
    size = max(box[2] - box[0], box[3] - box[1], 4.0)
    side = min(BODY_SIDE * size, float(min(picture.shape[:2])))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + BODY_DROP * size
    x = min(max(x, side / 2), picture.shape[1] - side / 2)
    y = min(max(y, side / 2), picture.shape[0] - side / 2)
    return _window(picture, x, y, side, BODY)


@dataclass(frozen=True)
class Views:
    """Of N pictures: head (N,72,72,3), body (N,80,80,3), scene (N,32,32,3), uint8; mesh (N,M) float32, see
    `mesh_features` (zeros where the mesh failed); `seen` (N,): a face was found."""

    head: NDArray[np.uint8]
    body: NDArray[np.uint8]
    scene: NDArray[np.uint8]
    mesh: NDArray[np.float32]
    seen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, rows: NDArray[np.int64] | slice) -> Views:
        """The views of some rows."""
        return Views(self.head[rows], self.body[rows], self.scene[rows], self.mesh[rows], self.seen[rows])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each view as (N,3,S,S) float32 in [-1,1]."""
        return to_input(self.head), to_input(self.body), to_input(self.scene)


MESH_POINTS = (
    1, 4, 6, 10, 13, 14, 17, 33, 46, 52, 53, 55, 61, 63, 65, 66, 70, 78, 105, 107, 132, 133, 145, 152, 159,
    234, 263, 276, 282, 283, 285, 291, 293, 295, 296, 300, 308, 334, 336, 361, 362, 374, 386, 454, 468, 473,
)  # fmt: skip
"""Mesh points that tell head, gaze and expression: nose, brows, lids, irises, lips, outline."""
MESH_FEATURES = 2 * len(MESH_POINTS) + 9


def mesh_features(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Head pose, gaze, lids, smile and lips, and `MESH_POINTS` upright about the eyes' middle, in units of
    the distance between the eyes' outer corners: (M,) float32 of landmarks (478,3)."""
    from components.perception import landmarks

    yaw, pitch, roll = landmarks.head_pose(points)
    measured = [
        yaw, pitch, roll, *landmarks.gaze(points), *landmarks.eye_openness(points),
        landmarks.smile(points), landmarks.aperture(points),
    ]  # fmt: skip
    flat = np.asarray(points, np.float64)[:, :2]
    axis = flat[263] - flat[33]
    unit = max(float(np.hypot(*axis)), 1e-6)
    c, s = axis / unit
    turned = (flat[list(MESH_POINTS)] - (flat[33] + flat[263]) / 2) @ np.array([[c, -s], [s, c]]) / unit
    return np.clip(np.concatenate([measured, turned.ravel()]), -4, 4).astype(np.float32)


class MeshReader:
    """Mesh features of face crops (S,S,3) as `faces.crop_face` cuts them."""

    def __init__(self) -> None:
        from components.perception.faces import FaceMesh

        self._mesh = FaceMesh()

    def read(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(M,) float32; zeros where no mesh fits."""
        from components.perception.faces import Face

        size = crop.shape[0]
        half, side = size / 2, size / (1 + CROP_MARGIN)
        middle = half + CROP_RISE * side
        box = (half - side / 2, middle - side / 2, half + side / 2, middle + side / 2)
        found = self._mesh.landmarks(crop, Face(box, 1.0, np.zeros((6, 2), np.float32)))
        return np.zeros(MESH_FEATURES, np.float32) if found is None else mesh_features(found)

    def close(self) -> None:
        """Frees the mesh."""
        self._mesh.close()


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """(N,S,S,3) uint8 -> (N,3,S,S) float32 in [-1,1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def views(pictures: NDArray[np.uint8], faces: NDArray[np.uint8], boxes: Sequence[Box]) -> Views:
    """Views of pictures (N,112,112,3) with their face crops (N,·,·,3) and boxes in the picture."""
    reader = MeshReader()
    mesh = np.stack([reader.read(face) for face in faces])
    reader.close()
    return Views(
        np.stack([head_view(*each) for each in zip(pictures, faces, boxes, strict=True)]),
        np.stack([body_view(picture, box) for picture, box in zip(pictures, boxes, strict=True)]),
        np.stack([square(picture, SCENE) for picture in pictures]),
        mesh,
        np.ones(len(pictures), dtype=bool),
    )


class Viewer:
    """Finds the face in frames of any size and cuts the views; a frame without a face keeps its scene."""

    def __init__(self) -> None:
        from components.perception.faces import FaceDetector

        self._detector = FaceDetector()
        self._mesh = MeshReader()

    def look(self, frames: NDArray[np.uint8]) -> Views:
        """frames (N,H,W,3) uint8 RGB -> views of the largest centred squares."""
        from components.perception.faces import crop_face

        if frames.ndim != 4 or frames.shape[3] != 3:
            raise ValueError(f"frames must be (N,H,W,3), got {frames.shape}")
        cut: list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]] = []
        seen = []
        for frame in frames:
            whole = square(frame, min(frame.shape[:2]))
            picture = square(whole)
            scale = PICTURE / whole.shape[0]
            found = next(iter(self._detector.detect(whole)), None)
            seen.append(found is not None)
            if found is None:
                box: Box = (PICTURE * 0.3, PICTURE * 0.2, PICTURE * 0.7, PICTURE * 0.6)
                head, mesh = square(picture, HEAD), np.zeros(MESH_FEATURES, np.float32)
            else:
                x0, y0, x1, y1 = (value * scale for value in found.box)
                box = (x0, y0, x1, y1)
                face = crop_face(whole, found, PICTURE)
                head, mesh = head_view(picture, face, box), self._mesh.read(face)
            cut.append((head, body_view(picture, box), square(picture, SCENE), mesh))
        empty: NDArray[np.uint8] = np.zeros((0, 1, 1, 3), np.uint8)
        heads = np.stack([row[0] for row in cut]) if cut else empty
        bodies = np.stack([row[1] for row in cut]) if cut else empty
        scenes = np.stack([row[2] for row in cut]) if cut else empty
        meshes = np.stack([row[3] for row in cut]) if cut else np.zeros((0, MESH_FEATURES), np.float32)
        return Views(heads, bodies, scenes, meshes, np.array(seen, dtype=bool))

    def close(self) -> None:
        """Frees detector and mesh."""
        self._detector.close()
        self._mesh.close()


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Trunk(nn.Module):
    """(B,3,S,S) in [-1,1] -> features (B,dim): mean and maximum of the last map say what is there, a few of
    its channels, flattened, say where."""

    def __init__(self, size: int, width: int, dim: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            _block(width, 2 * width, 2), _block(2 * width, 3 * width, 2), _block(3 * width, 3 * width, 1),
        )  # fmt: skip
        self.place = nn.Conv2d(3 * width, 6, 1)
        self.out = nn.Linear(6 * width + 6 * (size // 8) ** 2, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.maps(pictures)
        what = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        return self.dropout(torch.relu(self.out(torch.cat([what, self.place(maps).flatten(1)], 1))))


class Eyes(nn.Module):
    """The three views -> head features (B,dim), body features (B,dim), scene features (B,dim/2)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.head = Trunk(HEAD, width, dim)
        self.body = Trunk(BODY, width, dim)
        self.scene = Trunk(SCENE, width // 2, dim // 2)

    def forward(self, head: Tensor, body: Tensor, scene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.head(head), self.body(body), self.scene(scene)


def augment(
    batch: tuple[Tensor, Tensor, Tensor], flip: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrors the rows where `flip` (B,), changes brightness per colour, shifts and zooms each picture."""
    count = len(flip)
    gain = torch.from_numpy(rng.uniform(0.88, 1.12, (count, 3, 1, 1)).astype(np.float32))
    made = []
    for tensor in batch:
        zoom = torch.from_numpy(rng.uniform(0.88, 1.12, count).astype(np.float32))
        move = torch.from_numpy(rng.uniform(-0.1, 0.1, (count, 2)).astype(np.float32))
        matrix = torch.zeros(count, 2, 3)
        matrix[:, 0, 0] = torch.where(flip, -zoom, zoom)
        matrix[:, 1, 1] = zoom
        matrix[:, :, 2] = move
        grid = functional.affine_grid(matrix, list(tensor.shape), align_corners=False)
        seen = functional.grid_sample(tensor, grid, padding_mode="border", align_corners=False)
        made.append((seen * gain).contiguous(memory_format=torch.channels_last))
    return made[0], made[1], made[2]
