"""Likeness of a video's frames to its reference picture, and how it wears off over time.

A frame in which no face was found is a row of NaN: it counts as missing and never as a likeness of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from components.core.errors import InputError

DRIFT_SHARE = 0.2
"""Share of the frames that make the start and the end of a clip."""


@dataclass(frozen=True)
class FaceSimilarity:
    """percent: 100 × mean cosine over frames with a face, NaN with none; no_face_rate: share without one."""

    percent: float
    no_face_rate: float


@dataclass(frozen=True)
class IdentityDrift:
    """start, end: mean cosine to the reference in the first and last fifth; loss: start − end.

    per_second is the least-squares slope of the cosine over time (negative: likeness wears off). Each is NaN
    where too few frames have a face.
    """

    start: float
    end: float
    loss: float
    per_second: float


def cosine_to_reference(features: Tensor, reference: Tensor) -> Tensor:
    """Cosine of each frame's feature to the reference's.

    Args:
        features: (T,D), any float dtype; a row of NaN is a frame without a face. reference: (D,).

    Returns:
        (T,) float64 in [-1, 1], NaN where the frame has no feature.

    Raises:
        InputError: no frame, other shapes, a reference or a row that is zero, infinite or NaN in part.
    """
    if features.ndim != 2 or not len(features) or reference.shape != features.shape[1:]:
        raise InputError(
            "likeness needs features (T,D) of at least one frame and a reference (D,), "
            f"got {tuple(features.shape)} and {tuple(reference.shape)}"
        )
    features, reference = features.detach().double(), reference.detach().double()
    missing = torch.isnan(features).all(1)
    rows = features[~missing]
    norms, norm = rows.norm(dim=1), reference.norm()
    if not bool(torch.isfinite(norms).all()) or bool((norms == 0).any()):
        raise InputError("a frame's feature is zero or not finite; a frame without a face is all NaN")
    if not bool(torch.isfinite(norm)) or not float(norm):
        raise InputError("the reference's feature is zero or not finite: no face in the reference picture?")
    cosines = features.new_full((len(features),), torch.nan)
    cosines[~missing] = (rows @ reference / (norms * norm)).clamp(-1, 1)
    return cosines


def csim_arcface(features: Tensor, reference: Tensor) -> Tensor:
    """The field's CSIM: mean cosine of ArcFace embeddings (T,D) to the reference's (D,), frames with a face.

    Returns:
        A float64 scalar; NaN when no frame has a face. Raises as `cosine_to_reference`.
    """
    return cosine_to_reference(features, reference).nanmean()


def dino_percent(features: Tensor, reference: Tensor) -> Tensor:
    """DINO%: 100 × mean cosine of the frames' class tokens (T,D) to the reference picture's (D,).

    The supplement leaves it undefined; this is our reading of it. Every frame has a token.

    Raises:
        InputError: as `cosine_to_reference`, or a frame is NaN.
    """
    cosines = cosine_to_reference(features, reference)
    if bool(torch.isnan(cosines).any()):
        raise InputError("DINO%: a frame's feature is NaN")
    return 100 * cosines.mean()


def face_similarity(features: Tensor, reference: Tensor) -> FaceSimilarity:
    """Face.sim% and, beside it, the rate of frames without a face (whose rows in (T,D) are NaN).

    The supplement leaves Face.sim% undefined; this is our reading of it. Raises as `cosine_to_reference`.
    """
    cosines = cosine_to_reference(features, reference)
    return FaceSimilarity(100 * float(cosines.nanmean()), float(torch.isnan(cosines).double().mean()))


def identity_drift(features: Tensor, reference: Tensor, fps: float = 25.0) -> IdentityDrift:
    """How likeness to the reference (D,) changes from the start to the end of a clip (T,D) at `fps`.

    Raises:
        InputError: as `cosine_to_reference`; fewer than 5 frames; fps not positive.
    """
    if not fps > 0:
        raise InputError(f"fps must be positive, got {fps}")
    if len(features) < round(1 / DRIFT_SHARE):
        raise InputError(f"drift needs at least {round(1 / DRIFT_SHARE)} frames, got {len(features)}")
    cosines = cosine_to_reference(features, reference)
    edge = max(1, int(len(cosines) * DRIFT_SHARE))
    start, end = float(cosines[:edge].nanmean()), float(cosines[-edge:].nanmean())
    seen = ~torch.isnan(cosines)
    slope = float("nan")
    if int(seen.sum()) >= 2:
        times = torch.arange(len(cosines), dtype=torch.float64, device=cosines.device)[seen] / fps
        times = times - times.mean()
        slope = float((times @ cosines[seen]) / times.square().sum())
    return IdentityDrift(start, end, start - end, slope)
