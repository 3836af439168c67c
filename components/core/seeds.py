"""One seed governs everything: named streams are derived from it, threads are pinned."""

from __future__ import annotations

import hashlib
import os
import random


def derive(seed: int, *names: object) -> int:
    """An independent 63-bit seed for the stream called `names` (stable across runs and machines)."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def single_thread() -> None:
    """Pins this process to one compute thread: the thread count changes floating-point results."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch and asks torch for deterministic algorithms."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # filling every fresh buffer with NaN costs more than a small model's whole training step
    torch.utils.deterministic.fill_uninitialized_memory = False
