"""The metrics as functions of torch tensors; `components.evaluation.metrics` holds the accumulating twins."""

from components.evaluation.metrics.functional.copula import copula_similarity
from components.evaluation.metrics.functional.frechet import frechet_distance, frechet_distance_from_features
from components.evaluation.metrics.functional.image import psnr, ssim
from components.evaluation.metrics.functional.motion import (
    beat_alignment,
    subject_consistency,
    temporal_flicker,
)
from components.evaluation.metrics.functional.quality import quality_from_logits
from components.perception.syncnet import sync_scores

__all__ = [
    "beat_alignment",
    "copula_similarity",
    "frechet_distance",
    "frechet_distance_from_features",
    "psnr",
    "quality_from_logits",
    "ssim",
    "subject_consistency",
    "sync_scores",
    "temporal_flicker",
]
