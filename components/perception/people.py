"""The shared set of other synthetic people: pictures with full truth that the small nets learn from.

Seeds start at `FIRST_SEED`, a range that the corpus never draws from.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.files import read_parquet, to_json, write_bytes, write_parquet
from components.core.seeds import derive

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from components.corpus.pose import Pose
    from components.perception.faces import FaceDetector

FIRST_SEED = 10_000_000_000
SIZE = 112
NATIVE = {"close-up": 128, "upper body": 192, "full body": 256}
"""Pixels that each framing is drawn at, as in the corpus, before it becomes a picture of `SIZE`."""
FRAMING_CYCLE = ("close-up", "upper body", "close-up", "full body")
JPEG_QUALITY = 90
PICTURES, FACES, TABLE = "pictures.tar", "faces.tar", "people.parquet"


@dataclass(frozen=True)
class People:
    """pictures (N,112,112,3) and face crops (N,112,112,3), uint8; table with one row a picture.

    Columns: person (0 …), picture, seed, framing, held_out (bool: never train on it), attributes (JSON, the
    schema of core.vocabulary), pose (JSON), x0 y0 x1 y1 (face box in the picture, px).
    """

    pictures: NDArray[np.uint8]
    faces: NDArray[np.uint8]
    table: pd.DataFrame


def random_pose(rng: np.random.Generator, framing: str) -> Pose:
    """A pose for a single picture: every value of every attribute is frequent and clear of its threshold."""
    from components.corpus.pose import Hand, Pose

    def near(scale: float) -> float:
        return float(np.clip(rng.normal(0, scale), -2 * scale, 2 * scale))

    head = int(rng.choice(5, p=(0.44, 0.16, 0.16, 0.12, 0.12)))
    gaze = int(rng.choice(4, p=(0.46, 0.18, 0.18, 0.18)))
    mood = int(rng.choice(4, p=(0.34, 0.24, 0.21, 0.21)))
    lean = int(rng.choice(3, p=(0.7, 0.15, 0.15)))
    holding = bool(rng.random() < 0.5)
    left_hand: Hand | None = None
    right_hand: Hand | None = None
    if framing != "close-up" and not holding and rng.random() < 0.55:
        side = int(rng.choice((-1, 1)))
        x, y = side * float(rng.uniform(1.75, 2.35)), float(rng.uniform(0.6, 2.0))
        hand = Hand(x, y, str(rng.choice(("open", "point"))))
        left_hand, right_hand = (None, hand) if side > 0 else (hand, None)
    speaking = rng.random() < 0.6
    return Pose(
        yaw=near(0.06) + (0.0, -float(rng.uniform(0.33, 0.5)), float(rng.uniform(0.33, 0.5)), 0.0, 0.0)[head],
        pitch=near(0.06),
        roll=near(0.02)
        + (0.0, 0.0, 0.0, -float(rng.uniform(0.2, 0.32)), float(rng.uniform(0.2, 0.32)))[head],
        aperture=float(rng.uniform(0, 0.9)) if speaking else 0.0,
        mouth_width=float(rng.uniform(-0.8, 0.8)) if speaking else 0.0,
        smile=near(0.08) + (0.0, float(rng.uniform(0.65, 1.0)), -float(rng.uniform(0.65, 1.0)), 0.0)[mood],
        blink=1.0 if rng.random() < 0.04 else 0.0,
        brow=near(0.08) + (0.0, 0.0, 0.0, float(rng.uniform(0.8, 1.0)))[mood],
        gaze_x=near(0.08) + (0.0, -float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.7, 1.0)), 0.0)[gaze],
        gaze_y=near(0.08) + (0.0, 0.0, 0.0, float(rng.uniform(0.75, 1.0)))[gaze],
        lean=near(0.1) + (0.0, -float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.7, 1.0)))[lean],
        holding=holding,
        left_hand=left_hand,
        right_hand=right_hand,
    )


def rendered_person(
    person: int, pictures: int, seed: int, detector: FaceDetector
) -> list[tuple[dict[str, Any], NDArray[np.uint8], NDArray[np.uint8]]]:
    """`pictures` of one person, each as (row of the table, picture, face crop); clothes change halfway."""
    import cv2

    from components.corpus.people import dress, sample_person
    from components.corpus.render import attributes_of, render
    from components.perception.faces import crop_face

    number = FIRST_SEED + derive(seed, "person", person) % 1_000_000_000
    body = sample_person(number)
    made: list[tuple[dict[str, Any], NDArray[np.uint8], NDArray[np.uint8]]] = []
    for index in range(pictures):
        framing = FRAMING_CYCLE[index % len(FRAMING_CYCLE)]
        if index and index % 2 == 0:
            body = dress(body, index)
        found: list[Any] = []
        for attempt in range(4):  # a face that the detector misses is posed again
            rng = np.random.default_rng(derive(seed, "pose", person, index, attempt))
            pose = random_pose(rng, framing)
            frame = render(body, pose, NATIVE[framing], framing)
            found = detector.detect(frame)
            if found:
                break
        if not found:
            continue
        scale = SIZE / NATIVE[framing]
        row = {
            "person": person,
            "picture": index,
            "seed": number,
            "framing": framing,
            "attributes": to_json(attributes_of(body, pose, framing), indent=None),
            "pose": to_json({k: v for k, v in vars(pose).items() if v is not None}, indent=None),
            **{
                key: round(v * scale, 2)
                for key, v in zip(("x0", "y0", "x1", "y1"), found[0].box, strict=True)
            },
        }
        picture = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        made.append((row, picture, crop_face(frame, found[0], SIZE)))
    return made


def render_chunk(path: Path, persons: range, pictures: int, seed: int) -> Path:
    """Renders some people into one .npz of JPEG bytes (work in progress; made whole or not at all)."""
    from components.core.seeds import single_thread
    from components.perception.faces import FaceDetector

    if path.exists():
        return path
    single_thread()
    rows, images, crops = [], [], []
    with FaceDetector() as detector:
        for person in persons:
            for row, picture, crop in rendered_person(person, pictures, seed, detector):
                rows.append(row)
                images.append(picture)
                crops.append(crop)
    buffer = io.BytesIO()
    np.savez(buffer, rows=np.array(to_json(rows, None)), pictures=np.stack(images), faces=np.stack(crops))
    return write_bytes(path, buffer.getvalue())


def rendered_people(folder: Path, chunks: list[Path], held_out: float) -> People:
    """Joins rendered chunks, in their order, into the artifact: two tars of JPEG and people.parquet.

    Raises:
        InputError: no picture in any chunk.
    """
    import json

    import pandas as pd

    rows: list[dict[str, Any]] = []
    pictures, faces = [], []
    for chunk in chunks:
        with np.load(chunk) as data:
            rows += json.loads(str(data["rows"]))
            pictures.append(data["pictures"])
            faces.append(data["faces"])
    if not rows:
        raise InputError("no person could be rendered")
    table = pd.DataFrame(rows)
    total = int(table["person"].max()) + 1
    table["held_out"] = table["person"] >= round(total * (1 - held_out))
    _write_tar(folder / PICTURES, np.concatenate(pictures))
    _write_tar(folder / FACES, np.concatenate(faces))
    write_parquet(folder / TABLE, table)
    return read_people(folder)


def _write_tar(path: Path, images: NDArray[np.uint8]) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index, image in enumerate(images):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "JPEG", quality=JPEG_QUALITY)
            entry = tarfile.TarInfo(f"{index:06d}.jpg")
            entry.size = data.tell()
            tar.addfile(entry, io.BytesIO(data.getvalue()))
    write_bytes(path, buffer.getvalue())


def _read_tar(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    images = []
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                if file is not None:
                    images.append(np.asarray(Image.open(file).convert("RGB")))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; `syncdreamer stage perception` makes it") from error
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return np.stack(images)


def read_people(folder: Path) -> People:
    """Reads artifacts/perception/people.

    Raises:
        InputError: a file is missing, damaged, or they do not belong together.
    """
    table = read_parquet(folder / TABLE)
    pictures, faces = _read_tar(folder / PICTURES), _read_tar(folder / FACES)
    if not len(table) == len(pictures) == len(faces):
        raise InputError(
            f"{folder}: {len(table)} rows, {len(pictures)} pictures and {len(faces)} faces do not match"
        )
    return People(pictures, faces, table)
