"""Official wav2vec 2.0 behind the same interface as the small encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.perception.audio import Wav2Vec2


def test_official_wav2vec2_of_true_architecture(tmp_path: Path) -> None:
    """A small instance with random weights goes through the same code as the published checkpoint."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, conv_dim=[8] * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(tmp_path)
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    found = Wav2Vec2(tmp_path).features(samples, 25)
    assert found.shape == (25, 3, 16) and np.isfinite(found).all()
