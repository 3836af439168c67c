"""Accumulating metrics, each a `torchmetrics.Metric`: batched, reduced over ranks, state saved.

`components.evaluation.metrics.functional` holds the functions they apply.
"""

from components.evaluation.metrics.frechet import FrechetDistance
from components.evaluation.metrics.image import PeakSignalNoiseRatio, StructuralSimilarity
from components.evaluation.metrics.sync import SyncScore

__all__ = ["FrechetDistance", "PeakSignalNoiseRatio", "StructuralSimilarity", "SyncScore"]
