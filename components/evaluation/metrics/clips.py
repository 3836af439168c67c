"""Metrics of single clips, averaged over clips and ranks; what a clip lacks is counted, not guessed."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from components.core.errors import InputError
from components.evaluation.metrics.functional.actions import NOTHING, action_accuracy
from components.evaluation.metrics.functional.copula import copula_similarity
from components.evaluation.metrics.functional.hands import hand_keypoint_scores
from components.evaluation.metrics.functional.identity import (
    csim_arcface,
    dino_percent,
    face_similarity,
    identity_drift,
)
from components.evaluation.metrics.functional.motion import (
    beat_alignment,
    dynamic_degree,
    motion_smoothness,
    seam_score,
    subject_consistency,
    temporal_flicker,
)
from components.evaluation.metrics.functional.perceptual import lpips_from_features
from components.evaluation.metrics.functional.quality import quality_from_logits


class _MeanOverItems(Metric):
    """The mean of each of `fields` over items; an item's NaN is missing, and for that field alone."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    fields: ClassVar[tuple[str, ...]] = ("value",)
    totals: Tensor
    counts: Tensor
    items: Tensor

    def __init__(self, network: str | None = None, **kwargs: Any) -> None:
        """`network` names what made the features, if a network did; it is part of the figure's name."""
        super().__init__(**kwargs)
        self.network = network
        size = len(self.fields)
        for name, start in (
            ("totals", torch.zeros(size, dtype=torch.float64)),
            ("counts", torch.zeros(size, dtype=torch.int64)),
            ("items", torch.zeros((), dtype=torch.int64)),
        ):
            self.add_state(name, start, dist_reduce_fx="sum", persistent=True)

    def _add(self, values: Tensor) -> None:
        """Adds items (N, fields)."""
        values = values.to(self.totals)
        missing = torch.isnan(values)
        self.totals += torch.where(missing, 0.0, values).sum(0)
        self.counts += (~missing).sum(0)
        self.items += len(values)

    def _means(self) -> Tensor:
        if not int(self.items):
            raise InputError(f"{type(self).__name__}: no item was given")
        return torch.where(self.counts > 0, self.totals / self.counts.clamp(min=1), torch.nan)

    def compute(self) -> Any:
        """The mean over items, a float64 scalar; NaN when every item lacks it.

        Raises:
            InputError: no item was given.
        """
        return self._means()[0]


class _Fields(_MeanOverItems):
    """Several figures: `compute` gives them by name, with `missing`, the share of items without the first."""

    def compute(self) -> dict[str, Tensor]:
        """Means by name, float64 scalars.

        Raises:
            InputError: no item was given.
        """
        means = self._means()
        figures = dict(zip(self.fields, means, strict=True))
        return figures | {"missing": 1 - self.counts[0].double() / self.items}


class CopulaSimilarity(_MeanOverItems):
    """CSIM in the supplement's meaning (`csim_copula`): mean over pictures of the copula similarity."""

    higher_is_better = True

    def update(self, a: Tensor, b: Tensor) -> None:
        """Adds pairs of pictures (N,3,H,W)."""
        self._add(copula_similarity(a, b)[:, None])


class ArcFaceSimilarity(_Fields):
    """CSIM in the field's meaning: mean over clips of the mean cosine; a clip without a face is missing."""

    higher_is_better = True
    fields = ("csim",)

    def update(self, features: Tensor, reference: Tensor) -> None:
        """Adds a clip: embeddings (T,D), NaN rows without a face, and the reference's (D,)."""
        self._add(csim_arcface(features, reference).view(1, 1))


class FaceSimilarity(_Fields):
    """Face.sim% over clips and, beside it, the mean rate of frames without a face."""

    higher_is_better = True
    fields = ("percent", "no_face_rate")

    def update(self, features: Tensor, reference: Tensor) -> None:
        """Adds a clip: embeddings (T,D), NaN rows without a face, and the reference's (D,)."""
        scores = face_similarity(features, reference)
        self._add(torch.tensor([[scores.percent, scores.no_face_rate]]).double())


class DinoPercent(_MeanOverItems):
    """DINO% over clips."""

    higher_is_better = True

    def update(self, features: Tensor, reference: Tensor) -> None:
        """Adds a clip: class tokens (T,D) and the reference picture's (D,)."""
        self._add(dino_percent(features, reference).view(1, 1))


