"""`SyncDreamerPipeline.to` moves every network, though encoders and settings are no modules of diffusers."""

from __future__ import annotations

import torch
from torch import nn

from components.avatar.pipeline import SyncDreamerPipeline


class Network(nn.Linear):
    """With the `device` of a diffusers model."""

    @property
    def device(self) -> torch.device:
        return self.weight.device


class Encoders:
    """Notes where it was sent."""

    device: object = None

    def to(self, device: object) -> Encoders:
        self.device = device
        return self


def test_all_networks_move():
    from diffusers import DiffusionPipeline

    pipeline = object.__new__(SyncDreamerPipeline)
    DiffusionPipeline.__init__(pipeline)
    object.__setattr__(pipeline, "transformer", Network(2, 2))
    object.__setattr__(pipeline, "adapter", Network(2, 2))
    object.__setattr__(pipeline, "encoders", Encoders())
    assert pipeline.to("meta") is pipeline
    assert pipeline.transformer.device.type == pipeline.adapter.device.type == "meta"
    assert pipeline.encoders.device == torch.device("meta")
