"""What the drift gate compares and tolerates."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.core.params import Params


class DriftParams(Params):
    """New clips against the clips that the champion was trained on."""

    scores: tuple[str, ...] = Field(
        (
            "duration", "face_rate", "face_size", "blur", "exposure", "yaw", "voice_rate", "clipping",
            "loudness", "sync_offset", "sync_confidence",
        ),
        description="numeric columns of the clip table",
    )  # fmt: skip
    classes: tuple[str, ...] = Field(
        ("framing", "delivery", "decision"), description="columns whose class balance is compared"
    )
    bins: int = Field(10, ge=2, description="quantile bins of the population stability index")
    minimum_clips: int = Field(20, ge=2, description="with fewer new clips nothing is decided")
    alpha: float = Field(
        0.01, gt=0, lt=1, description="chance of a false alarm of the whole check (Holm's correction)"
    )
    warn: float = Field(0.1, gt=0, description="a significant index above this is a warning")
    fail: float = Field(0.25, gt=0, description="a significant index above this is drift")
    permutations: int = Field(2000, ge=100, description="shuffles behind each p value; seeded")
    refresh: bool = Field(True, description="curate new files first (curation looks at those only)")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.warn > self.fail:
            raise ValueError(f"warn {self.warn} is above fail {self.fail}")
        lowest = 1 / (self.permutations + 1)
        if lowest * (len(self.scores) + len(self.classes)) > self.alpha:
            raise ValueError("too few permutations: no shuffle could ever be significant at this alpha")
        return self
