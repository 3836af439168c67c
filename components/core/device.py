"""Where networks run."""

from __future__ import annotations


def best_device() -> str:
    """`cuda` where there is such an accelerator (the first that CUDA_VISIBLE_DEVICES shows), else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
