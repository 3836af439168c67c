"""The Inception network of FID: the graph of 2015-12-05 with the state-dict names of its PyTorch port.

`pt_inception-2015-12-05-6726825d.pth` loads key by key. Its differences from torchvision's Inception v3 are
those of the TensorFlow graph: average pools that leave the padding out, one max pool in the last block,
1,008 classes. `InceptionFeatures` runs the same numbers faster.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.core.errors import InputError

if TYPE_CHECKING:
    from components.perception.official import Status

SIDE = 299
FEATURES = 2048
BATCH = 16


class Unit(nn.Module):
    """Convolution without bias, batch norm (eps 1e-3), ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → (N,outputs,H',W')."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(nn.Module):
    """35×35: 1×1, 5×5, double 3×3, pool."""

    def __init__(self, inputs: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 64, 1)
        self.branch5x5_1 = Unit(inputs, 48, 1)
        self.branch5x5_2 = Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Branches concatenated."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_average(x))], 1)


class BlockB(nn.Module):
    """35×35 → 17×17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Branches concatenated."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class BlockC(nn.Module):
    """17×17: factorised 7×7."""

    def __init__(self, inputs: int, middle: int) -> None:
        super().__init__()
        across, down = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = Unit(inputs, 192, 1)
        self.branch7x7_1 = Unit(inputs, middle, 1)
        self.branch7x7_2 = Unit(middle, middle, **across)  # type: ignore[arg-type]
        self.branch7x7_3 = Unit(middle, 192, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_1 = Unit(inputs, middle, 1)
        self.branch7x7dbl_2 = Unit(middle, middle, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_3 = Unit(middle, middle, **across)  # type: ignore[arg-type]
        self.branch7x7dbl_4 = Unit(middle, middle, **down)  # type: ignore[arg-type]
        self.branch7x7dbl_5 = Unit(middle, 192, **across)  # type: ignore[arg-type]
        self.branch_pool = Unit(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Branches concatenated."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class BlockD(nn.Module):
    """17×17 → 8×8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(inputs, 192, 1)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(inputs, 192, 1)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Branches concatenated."""
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        three = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class BlockE(nn.Module):
    """8×8; the last of the two pools by the maximum (an oddity of the TensorFlow graph)."""

    def __init__(self, inputs: int, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Unit(inputs, 320, 1)
        self.branch3x3_1 = Unit(inputs, 384, 1)
        self.branch3x3_2a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Unit(inputs, 448, 1)
        self.branch3x3dbl_2 = Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Unit(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Branches concatenated."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = F.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else _average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pool)]
        return torch.cat(parts, 1)


class FidInception(nn.Module):
    """(N,3,299,299), scaled as the convention says, → (N,2048) features of the last average pool."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, maximum=False)
        self.Mixed_7c = BlockE(2048, maximum=True)
        self.fc = nn.Linear(FEATURES, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """Features, not the 1,008 classes."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        for block in (
            self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b, self.Mixed_6c,
            self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c,
        ):  # fmt: skip
            x = block(x)
        return x.mean((2, 3))

    @classmethod
    def from_file(cls, path: Path) -> FidInception:
        """The network with published weights, in eval mode.

        Raises:
            InputError: the file is missing, or does not hold exactly the network's tensors.
        """
        from components.perception.weights import load_published

        return load_published(cls(), path, "an FID Inception state dict")


def folded(network: nn.Module) -> nn.Module:
    """A copy that computes the same with each batch norm folded into its convolution, channels last."""
    fast = copy.deepcopy(network).eval()
    for unit in [module for module in fast.modules() if isinstance(module, Unit)]:
        unit.conv = nn.utils.fuse_conv_bn_eval(unit.conv, unit.bn)
        unit.bn = nn.Identity()  # type: ignore[assignment]
    return fast.to(memory_format=torch.channels_last)


class InceptionFeatures:
    """FID features of pictures by a named input convention; a folded network in batches.

    Args:
        network: the network with its weights. name, digest: what figures made with it are called.
        convention: a key of `CONVENTIONS`.
    """

    def __init__(
        self, network: FidInception, name: str, digest: str, convention: str = "pytorch-fid"
    ) -> None:
        if convention not in CONVENTIONS:
            raise InputError(f"unknown FID convention {convention!r}; known are {', '.join(CONVENTIONS)}")
        self.network = folded(network)
        self.name = name
        self.digest = digest
        self.convention = convention

    @classmethod
    def official(cls, status: Status, convention: str = "pytorch-fid") -> InceptionFeatures:
        """From verified weights (`official.find`)."""
        assert status.path is not None and status.digest is not None
        return cls(FidInception.from_file(status.path), "inception", status.digest[:12], convention)

    def features(self, pictures: Tensor) -> Tensor:
        """(N,2048) float32 of pictures (N,3,H,W) uint8.

        Raises:
            InputError: another shape or type.
        """
        parts = []
        with torch.inference_mode():
            for begin in range(0, len(pictures), BATCH):
                ready = fid_input(pictures[begin : begin + BATCH], self.convention)
                parts.append(self.network(ready.contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts) if parts else torch.zeros(0, FEATURES)


def fid_input(pictures: Tensor, convention: str) -> Tensor:
    """Pictures (N,3,H,W) uint8 as a package hands them to the network: (N,3,299,299) float32.

    Raises:
        InputError: another shape or type, or an unknown convention.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
        raise InputError(f"FID needs pictures (N,3,H,W) uint8, got {pictures.dtype} {tuple(pictures.shape)}")
    if convention not in CONVENTIONS:
        raise InputError(f"unknown FID convention {convention!r}; known are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention](pictures)


def _pytorch_fid(pictures: Tensor) -> Tensor:
    small = F.interpolate(pictures.float() / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return 2 * small - 1


def _torch_fidelity(pictures: Tensor) -> Tensor:
    """Bilinear as TensorFlow 1 did it: output i looks at input i · in/out, corners not aligned."""
    x = _tensorflow_axis(_tensorflow_axis(pictures.float(), 2), 3)
    return (x - 128) / 128


def _tensorflow_axis(x: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    places = torch.arange(SIDE, device=x.device, dtype=torch.float32) * (size / SIDE)
    low = places.floor().long()
    high = (low + 1).clamp(max=size - 1)
    shape = [1, 1, 1, 1]
    shape[axis] = SIDE
    share = (places - low).view(shape)
    below, above = x.index_select(axis, low), x.index_select(axis, high)
    return below + (above - below) * share


def _torchmetrics(pictures: Tensor) -> Tensor:
    size = (SIDE, SIDE)
    x = F.interpolate(pictures.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
    return (x - 128) / 128


def _clean_fid(pictures: Tensor) -> Tensor:
    """Pillow's bicubic of each channel in float, values beyond 0…255 cut off."""
    import numpy as np
    from PIL import Image

    planes = pictures.float().cpu().numpy()
    out = np.empty((*planes.shape[:2], SIDE, SIDE), np.float32)
    for index, picture in enumerate(planes):
        for channel, plane in enumerate(picture):
            out[index, channel] = Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return (torch.from_numpy(out.clip(0, 255)).to(pictures.device) - 128) / 128


CONVENTIONS = {
    "pytorch-fid": _pytorch_fid,
    "torch-fidelity": _torch_fidelity,
    "torchmetrics": _torchmetrics,
    "clean-fid": _clean_fid,
}
"""Input conventions by the package that has them; figures of two are not comparable."""
