"""What each gate tolerates: an expectation has a warn rate and a fail rate, a figure has bounds."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.core.params import Params


class Rate(Params):
    """The share of rows that may break an expectation."""

    warn: float = Field(0.0, ge=0, le=1, description="a larger share of failing rows is a warning")
    fail: float = Field(0.0, ge=0, le=1, description="a larger share of failing rows stops the pipeline")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.warn > self.fail:
            raise ValueError(f"warn rate {self.warn} is above the fail rate {self.fail}")
        return self


class Span(Rate):
    """A closed interval that values must lie in, and the share of rows that may lie outside."""

    minimum: float | None = Field(None, description="smallest value allowed")
    maximum: float | None = Field(None, description="largest value allowed")


class Threshold(Params):
    """Bounds for one figure: beyond the bound it stops, beyond the warn bound it warns."""

    minimum: float | None = Field(None, description="a smaller figure stops the pipeline")
    maximum: float | None = Field(None, description="a larger figure stops the pipeline")
    warn_minimum: float | None = Field(None, description="a smaller figure is a warning")
    warn_maximum: float | None = Field(None, description="a larger figure is a warning")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a threshold needs a minimum or a maximum")
        return self


class Drift(Params):
    """How far the manifest may be from the last accepted version (`syncdreamer gates accept`)."""

    baseline: str = Field(description="file of the accepted version, below the workspace")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="its digest")
    scores: Threshold = Field(
        Threshold(maximum=0.25, warn_maximum=0.1), description="population stability index of a score"
    )
    classes: Threshold = Field(
        Threshold(maximum=0.2, warn_maximum=0.1), description="share of clips in other classes than before"
    )


class GateClipsParams(Params):
    """Expectations on the curated manifest (all clips, the rejected ones too)."""

    rejected: Rate = Field(Rate(warn=0.24, fail=0.28), description="clips that curation rejected")
    faulty: Rate = Field(Rate(warn=0.30, fail=0.34), description="clips rejected, repaired or cut")
    complete: Rate = Field(Rate(), description="rows without the columns that every clip must have")
    unique: Rate = Field(Rate(), description="kept clips whose clip_id is used twice")
    explained: Rate = Field(Rate(), description="rejected clips without a reason, kept clips with one")
    known_reasons: Rate = Field(Rate(fail=1.0), description="clips with a reason outside `reasons`")
    reasons: tuple[str, ...] = Field(
        (
            "no_face", "two_people", "blur", "exposure", "silence", "second_voice", "too_short", "truncated",
            "no_audio", "clipped_audio", "duplicate", "tiny_face", "profile", "corrupt", "sync",
        ),
        description="the reasons for which a clip may be rejected",
    )  # fmt: skip
    consent: Rate = Field(Rate(), description="kept clips without consent")
    licence: Rate = Field(Rate(), description="kept clips without a licence")
    measured: Rate = Field(Rate(fail=0.02), description="kept clips that lack a face or picture measurement")
    sync_measured: Rate = Field(Rate(fail=0.05), description="kept clips without a sync confidence")
    face_rate: Span = Field(
        Span(minimum=0.8, maximum=1.0, fail=0.02), description="share of a kept clip's frames with a face"
    )
    single_person: Span = Field(
        Span(minimum=1, maximum=1, warn=0.02, fail=0.1), description="most faces in one frame of a kept clip"
    )
    duration: Span = Field(
        Span(minimum=1.0, maximum=31.0, fail=0.02), description="length of a kept clip in seconds"
    )
    size: Span = Field(Span(minimum=64, fail=0.0), description="shorter side of a kept clip in pixels")
    voice_rate: Span = Field(
        Span(minimum=0.1, maximum=1.0, warn=0.02, fail=0.1), description="share of a kept clip with voice"
    )
    sync_offset: Span = Field(
        Span(minimum=-15, maximum=15), description="measured lag of sound against picture, frames"
    )
    identity_leakage: Rate = Field(Rate(), description="kept clips of a person in the test split and another")
    video_leakage: Rate = Field(Rate(), description="kept clips of a source video in two splits")
    drift: Drift | None = Field(None, description="distance from the last accepted version; null: not asked")
    minimum_kept: dict[str, int] = Field(
        {"train": 8, "val": 1, "test": 2}, description="fewest kept clips a split may have"
    )


class GateAnnotationsParams(Params):
    """Expectations on captions, attributes and the generator's text."""

    annotated: Rate = Field(Rate(), description="kept clips without an annotation")
    home: Rate = Field(Rate(), description="clips whose split or identity differs from the manifest's")
    unique: Rate = Field(Rate(), description="rows whose clip_id is used twice")
    caption: Rate = Field(Rate(warn=0.0, fail=0.01), description="clips with an empty caption")
    caption_tokens: Span = Field(
        Span(minimum=1, maximum=76, warn=0.0, fail=0.01),
        description="caption length in tokens; 77 is CLIP's limit",
    )
    text: Rate = Field(Rate(), description="clips with an empty generator text")
    attributes: Rate = Field(
        Rate(warn=0.0, fail=0.01), description="clips whose attributes are not JSON of the attribute schema"
    )
    unknown_attributes: Rate = Field(
        Rate(warn=0.5, fail=0.9), description="clips where more than half of the attributes are unknown"
    )
    pose: Rate = Field(Rate(warn=0.0, fail=0.01), description="clips whose pose is not a JSON object")
    actions: Rate = Field(
        Rate(warn=0.0, fail=0.01), description="clips whose actions are not a JSON list of known actions"
    )


