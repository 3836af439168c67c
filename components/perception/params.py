"""Parameters of the `perception` stage: the small nets that stand in where official weights are absent."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.core.params import Params


class PeopleParams(Params):
    """The rendered people that identity, attributes and image-text learn from."""

    persons: int = Field(480, ge=24, description="synthetic people, none of them in the demo corpus")
    pictures: int = Field(4, ge=2, le=16, description="pictures a person: poses, clothes, framings")
    held_out: float = Field(
        0.15, gt=0, lt=0.5, description="share of people kept for measuring, never trained on"
    )


class SyncParams(Params):
    """The small sync model."""

    clips: int = Field(64, ge=6, description="rendered talking clips of different people")
    frames: int = Field(60, ge=40, le=250, description="frames a clip at 25 fps")
    held_out: int = Field(
        16, ge=2, description="of these clips, kept for measuring (other people, other sentences)"
    )
    steps: int = Field(120, ge=1, description="training steps")
    batch: int = Field(8, ge=2, description="clips a step")
    learning_rate: float = Field(2e-3, gt=0, description="peak of a one-cycle schedule")


class IdentityParams(Params):
    """The small identity model."""

    steps: int = Field(150, ge=1, description="training steps")
    batch: int = Field(40, ge=4, description="people a step, two pictures of each")
    learning_rate: float = Field(3e-3, gt=0, description="peak of a one-cycle schedule")
    width: int = Field(16, ge=4, description="channels of the first layer")


class AudioParams(Params):
    """The small audio encoder."""

    sentences: int = Field(160, ge=10, description="synthesised sentences, an eighth of them held out")
    steps: int = Field(240, ge=1, description="training steps")
    batch: int = Field(16, ge=1, description="sentences a step")
    learning_rate: float = Field(3e-3, gt=0, description="peak of a one-cycle schedule")


class PerceptionParams(Params):
    """Small perception nets, trained on synthetic people and sentences that are not in the corpus."""

    people: PeopleParams = Field(PeopleParams(), description="the shared set of rendered people")
    sync: SyncParams = Field(SyncParams(), description="lip-sync model")
    identity: IdentityParams = Field(IdentityParams(), description="face identity model")
    audio: AudioParams = Field(AudioParams(), description="speech encoder")
    workers: int = Field(2, ge=1, description="processes, one thread each; the result does not depend on it")


class WeightsParams(Params):
    """Paths of official weights: section `weights`, optional; relative ones count from params.yaml."""

    folder: Path | None = Field(None, description="a folder that holds files under their published names")
    inception: Path | None = Field(None, description="pt_inception-2015-12-05-6726825d.pth: FID")
    i3d: Path | None = Field(None, description="i3d_torchscript.pt: FVD")
    syncnet: Path | None = Field(None, description="syncnet_v2.model: Sync-C, Sync-D, offset")
    arcface: Path | None = Field(None, description="w600k_r50.onnx: CSIM, Face.sim%, drift")
    dino: Path | None = Field(None, description="dino_vitbase16_pretrain.pth: DINO%, subject consistency")
    alexnet: Path | None = Field(None, description="alexnet-owt-7be5be79.pth: LPIPS")
    qalign: Path | None = Field(None, description="folder of q-future/one-align: IQA")
    qalign_python: Path | None = Field(
        None,
        description="Python of an environment with transformers 4.36 to 4.4x, which one-align's code needs",
    )
    accept: dict[str, str] = Field(
        default_factory=dict,
        description="name → SHA-256 of another file that may be used; its figures carry it in their name",
    )


class ServiceParams(Params):
    """How a large model behind a service is asked; limits, prices and budget of one job."""

    model: str | None = Field(None, description="model's name; null: the client's default")
    endpoint: str | None = Field(None, description="address of the service; null: the client's own")
    key_variable: str = Field(
        "GEMINI_API_KEY", description="environment variable with the key; the key itself is nowhere written"
    )
    concurrency: int = Field(32, ge=1, description="calls under way at once")
    requests_per_minute: float | None = Field(None, gt=0, description="rate limit; null: none of our own")
    timeout_s: float = Field(30.0, gt=0, description="a call without an answer is given up after this")
    attempts: int = Field(5, ge=1, description="calls for a question while the service is away or throttles")
    backoff_s: float = Field(1.0, ge=0, description="first pause; doubles, with jitter")
    longest_backoff_s: float = Field(60.0, ge=0, description="longest pause of our own")
    invalid_retries: int = Field(2, ge=0, description="more calls after an answer that does not fit")
    thinking_budget: int | None = Field(
        None, ge=-1, description="tokens a model may think; null: its own default"
    )
    max_calls: int | None = Field(None, ge=0, description="budget of the job in calls; null: none")
    max_cost: float | None = Field(None, ge=0, description="budget of the job in money; null: none")
    prompt_price: float = Field(1.25, ge=0, description="money per million prompt tokens")
    output_price: float = Field(10.0, ge=0, description="money per million output tokens, thinking included")
    currency: str = Field("USD", description="what money is counted in")


class VisionLanguageParams(Params):
    """A local Qwen2-VL."""

    folder: str | None = Field(None, description="folder with Qwen2-VL-7B-Instruct; never downloaded here")
    batch: int = Field(8, ge=1, description="questions that are answered together")
    least_pixels: int = Field(
        56 * 56, ge=784, description="smaller pictures are scaled up to this many pixels"
    )
    most_pixels: int = Field(512 * 512, ge=784, description="larger pictures are scaled down to this many")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="numbers that the weights are kept in"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


class DescriberParams(Params):
    """A large model that looks at pictures, in the place of a small one."""

    service: ServiceParams = Field(ServiceParams(), description="how it is asked: limits, prices, budget")
    qwen: VisionLanguageParams = Field(VisionLanguageParams(), description="the local model, where it is one")
