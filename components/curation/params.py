"""Parameters of the stages ingest, curate and annotate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.core.params import ABSENT, Params, optional
from components.perception.params import DescriberParams


class SourceParams(Params):
    """One place that clips come from."""

    path: str = Field(
        description="Folder below data/raw, s3://bucket/prefix of the same layout, or "
        "synthetic://people=N,clips=N,seed=N (kind: folder), rendered below state/."
    )
    kind: str = Field("folder", description="Reader, by its name in components.curation.sources.")


class IngestParams(Params):
    """What is read, and from where."""

    sources: tuple[SourceParams, ...] = Field(
        (SourceParams(path="demo"), SourceParams(path="demo_test")), min_length=1, description="Sources."
    )


class Limits(Params):
    """The thresholds: a query over the ledger's scores, so changing one repeats no measurement."""

    min_seconds: float = Field(2.0, ge=0.2, description="Shorter clips and segments are rejected.")
    truncated_rate: float = Field(
        0.9, gt=0, le=1, description="Rejected when less than this share of the claimed duration decodes."
    )
    decode_errors: float = Field(0.0, ge=0, le=1, description="Largest share of packets that fail to decode.")
    min_face_rate: float = Field(
        0.8, ge=0, le=1, description="Smallest share of looked-at frames with a face."
    )
    min_person_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="From this share of the picture on, a person without a face is turned away.",
    )
    max_second_face_rate: float = Field(
        0.2, ge=0, le=1, description="Largest share of frames with two faces."
    )
    min_face_px: float = Field(24.0, ge=0, description="Smallest median height of the face, pixels.")
    min_sharpness: float = Field(40.0, ge=0, description="Smallest median variance of the face's Laplacian.")
    min_frame_sharpness: float = Field(
        60.0,
        ge=0,
        description="The same of the whole frame at 128 px; below it a person's missing face is due to blur.",
    )
    min_exposure: float = Field(25.0, ge=0, le=255, description="Darkest median luminance of the face.")
    max_exposure: float = Field(235.0, ge=0, le=255, description="Brightest median luminance of the face.")
    max_yaw: float = Field(20.0, ge=0, le=180, description="Largest median turn of the head, degrees.")
    min_voice_rate: float = Field(0.25, ge=0, le=1, description="Smallest share of the time with a voice.")
    max_clipping: float = Field(0.005, ge=0, le=1, description="Largest share of samples at full scale.")
    max_voice_change: float = Field(
        0.38,
        ge=0,
        description="Largest change of voice inside a clip (see curation.steps.sound); above, two speak.",
    )
    max_offset: int = Field(
        12, ge=0, description="Largest offset of the sound that is repaired, frames at 25 fps."
    )
    offset_tolerance: int = Field(1, ge=0, description="Offsets up to this are left as they are, frames.")
    min_sync: float = Field(3.3, description="Smallest sync confidence (units of the sync model).")
    allow_silent_sources: bool = Field(
        True, description="Sources that declare `audio: none` are not failed for having no sound."
    )


class WeightsFile(Params):
    """A published file of weights: its content decides, so its hash is a parameter too."""

    path: str = Field(description="The file; relative paths count from the workspace.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 that the file must have.")


class BackendParams(Params):
    """Official weights in the place of what is bundled or trained here. None is ever downloaded.

    The thresholds' defaults are those of the models that these replace: set `limits.min_sync` (of SyncNet,
    some 3 to 6), `detector_score` and the framing ratios (SCRFD's boxes reach from hair to chin) with them.
    """

    syncnet: WeightsFile | None = optional(
        None, description="syncnet_v2.model, or another SyncNet's tensors."
    )
    detector: WeightsFile | None = optional(
        None, description="Detector of an InsightFace pack (SCRFD, det_10g.onnx)."
    )
    identity: WeightsFile | None = optional(
        None, description="Recognition of an InsightFace pack (ArcFace, w600k_r50.onnx)."
    )


