"""I3D, the video network of FVD, as the published TorchScript file; its hash is checked before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError

if TYPE_CHECKING:
    import torch

    from components.perception.official import Status

FEATURES = 400
BATCH_FRAMES = 128
"""Frames that go through the network at once: 8 windows of 16, one of 128."""


class VideoFeatures:
    """400 features before the softmax of each window of frames, as every FVD uses them.

    A TorchScript file is a program: make one only from a file whose hash is the published one.
    """

    name = "i3d"

    def __init__(self, network: Any, digest: str) -> None:
        self.network = network.eval()
        self.digest = digest

    @classmethod
    def official(cls, status: Status) -> VideoFeatures:
        """From verified weights (`official.find`).

        Raises:
            InputError: the hash is neither the published one nor one the user named, or the file is not
                TorchScript.
        """
        if status.state not in ("official", "accepted") or status.path is None or status.digest is None:
            raise InputError(
                f"{status.path}: a TorchScript file is only run if its hash is the published one, or named"
            )
        return cls(_load(status.path), status.digest[:12])

    def features(self, windows: torch.Tensor, inside: bool) -> torch.Tensor:
        """(N,400) float32 of windows (N,3,T,H,W) made by `functional.fvd_input`.

        Args:
            inside: the file itself resizes to 224 px and rescales from 0…255 (StyleGAN-V's convention).

        Raises:
            InputError: another shape, or fewer than 10 frames.
        """
        import torch

        if windows.ndim != 5 or windows.shape[1] != 3 or windows.shape[2] < 10:
            raise InputError(f"I3D takes windows (N,3,T,H,W) with T ≥ 10, got {tuple(windows.shape)}")
        step = max(1, BATCH_FRAMES // windows.shape[2])
        parts = [torch.zeros(0, FEATURES)]
        with torch.inference_mode():
            for begin in range(0, len(windows), step):
                part = windows[begin : begin + step]
                found = self.network(part, rescale=inside, resize=inside, return_features=True)
                found = found.float().flatten(1)
                if found.shape[1] != FEATURES:
                    raise InputError(
                        f"I3D gave {found.shape[1]} features instead of {FEATURES}: not the FVD network"
                    )
                parts.append(found)
        return torch.cat(parts)


CALL = ("rescale", "resize", "return_features")
"""What the published file's forward is asked beside the windows."""


def _load(path: Path) -> Any:
    import torch

    try:
        network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is not a TorchScript file: {first}") from error
    asked = [argument.name for argument in network.forward.schema.arguments][2:]
    if not set(CALL) <= set(asked):
        raise InputError(
            f"{path} is not the I3D of FVD: beside the windows its forward takes "
            f"{', '.join(asked) or 'nothing'}, not {', '.join(CALL)}"
        )
    return network