class GateLatentsParams(Params):
    """Expectations on the encoded clips."""

    encoded: Rate = Field(Rate(), description="annotated clips that were not encoded")
    unique: Rate = Field(Rate(), description="rows whose clip_id is used twice")
    finite: Rate = Field(Rate(), description="clips with a NaN or infinite latent")
    frames: Span = Field(Span(minimum=2, maximum=400), description="latents of a clip")
    audio_frames: Rate = Field(Rate(), description="clips whose audio features do not cover their frames")
    silent: Rate = Field(
        Rate(warn=0.2, fail=0.8), description="clips without sound (they serve stage 1 only)"
    )
    std: Span = Field(
        Span(minimum=0.05, maximum=20.0, fail=0.02), description="standard deviation of a clip's latents"
    )
    mean: Span = Field(Span(minimum=-10.0, maximum=10.0, fail=0.02), description="mean of a clip's latents")
    split: Rate = Field(Rate(), description="clips whose split differs from the annotations'")
    identity_leakage: Rate = Field(Rate(), description="clips of a person in the test split and another")
    minimum_encoded: dict[str, int] = Field(
        {"train": 8, "test": 2}, description="fewest encoded clips a split may have"
    )


class GateCheckpointParams(Params):
    """Bounds on the figures of the generator's training."""

    metrics: dict[str, Threshold] = Field(
        {"validation_loss_ratio": Threshold(minimum=0.0, maximum=0.5)},
        description="bounds by metric name in train_stage2/metrics.json",
    )


class GateEnhancerParams(Params):
    """Bounds on the figures of the enhancer after GRPO.

    A reward that rises while the held-out judge falls is learnt from the judge, not from the task: that ends
    training early (`ended_early`) and stops here.
    """

    metrics: dict[str, Threshold] = Field(
        {
            "sft_action_kept": Threshold(minimum=0.8, maximum=1.0, warn_minimum=0.95),
            "action_kept": Threshold(minimum=0.8, maximum=1.0, warn_minimum=0.95),
            "reward_gain": Threshold(minimum=0.1, warn_minimum=0.15),
            "well_formed": Threshold(minimum=0.85, maximum=1.0, warn_minimum=0.95),
            "held_out_judge_gain": Threshold(minimum=-0.02, warn_minimum=0.0),
            "ended_early": Threshold(maximum=0.0),
            "distinct_bigrams_kept": Threshold(minimum=0.7, warn_minimum=0.9),
            "distinct_texts_kept": Threshold(minimum=0.8, warn_minimum=0.9),
        },
        description="bounds by metric name in enhancer_grpo/metrics.json",
    )


class GateEvaluationParams(Params):
    """Absolute bounds on held-out figures; promotion compares with the champion besides.

    The warn bounds are the targets of the default run; the fail bounds are what a pair must clear
    to be shown to anyone.
    """

    minimum_n: int = Field(1, ge=1, description="fewest clips or cases behind a figure")
    metrics: dict[str, Threshold] = Field(
        {
            "face_rate": Threshold(minimum=0.95, maximum=1.0),
            "aperture_correlation_own": Threshold(minimum=0.3, maximum=1.0, warn_minimum=0.45),
            "aperture_correlation_other": Threshold(minimum=-1.0, maximum=0.15),
            "sync_wins": Threshold(minimum=0.9, maximum=1.0),
            "identity_top1": Threshold(minimum=0.7, maximum=1.0),
            "sync_auc": Threshold(minimum=0.95, maximum=1.0),
            "validation_loss_ratio": Threshold(minimum=0.0, maximum=0.5),
            "enhancer_action_kept": Threshold(minimum=0.8, maximum=1.0, warn_minimum=0.9),
            "enhancer_reward_gain": Threshold(minimum=0.1),
            "enhancer_well_formed": Threshold(minimum=0.85, maximum=1.0, warn_minimum=0.95),
        },
        description="bounds by metric name in evaluation/metrics.json",
    )


SECTIONS: dict[str, type[Params]] = {
    "gate_clips": GateClipsParams,
    "gate_annotations": GateAnnotationsParams,
    "gate_latents": GateLatentsParams,
    "gate_checkpoint": GateCheckpointParams,
    "gate_enhancer": GateEnhancerParams,
    "gate_evaluation": GateEvaluationParams,
}
"""Section of params.yaml → its model."""
