"""Videos and posters for people: enlarged, with sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.core.media import write_image, write_video
from components.core.pictures import resized
from components.evaluation.scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

CRF = 22


def write_players(folder: Path, scene: Scene, frames: NDArray[np.uint8], size: int) -> None:
    """Writes videos/NN_{generated,control,ground_truth,side_by_side}.mp4 and posters/NN_*.jpg.

    The control is the same picture with another clip's sound. The measured pixels are the generator's own,
    before any of this.
    """
    stem = f"{scene.role.index:02d}"
    made, truth = resized(frames, size), resized(scene.take.frames, size)
    reference = resized(scene.portrait[None], size)[0]
    own, other = scene.take.samples, scene.other
    videos = folder / "videos"
    write_video(videos / f"{stem}_generated.mp4", made, own, crf=CRF)
    write_video(videos / f"{stem}_control.mp4", made, other, crf=CRF)
    write_video(videos / f"{stem}_ground_truth.mp4", truth, own, crf=CRF)
    still = np.broadcast_to(reference, made.shape)
    write_video(videos / f"{stem}_side_by_side.mp4", np.concatenate([still, truth, made], 2), own, crf=CRF)
    posters = {
        "reference": reference,
        "generated": made[len(made) // 2],
        "ground_truth": truth[len(truth) // 2],
    }
    for name, picture in posters.items():
        write_image(folder / "posters" / f"{stem}_{name}.jpg", picture)
