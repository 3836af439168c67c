"""Parameters of the `perception` stage: the small nets that stand in where official weights are absent."""

from __future__ import annotations

from pathlib import Path

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