class IdentityDrift(_Fields):
    """Likeness at the start and the end of clips, what is lost between, and its slope a second."""

    higher_is_better = None
    fields = ("loss", "per_second", "start", "end")

    def __init__(self, network: str | None = None, fps: float = 25.0, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.fps = fps

    def update(self, features: Tensor, reference: Tensor) -> None:
        """Adds a clip: embeddings (T,D), NaN rows without a face, and the reference's (D,)."""
        drift = identity_drift(features, reference, self.fps)
        values = [drift.loss, drift.per_second, drift.start, drift.end]
        self._add(torch.tensor([values], dtype=torch.float64))


class SubjectConsistency(_MeanOverItems):
    """VBench's subject consistency: as published, the mean over all frames of all clips (not over clips)."""

    higher_is_better = True

    def update(self, features: Tensor) -> None:
        """Adds a clip's features (T,D), T ≥ 2."""
        value = subject_consistency(features)
        self._add(value.expand(len(features) - 1, 1))


class TemporalFlicker(_MeanOverItems):
    """VBench's temporal flickering over clips."""

    higher_is_better = True

    def update(self, frames: Tensor) -> None:
        """Adds a clip (T,3,H,W) on the 0–255 scale."""
        self._add(temporal_flicker(frames).view(1, 1))


class MotionSmoothness(_MeanOverItems):
    """VBench's motion smoothness over clips; `network` names the interpolator."""

    higher_is_better = True

    def update(self, frames: Tensor, interpolated: Tensor) -> None:
        """Adds a clip (T,3,H,W) and its interpolated odd frames, both on the 0–255 scale."""
        self._add(motion_smoothness(frames, interpolated).view(1, 1))


class DynamicDegree(_MeanOverItems):
    """Share of clips that move (VBench); `network` names the flow."""

    higher_is_better = None

    def update(self, flow: Tensor, fps: float = 8.0) -> None:
        """Adds a clip of `fps` by the flow (P,2,H,W) px between its sampled frames."""
        self._add(dynamic_degree(flow, fps).view(1, 1))


class SeamScore(_MeanOverItems):
    """Mean over clips of how much more a seam changes than an ordinary step."""

    higher_is_better = False

    def update(self, frames: Tensor, seams: Tensor) -> None:
        """Adds a clip (T,…) and the first frames (S,) of its later pieces."""
        self._add(seam_score(frames, seams).view(1, 1))


class BeatAlignment(_MeanOverItems):
    """Beat alignment, motion → music, over clips."""

    higher_is_better = True

    def __init__(self, sigma: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sigma = sigma

    def update(self, motion_times: Tensor, music_times: Tensor) -> None:
        """Adds a clip by its kinematic and musical beats in seconds."""
        self._add(beat_alignment(motion_times, music_times, self.sigma).view(1, 1))


class HandKeypoints(_Fields):
    """HKC, HKV and the rate of frames without a hand, over clips; a clip without hands has no HKC."""

    higher_is_better = True
    fields = ("confidence", "variance", "no_hand_rate")

    def update(self, confidence: Tensor, positions: Tensor) -> None:
        """Adds a clip: confidence (T,H,K) and positions (T,H,K,2), NaN where a hand is not seen."""
        scores = hand_keypoint_scores(confidence, positions)
        values = [scores.confidence, scores.variance, scores.no_hand_rate]
        self._add(torch.tensor([values], dtype=torch.float64))


class PictureQuality(_MeanOverItems):
    """Q-Align's quality in [0,1], mean over pictures; on the published 1–5 scale it is 1 + 4·s."""

    higher_is_better = True

    def update(self, logits: Tensor) -> None:
        """Adds logits (N,5) over (excellent, good, fair, poor, bad)."""
        self._add(quality_from_logits(logits.double()).view(-1, 1))


class LearnedPerceptualSimilarity(_MeanOverItems):
    """LPIPS over pairs of pictures; `net` is a `perception.perceptual.Perceptual`."""

    higher_is_better = False

    def __init__(self, net: Any, **kwargs: Any) -> None:
        super().__init__(f"{net.name}@{net.digest}", **kwargs)
        self.net = net

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Adds pairs (N,3,H,W) in [0,1]."""
        if pred.shape != target.shape:
            raise InputError(f"pictures of different sizes: {tuple(pred.shape)} and {tuple(target.shape)}")
        values = lpips_from_features(self.net.layers(pred), self.net.layers(target), self.net.weights)
        self._add(values[:, None])


class ActionAccuracy(_MeanOverItems):
    """Share of clips whose requested action is recognised; clips without a request do not count."""

    higher_is_better = True

    def update(self, requested: Tensor, recognised: Tensor) -> None:
        """Adds clips: asked index (N,) (−1: none) and seen actions (N,A) bool."""
        action_accuracy(requested, recognised)  # checks shapes and range
        for asked, seen in zip(requested.tolist(), recognised.bool(), strict=True):
            value = torch.nan if asked == NOTHING else float(seen[asked])
            self._add(torch.tensor([[value]], dtype=torch.float64))
