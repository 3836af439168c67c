"""What is written to disk is the same wherever its buffers happened to lie."""

from __future__ import annotations

import cv2
import numpy as np

from components.core.media import encode_video


def moving_picture(frames: int) -> np.ndarray:
    """A soft ground that drifts, a mouth that opens, some grain, enlarged threefold: (T,192,192,3) uint8."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (64, 64, 3)).astype(np.float32), (0, 0), 2)
    ground = (ground - ground.min()) / (ground.max() - ground.min()) * 200
    made = []
    for index in range(frames):
        picture = np.roll(ground, (int(6 * np.sin(index / 5)), index // 3), (0, 1)).copy()
        opening = int(6 + 5 * np.sin(index * 0.9))
        cv2.ellipse(picture, (32, 44), (10, opening), 0, 0, 360, (90, 20, 30), -1)
        cv2.ellipse(picture, (32, 30), (18, 4), 0, 0, 360, (250, 240, 230), -1)
        picture = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        made.append(cv2.resize(picture, (192, 192), interpolation=cv2.INTER_CUBIC))
    return np.stack(made)


def test_the_same_frames_give_the_same_bytes():
    """With x264's default arithmetic this gives several different files."""
    frames, rng, made = moving_picture(100), np.random.default_rng(1), set()
    for _ in range(10):
        ballast = [rng.bytes(int(size)) for size in rng.integers(100, 3_000_000, 6)]
        ballast = ballast[:: int(rng.integers(1, 3))]  # leaves holes: buffers lie elsewhere each time
        made.add(encode_video(frames, crf=22))
        del ballast
    assert len(made) == 1
