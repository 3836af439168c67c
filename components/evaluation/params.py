"""Parameters of the evaluate stage."""

from __future__ import annotations

from pydantic import Field

from components.core.params import Params, optional


class EvaluateParams(Params):
    """Which clips are generated and how they are scored."""

    test_people: int = Field(8, ge=1, description="people of the test split, each with the own clip's sound")
    training_people: int = Field(
        8,
        ge=0,
        description="people of training, each with a sentence of the test split that they never spoke",
    )
    seconds: float = Field(5.0, gt=0.5, le=60, description="length of every generated clip")
    steps: int | None = Field(None, ge=1, description="denoising steps; null: the pipeline's own")
    guidance_audio: float | None = Field(
        None, ge=0, description="guidance scale of the sound; null: the pipeline's own"
    )
    batch: int = Field(
        4, ge=1, description="clips generated together (part of the result: it fixes the bits)"
    )
    identity_stride: int = Field(5, ge=1, description="every n-th frame goes to the identity model")
    sync_shift: int = Field(3, ge=1, description="least shift, frames, of the out-of-sync class of sync_auc")
    sync_model: str | None = optional(
        None,
        description="folder, below the workspace, of a sync model made by `syncdreamer sync train`; null: "
        "that of the perception stage",
    )
    enhancer_cases: int = Field(64, ge=4, description="held-out combinations of picture and phrasing")
    resamples: int = Field(2000, ge=100, description="bootstrap resamples over clips")
    level: float = Field(0.95, gt=0.5, lt=1, description="coverage of the intervals")
    viewing_size: int = Field(
        192, ge=64, multiple_of=2, description="side of the clips made for watching, px"
    )
    workers: int = Field(0, ge=0, description="processes; 0: one per available core. Changes no byte")


class CurvesParams(Params):
    """Nothing to set: tables of what the trainings noted."""
