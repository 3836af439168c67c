"""The metrics as functions of torch tensors; `components.evaluation.metrics` holds the accumulating twins."""

from components.evaluation.metrics.functional.actions import action_accuracy, action_table
from components.evaluation.metrics.functional.copula import copula_similarity
from components.evaluation.metrics.functional.frechet import frechet_distance, frechet_distance_from_features
from components.evaluation.metrics.functional.hands import hand_keypoint_scores
from components.evaluation.metrics.functional.identity import (
    cosine_to_reference,
    csim_arcface,
    dino_percent,
    face_similarity,
    identity_drift,
)
from components.evaluation.metrics.functional.image import psnr, ssim
from components.evaluation.metrics.functional.motion import (
    beat_alignment,
    dynamic_degree,
    flow_speed,
    kinematic_beats,
    motion_smoothness,
    seam_score,
    subject_consistency,
    temporal_flicker,
)
from components.evaluation.metrics.functional.perceptual import lpips_from_features
from components.evaluation.metrics.functional.quality import quality_from_logits
from components.evaluation.metrics.functional.video import (
    frechet_video_distance,
    fvd_input,
    video_window,
)
from components.perception.syncnet import sync_scores

__all__ = [
    "action_accuracy",
    "action_table",
    "beat_alignment",
    "copula_similarity",
    "cosine_to_reference",
    "csim_arcface",
    "dino_percent",
    "dynamic_degree",
    "face_similarity",
    "flow_speed",
    "frechet_distance",
    "frechet_distance_from_features",
    "frechet_video_distance",
    "fvd_input",
    "hand_keypoint_scores",
    "identity_drift",
    "kinematic_beats",
    "lpips_from_features",
    "motion_smoothness",
    "psnr",
    "quality_from_logits",
    "seam_score",
    "ssim",
    "subject_consistency",
    "sync_scores",
    "temporal_flicker",
    "video_window",
]
