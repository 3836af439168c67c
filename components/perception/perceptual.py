"""LPIPS's network: AlexNet's first five ReLU layers and the learnt weights of their channels (version 0.1).

AlexNet is a given official file (`alexnet-owt-7be5be79.pth`); the 1,152 channel weights are those that
torchmetrics ships (BSD-2-Clause, from the authors).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from components.core.errors import InputError

if TYPE_CHECKING:
    from components.perception.official import Status

TAPS = (1, 4, 7, 9, 11)
"""Places of the ReLUs in `features`."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
BATCH = 32


class AlexNetFeatures(nn.Module):
    """The convolutional part of torchvision's AlexNet, with its state-dict names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        """The five ReLU outputs."""
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                found.append(x)
        return found


class Perceptual:
    """What LPIPS compares: `layers` of pictures and `weights` of their channels.

    Args:
        network: AlexNet's features. weights: five (C,) tensors. digest: of AlexNet's file.
    """

    name = "alexnet"

    def __init__(self, network: AlexNetFeatures, weights: list[Tensor], digest: str) -> None:
        self.network = network.eval()
        self.weights = weights
        self.digest = digest

    @classmethod
    def official(cls, status: Status) -> Perceptual:
        """From verified weights (`official.find`).

        Raises:
            InputError: the file is not torchvision's AlexNet.
        """
        from components.perception.weights import fitting, read_state

        assert status.path is not None and status.digest is not None
        network, kind = AlexNetFeatures(), "torchvision's AlexNet"
        state = read_state(status.path, kind)
        convolutions = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        fitting(shapes, convolutions, status.path, kind)
        network.load_state_dict(convolutions)
        return cls(network, channel_weights(), status.digest[:12])

    def layers(self, pictures: Tensor) -> list[Tensor]:
        """Five feature maps of pictures (N,3,H,W) in [0,1], H and W ≥ 63.

        Raises:
            InputError: another shape, smaller pictures, or values outside [0,1].
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[-2:]) < 63:
            raise InputError(f"LPIPS needs pictures (N,3,H,W) of at least 63 px, got {tuple(pictures.shape)}")
        pictures = pictures.float()
        if len(pictures) and not (float(pictures.min()) >= 0 and float(pictures.max()) <= 1):
            raise InputError("LPIPS needs pictures in [0,1] without NaN")
        shift, scale = (torch.tensor(v, device=pictures.device).view(3, 1, 1) for v in (SHIFT, SCALE))
        with torch.inference_mode():
            ready = ((2 * pictures - 1) - shift) / scale
            parts = [self.network(ready[i : i + BATCH]) for i in range(0, max(1, len(ready)), BATCH)]
        return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def channel_weights() -> list[Tensor]:
    """The authors' weights of the five layers' channels, (C,) each, as torchmetrics ships them.

    Raises:
        InputError: the installed torchmetrics has no such file.
    """
    import torchmetrics

    path = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    if not path.exists():
        raise InputError(f"the installed torchmetrics lacks {path.name} with LPIPS's channel weights")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"].flatten() for index in range(len(TAPS))]
