"""Parameters of the enhancer's two training stages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from components.core.params import Params, optional
from components.perception.params import DescriberParams


class EnhancerModelParams(Params):
    """Shape of the vision-language model (Qwen2-VL), built from configuration."""

    hidden: int = Field(128, ge=16, description="width of the language model")
    layers: int = Field(3, ge=1, description="layers of the language model")
    heads: int = Field(4, ge=1, description="attention heads; half as many key-value heads")
    vision_width: int = Field(64, ge=16, description="width of the vision tower")
    vision_layers: int = Field(2, ge=1, description="layers of the vision tower")
    vocabulary: int = Field(
        1024, ge=300, description="most pieces of the tokenizer; one per word of the domain"
    )
    initializer_range: float = Field(
        0.07, gt=0, description="spread of initial weights; at 0.02 the instruction's action is never copied"
    )
    base: str | None = Field(
        None,
        description="folder or GGUF file of SmolLM2-135M, or package:NAME that has one: its weights are the "
        "language model, its shape and tokenizer replace the ones above",
    )


class TargetParams(Params):
    """How incomplete the SFT targets are: what they lack is what GRPO can gain."""

    keep_attribute: float = Field(0.75, ge=0, le=1, description="chance that a target states an attribute")
    keep_cue: float = Field(0.45, ge=0, le=1, description="chance that a target states a pose cue")
    full_stages: float = Field(
        0.25, ge=0, le=1, description="share of targets with all three temporal stages"
    )
    half_stages: float = Field(0.35, ge=0, le=1, description="share with one or two; the rest has none")
    clips: float = Field(
        0.1, ge=0, le=1, description="share of pairs from curated clips, the rest rendered people"
    )

    @model_validator(mode="after")
    def _shares(self) -> TargetParams:
        if self.full_stages + self.half_stages > 1:
            raise ValueError("full_stages + half_stages must not exceed 1")
        return self


class LoraParams(Params):
    """Low-rank updates in the place of training all weights; the result is merged into whole weights."""

    rank: int = Field(0, ge=0, description="rank of the updates; 0: all weights are trained")
    alpha: float = Field(32.0, gt=0, description="updates are scaled by alpha / rank")


class RanksParams(Params):
    """DeepSpeed on several ranks of this machine."""

    count: int = Field(1, ge=1, description="ranks; 1: in this process, without DeepSpeed")
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="what ZeRO spreads over the ranks")


class EnhancerSftParams(Params):
    """Supervised fine-tuning on image + instruction -> motion-aware prompt."""

    steps: int = Field(640, ge=1, description="optimizer steps")
    batch: int = Field(16, ge=1, description="pairs per step")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate, cosine to zero")
    warmup: int = Field(30, ge=0, description="steps of linear warm-up")
    log_every: int = Field(10, ge=1, description="steps between lines of history.jsonl")
    save_every: int = Field(100, ge=1, description="steps between resumable checkpoints in state/")
    held_out: int = Field(96, ge=1, description="held-out combinations of image and phrasing that are scored")
    model: EnhancerModelParams = Field(EnhancerModelParams(), description="shape of the model")
    targets: TargetParams = Field(TargetParams(), description="completeness of the training targets")
    lora: LoraParams = optional(LoraParams(), description="low-rank updates of the language model")
    ranks: RanksParams = optional(RanksParams(), description="DeepSpeed on several ranks")

    @model_validator(mode="after")
    def _shares(self) -> EnhancerSftParams:
        if self.batch % self.ranks.count:
            raise ValueError(f"batch {self.batch} is no multiple of the {self.ranks.count} ranks")
        return self


class RewardWeights(Params):
    """Weights of the five terms; they must sum to 1."""

    img: float = Field(0.3, ge=0, le=1, description="image faithfulness")
    inst: float = Field(0.25, ge=0, le=1, description="instruction consistency")
    time: float = Field(0.2, ge=0, le=1, description="temporal structure")
    pose: float = Field(0.15, ge=0, le=1, description="pose and gesture cues")
    len: float = Field(0.1, ge=0, le=1, description="conciseness")

    @model_validator(mode="after")
    def _sum(self) -> RewardWeights:
        _check_sum("reward weights", [self.img, self.inst, self.time, self.pose, self.len])
        return self


class CriterionWeights(Params):
    """Weights of the judge's four criteria; they must sum to 1."""

    identity: float = Field(0.25, ge=0, le=1, description="identity and appearance")
    pose: float = Field(0.25, ge=0, le=1, description="pose and body configuration")
    scene: float = Field(0.25, ge=0, le=1, description="scene and background")
    motion: float = Field(0.25, ge=0, le=1, description="motion plausibility")

    @model_validator(mode="after")
    def _sum(self) -> CriterionWeights:
        _check_sum("criterion weights", [self.identity, self.pose, self.scene, self.motion])
        return self