class CurateParams(Params):
    """How clips are measured, decided, cut and written."""

    limits: Limits = Field(Limits(), description="Thresholds of the decision.")
    readmit: dict[str, str] = Field(
        {},
        description="Clips kept against their scores: clip id → why (`syncdreamer clips readmit` adds one).",
    )
    max_clip_seconds: float = Field(
        30.0, ge=2, description="Longer shots are cut into equal parts below this."
    )
    cut_speakers: bool = optional(
        False,
        description="Cut where another voice takes over (`limits.max_voice_change`), instead of rejecting.",
    )
    detector_score: float = Field(
        0.65, gt=0, le=1, description="Least score at which a face counts as found."
    )
    detect_every: int = Field(3, ge=1, description="The face detector looks at every n-th frame.")
    mesh_every: int = Field(5, ge=1, description="The face mesh is fitted to every n-th frame.")
    working_side: int = Field(
        512, ge=64, description="Frames with a longer short side are scaled down to this."
    )
    output_size: int = Field(128, ge=16, multiple_of=2, description="Side of the square output, pixels.")
    output_crf: int = Field(12, ge=0, le=51, description="x264 quality of the output; lower is better.")
    close_up_scale: float = Field(2.0, ge=1, description="Side of a close-up's crop in face heights.")
    close_up_ratio: float = Field(
        0.36, gt=0, lt=1, description="Face height in frame heights from which on it is a close-up."
    )
    upper_body_ratio: float = Field(
        0.21, gt=0, lt=1, description="The same for upper body; below it, full body."
    )
    mask_grid: int = Field(16, ge=4, le=64, description="Cells a side of the region masks.")
    identity_distance: float | None = Field(
        None,
        gt=0,
        le=2,
        description="Cosine distance below which two clips show one person; null: the model's own.",
    )
    sync_model: str | None = Field(
        None,
        description="Folder, below the workspace, of a sync model made by `syncdreamer sync train`; null: "
        "that of the perception stage.",
    )
    backends: BackendParams | None = optional(
        None, description="Official SyncNet and InsightFace weights; null: bundled and small models."
    )
    duplicate_picture: float = Field(
        0.12, ge=0, le=0.5, description="Bit error rate of pictures below which they match."
    )
    duplicate_sound: float = Field(
        0.28, ge=0, le=0.5, description="Bit error rate of sound below which it matches."
    )
    val_rate: float = Field(0.08, ge=0, lt=1, description="Share of source videos kept for validation.")
    val_by: Literal["recording", "person"] = optional(
        "person",
        description="What validation holds out: people, so that nobody is in two splits (people who are only "
        "alike go together as well), or recordings (people may be in training: new sentences).",
    )
    samples_per_shard: int = Field(32, ge=1, description="Clips in one tar file.")
    workers: int = Field(
        0, ge=0, description="Processes; 0: one per available core. Changes no byte of the output."
    )
    engine: Literal["local", "ray"] = Field(
        "local", description="Where files are measured: processes here, or a Ray cluster. Changes no byte."
    )
    ray_address: str | None = Field(
        None, description="The cluster; null: RAY_ADDRESS, a running one, or one of this machine alone."
    )
    time_limit_s: float = Field(
        120.0, gt=0, description="Computing time after which a file is given up and told, seconds."
    )
    tombstones: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of tombstones.jsonl; `syncdreamer forget` writes it.",
        json_schema_extra=ABSENT,
    )


class AnnotateParams(Params):
    """How kept clips are described."""

    look_at: int = Field(5, ge=1, le=64, description="Frames of a clip that attributes are read from.")
    workers: int = Field(
        0, ge=0, description="Processes; 0: one per available core. Changes no byte of the output."
    )
    time_limit_s: float = Field(120.0, gt=0, description="A clip that takes longer fails the stage.")
    max_actions: int = Field(2, ge=0, description="Most actions named in the instruction text.")
    text_order: Literal["caption_first", "actions_first"] = Field(
        "caption_first", description="Order of caption and actions in the instruction text."
    )
    attributes_by: Literal["small", "qwen2-vl", "gemini"] = Field(
        "small", description="Who reads attributes from the reference frame."
    )
    captions_by: Literal["small", "gemini", "qwen2-vl"] = Field(
        "small", description="Who writes captions of the reference frame."
    )
    describer: DescriberParams = Field(
        DescriberParams(), description="How the large model is asked, where one is."
    )
