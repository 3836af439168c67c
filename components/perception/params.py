"""Parameters of the `perception` stage: the small nets that stand in where official weights are absent."""

from __future__ import annotations

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