def _check_sum(what: str, values: list[float]) -> None:
    if abs(sum(values) - 1) > 1e-6:
        raise ValueError(f"{what} sum to {sum(values)}, must sum to 1")


class RewardParams(Params):
    """The composite reward (equations 1 to 6)."""

    weights: RewardWeights = Field(RewardWeights(), description="weights of the five terms")
    criteria: CriterionWeights = Field(CriterionWeights(), description="weights of the judge's criteria")
    beta: float = Field(0.6, ge=0, le=1, description="share of the judge in R_img (equation 5)")
    lam: float = Field(0.3, ge=0, le=1, description="share of Jaccard in R_hybrid (equation 4)")
    budget: int = Field(220, ge=1, le=220, description="tokens of the generator's text encoder (equation 6)")
    alpha: float = Field(2.0, ge=2, le=5, description="decay beyond the budget (equation 6)")
    excess: Literal["tokens", "fraction"] = Field("tokens", description="unit of the excess in equation 6")


class JudgeParams(Params):
    """Who judges in R_img and R_inst."""

    kind: Literal["embedded", "gemini", "qwen2-vl"] = Field(
        "embedded", description="the small image-text model with a rule, or a large model"
    )
    time: Literal["rule", "judge"] = Field("rule", description="who gives R_time; the embedded judge cannot")
    describer: DescriberParams = Field(
        DescriberParams(), description="how the large model is asked, where one is"
    )

    @model_validator(mode="after")
    def _time(self) -> JudgeParams:
        if self.time == "judge" and self.kind == "embedded":
            raise ValueError("time: judge needs a judge that is asked about time (gemini or qwen2-vl)")
        return self


class WatchParams(Params):
    """Watching for reward hacking while GRPO runs."""

    every: int = Field(15, ge=0, description="steps between looks; 0: no watching")
    cases: int = Field(
        24, ge=4, description="combinations of training picture and wording that are looked at"
    )
    judge: Literal["reference", "gemini", "qwen2-vl"] = Field(
        "reference", description="the held-out judge: likeness to the complete prompt, or a large model"
    )
    describer: DescriberParams = Field(
        DescriberParams(), description="how the large model is asked, where one is"
    )
    fall: float = Field(
        0.03, gt=0, description="training stops when the held-out judge is this far below its best"
    )
    patience: int = Field(2, ge=1, description="so many looks in a row, the reward not below its value then")
    shown: int = Field(6, ge=0, description="cases a look that are kept as text with picture")


class EnhancerGrpoParams(Params):
    """Group-relative policy optimisation on the composite reward."""

    steps: int = Field(22, ge=1, description="optimizer steps")
    prompts: int = Field(8, ge=1, description="prompts per step")
    group: int = Field(8, ge=2, description="completions per prompt")
    learning_rate: float = Field(1.5e-4, gt=0, description="constant learning rate; 1e-3 collapses")
    beta: float = Field(0.02, ge=0, description="weight of the KL divergence from the SFT model")
    advantage_spread: Literal["group", "batch"] = optional(
        "group",
        description="deviation that rewards are divided by; the group's own makes much of small preferences",
    )
    temperature: float = Field(1.0, gt=0, description="sampling temperature")
    max_new_tokens: int = Field(70, ge=8, description="longest completion")
    save_every: int = Field(20, ge=1, description="steps between resumable checkpoints in state/")
    held_out: int = Field(96, ge=1, description="held-out combinations of image and phrasing that are scored")
    minimum_object_accuracy: float = Field(
        0.9,
        ge=0,
        le=1,
        description="refuse to start below it: an under-trained model learns to invent objects",
    )
    reward: RewardParams = Field(RewardParams(), description="the composite reward")
    judge: JudgeParams = Field(JudgeParams(), description="who judges")
    watch: WatchParams = Field(WatchParams(), description="watching for reward hacking")
    lora: LoraParams = optional(LoraParams(), description="low-rank updates of the language model")
    ranks: RanksParams = optional(RanksParams(), description="DeepSpeed on several ranks")

    @model_validator(mode="after")
    def _shares(self) -> EnhancerGrpoParams:
        if self.prompts % self.ranks.count:
            raise ValueError(
                f"prompts {self.prompts} is no multiple of the {self.ranks.count} ranks: a group stays in one"
            )
        if self.ranks.count > 1 and self.watch.every:
            raise ValueError("watch.every must be 0 on several ranks: the watch generates in one process")
        return self
