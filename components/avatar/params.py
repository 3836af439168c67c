"""Parameters of the stages vae, encode, train_stage1 and train_stage2."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.params import Params, optional


class LoopParams(Params):
    """What every training loop needs; one DeepSpeed process (rank) has one compute thread."""

    ranks: int = Field(2, ge=1, description="Processes on this machine; part of the result.")
    zero_stage: Literal[0, 1, 2, 3] = Field(0, description="DeepSpeed ZeRO stage.")
    deepspeed_config: str | None = Field(
        None, description="JSON file, relative to the workspace, merged over the built-in DeepSpeed settings."
    )
    warm_up: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled decay.")
    checkpoint_every: int = Field(250, ge=1, description="Steps between checkpoints to resume from.")
    log_every: int = Field(20, ge=1, description="Steps between lines of history.jsonl.")
    reshard: bool = optional(
        False, description="Go on from an unfinished training that differs in its number of ranks alone."
    )


class VaeParams(LoopParams):
    """The video autoencoder: official weights, or a small one trained here."""

    weights: str | None = Field(
        None, description="Folder of an official AutoencoderKLWan; null: train the small one."
    )
    size: int = Field(64, ge=16, multiple_of=16, description="Side of the generated picture, pixels.")
    face_share: float = Field(
        0.62, gt=0.1, le=1, description="Share of a close-up's height that the face takes in the picture."
    )
    follow: bool = Field(
        True, description="The square follows the face: heads are held still, as in Wav2Lip and LatentSync."
    )
    channels: int = Field(128, ge=4, description="Latent channels.")
    width: int = Field(96, ge=8, multiple_of=8, description="Width of the convolutional residuals.")
    encoder_depth: int = Field(1, ge=0, description="Residual blocks of the encoder.")
    decoder_depth: int = Field(2, ge=0, description="Residual blocks of the decoder.")
    smoothing: float = Field(
        0.4, ge=0, description="Jumps between latents below about this are smoothed when decoded; 0: none."
    )
    frames: int = Field(17, ge=1, description="Frames of a training sample, 4k+1.")
    steps: int = Field(
        100, ge=0, description="Optimizer steps of the residuals, after the principal components."
    )
    batch: int = Field(4, ge=1, description="Samples a step over all ranks; a multiple of ranks.")
    learning_rate: float = Field(1.5e-3, gt=0, description="Peak rate, cosine to 0.")
    components_mouth_weight: float = Field(
        60.0,
        ge=1,
        description="Weight of patches in the mouth's region (elsewhere 1) in the principal components.",
    )
    components_eyes_weight: float = Field(12.0, ge=1, description="The same for the eyes.")
    mouth_weight: float = Field(
        8.0, ge=1, description="Weight of the mouth's pixels (elsewhere 1) in training."
    )
    eyes_weight: float = Field(3.0, ge=1, description="The same for the eyes.")
    motion_weight: float = Field(0.5, ge=0, description="Weight of the L1 error of frame differences.")
    kl_weight: float = Field(2e-6, ge=0, description="Weight of the divergence from a standard normal.")


class EncodeParams(Params):
    """What training reads instead of videos."""

    samples_per_shard: int = Field(32, ge=1, description="Clips in one tar file.")
    references: int = Field(8, ge=1, description="Reference frames kept of a clip, evenly spaced.")
    text_tokens: int = Field(
        64, ge=1, description="Text tokens given to the generator; longer texts are cut, counted and told."
    )
    rhythm: bool = Field(
        True, description="Append log RMS, onset, beat phase and log-f0 to the audio features."
    )
    workers: int = Field(
        0, ge=0, description="Processes; 0: one per available core. Changes no byte of the output."
    )
    variants: int = Field(
        0, ge=0, description="Changed copies of a training clip: mirrored, other proportions, other colours."
    )
    moments: bool = Field(
        True, description="A window's text tells the actions that it shows; false: one text a clip."
    )
    text_weights: str | None = optional(
        None, description="Folder with text_encoder/ and tokenizer/ of Wan (umT5) or CogVideoX (T5)."
    )
    audio_weights: str | None = optional(None, description="Folder of an official wav2vec 2.0.")


class GeneratorParams(Params):
    """The transformer and its Visual Adapter, built from nothing unless `backbone` names a checkpoint."""

    backbone: str | None = Field(None, description="Folder of a diffusers Wan transformer to build on.")
    layers: int = Field(4, ge=1, description="Blocks.")
    heads: int = Field(5, ge=1, description="Attention heads.")
    head_dim: int = Field(32, ge=12, description="Width of a head.")
    ffn_dim: int = Field(640, ge=16, description="Inner width of the feed-forward.")
    patch: int = Field(2, ge=1, description="Latent cells a side of a token.")
    identity_queries: tuple[str, ...] = Field(
        ("eyes", "mouth", "hair", "jaw", "hands", "global", "global", "global"),
        description="Region of each identity token: eyes, mouth, hair, jaw, hands or global.",
    )
    identity_dim: int | None = Field(
        160, ge=8, description="Width of an identity token; null: no Visual Adapter."
    )
    audio_window: int | None = Field(
        3, ge=0, description="k of the Audio Dynamics Encoder, frames; null: without it."
    )
    audio_context: int = Field(2, ge=0, description="Frames heard on either side of a latent's own four.")
    architecture: Literal["wan", "cogvideox"] = optional(
        "wan", description="Whose blocks the transformer has."
    )
    lora_rank: int = optional(
        0, ge=0, description="The backbone learns low-rank changes of this rank; 0: all of its weights."
    )


class FlowParams(Params):
    """Noise path, loss and sampling."""

    shift: float = Field(12.0, gt=0, description="Moves training and sampling times towards noise.")
    prediction: Literal["x0", "velocity", "preconditioned"] = Field(
        "preconditioned",
        description="What the network predicts; preconditioned: what a linear guess leaves open.",
    )
    weight_cap: float = Field(1.5, gt=0, description="Cap of the loss weight min(1/t², cap) on x0.")
    mouth_weight: float = Field(
        8.0, ge=1, description="Loss weight of cells in the mouth's region (elsewhere 1)."
    )
    whitening: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Latents are divided by their spread to this power; 1 treats strong and weak ones alike.",
    )


class TrainParams(LoopParams):
    """Common to both stages of the generator."""

    window: int = Field(6, ge=2, description="Latent frames of a training window.")
    batch: int = Field(8, ge=1, description="Windows a step over all ranks; a multiple of ranks.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak rate, cosine to 0.")
    ema: float = Field(
        0.995, ge=0, lt=1, description="Decay of the weights' moving average, which is what is kept."
    )
    drop: float = Field(
        0.1, ge=0, lt=1, description="Probability that text, audio or identity is left out, each."
    )
    drop_text: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="The text's own probability; null: `drop`. Few texts are learnt by heart.",
    )
    plain_text: float = Field(
        0.3, ge=0, le=1, description="Probability that the text tells the action without the caption."
    )
    near_reference: bool = Field(
        True, description="The reference is that of the window's own second; false: any of the clip's."
    )
    prefix_noise: float = Field(
        0.1, ge=0, lt=1, description="Noise level t of the given latents at a window's start."
    )
    localization_weight: float = Field(
        0.4, ge=0, description="Weight of the Attention Localization Loss; 0: off."
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, more time.")
    validation_windows: int = Field(
        48, ge=1, description="Windows of the validation split that the loss is taken on."
    )
    validate_every: int = Field(
        0, ge=0, description="Steps between validations; 0: at the start and the end only."
    )
    sample_clips: int = optional(
        4, ge=0, description="Held-out clips that are generated at each validation in between, to look at."
    )


class TrainStage1Params(TrainParams):
    """Stage 1: text to video on all framings, no sound (a prior of motion and scenes)."""

    model: GeneratorParams = Field(GeneratorParams(), description="The generator.")
    flow: FlowParams = Field(FlowParams(), description="Noise path and loss.")
    steps: int = Field(70, ge=0, description="Optimizer steps.")


class TrainStage2Params(TrainParams):
    """Stage 2: sound added; close-ups (and every other clip with sound, if named)."""

    drop_text: float | None = Field(
        0.5,
        ge=0,
        lt=1,
        description="The text's own probability; null: `drop`. Few texts are learnt by heart.",
    )
    steps: int = Field(560, ge=0, description="Optimizer steps.")
    framings: tuple[str, ...] = Field(("close-up",), min_length=1, description="Framings trained on.")
    sampling_steps: int = Field(
        1, ge=1, description="Default steps of the sampler; 1: the mean of what the conditions allow."
    )
    anchor_stride: int = Field(
        1,
        ge=0,
        description="Every window begins with the reference, one every so many latents, and they are "
        "averaged; 0: a window continues the one before. Below `window`.",
    )
    guidance_text: float = Field(1.0, ge=0, description="Default guidance scale of the text; 1: none.")
    guidance_audio: float = Field(8.0, ge=0, description="Default guidance scale of the audio; 1: none.")
    guidance_focus: float = Field(
        2.0,
        ge=0,
        description="Audio guidance acts above this many times the median place's change; 0: everywhere.",
    )
    guidance_floor: float = Field(
        0.004,
        ge=0,
        description="Share of a latent's variance that sound must explain for half of the audio guidance.",
    )
    hold: float = Field(
        0.9,
        ge=0,
        le=1,
        description="How much the picture is drawn to the reference where sound does not act.",
    )
    guidance_identity: float = Field(
        1.0, ge=0, description="Default guidance scale of the identity; 1: none."
    )

    @model_validator(mode="after")
    def _covered(self) -> Self:
        if self.anchor_stride >= self.window:
            raise ValueError(
                f"anchor_stride {self.anchor_stride} leaves latents between windows of {self.window}: it"
                " must be less than window"
            )
        if self.hold and (not self.guidance_focus or self.guidance_audio == 1):
            raise ValueError(
                "hold needs to know where sound acts: set guidance_focus above 0 and guidance_audio other"
                " than 1, or hold to 0"
            )
        return self
