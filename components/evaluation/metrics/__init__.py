"""Accumulating metrics, each a `torchmetrics.Metric`: batched, reduced over ranks, state saved.

`components.evaluation.metrics.functional` holds the functions they apply.
"""

from components.evaluation.metrics.clips import (
    ActionAccuracy,
    ArcFaceSimilarity,
    BeatAlignment,
    CopulaSimilarity,
    DinoPercent,
    DynamicDegree,
    FaceSimilarity,
    HandKeypoints,
    IdentityDrift,
    LearnedPerceptualSimilarity,
    MotionSmoothness,
    PictureQuality,
    SeamScore,
    SubjectConsistency,
    TemporalFlicker,
)
from components.evaluation.metrics.frechet import FrechetDistance, FrechetVideoDistance
from components.evaluation.metrics.image import PeakSignalNoiseRatio, StructuralSimilarity
from components.evaluation.metrics.sync import SyncScore

__all__ = [
    "ActionAccuracy",
    "ArcFaceSimilarity",
    "BeatAlignment",
    "CopulaSimilarity",
    "DinoPercent",
    "DynamicDegree",
    "FaceSimilarity",
    "FrechetDistance",
    "FrechetVideoDistance",
    "HandKeypoints",
    "IdentityDrift",
    "LearnedPerceptualSimilarity",
    "MotionSmoothness",
    "PeakSignalNoiseRatio",
    "PictureQuality",
    "SeamScore",
    "StructuralSimilarity",
    "SubjectConsistency",
    "SyncScore",
    "TemporalFlicker",
]
