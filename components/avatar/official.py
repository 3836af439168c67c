"""Official encoders behind the same calls as the small ones: umT5 or T5 for text, wav2vec 2.0 for sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from components.core.errors import InputError
from components.core.files import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT_KINDS = {"umt5": "UMT5EncoderModel", "t5": "T5EncoderModel"}


class OfficialText:
    """A transformers T5-family encoder: folder with text_encoder/ and tokenizer/, as diffusers has them."""

    def __init__(self, folder: Path) -> None:
        import transformers

        config = folder / "text_encoder" / "config.json"
        if not config.exists() or not (folder / "tokenizer").is_dir():
            raise InputError(f"text_weights {folder} must hold text_encoder/ and tokenizer/")
        kind = read_json(config).get("model_type")
        if kind not in TEXT_KINDS:
            raise InputError(f"{config} is of type {kind}; one of {', '.join(TEXT_KINDS)} was expected")
        model = getattr(transformers, TEXT_KINDS[kind])
        self.network = model.from_pretrained(str(folder / "text_encoder"), local_files_only=True).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder / "tokenizer"), local_files_only=True
        )

    def to(self, device: str | torch.device) -> None:
        """Moves the network."""
        self.network.to(device)

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Embeddings (B,L,D), zero where there is no token, and which positions hold one (B,L)."""
        given = self.tokenizer(texts, padding=True, truncation=False, return_tensors="pt")
        mask = given["attention_mask"].bool()
        here = given.to(self.network.device)
        hidden = self.network(here["input_ids"], here["attention_mask"]).last_hidden_state.float().cpu()
        return (hidden * mask.unsqueeze(-1)).numpy(), mask.numpy()


class OfficialAudio:
    """wav2vec 2.0: the last layer's hidden states at the video's frame rate."""

    def __init__(self, folder: Path) -> None:
        from components.perception.audio import Wav2Vec2

        self.encoder = Wav2Vec2(folder)

    def to(self, device: str | torch.device) -> None:
        """Moves the network."""
        self.encoder.network.to(device)

    @property
    def width(self) -> int:
        """Width of a frame's features."""
        return int(self.encoder.network.config.hidden_size)

    def features(self, samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """(frames, width); zeros for a sound shorter than wav2vec's receptive field (25 ms)."""
        if len(samples) < 400:
            return np.zeros((frames, self.width), np.float32)
        return self.encoder.features(samples, frames)[:, -1]


def text_encoder(folder: Path) -> Any:
    """The small text encoder or an official one, by what the folder holds."""
    if (folder / "text_encoder").is_dir():
        return OfficialText(folder)
    from components.perception.text import TextEncoder

    return TextEncoder.load(folder)


def audio_encoder(folder: Path) -> Any:
    """The small audio encoder or wav2vec 2.0, by what the folder holds."""
    config = folder / "config.json"
    if config.exists() and read_json(config).get("model_type") == "wav2vec2":
        return OfficialAudio(folder)
    from components.perception.audio import AudioEncoder

    return AudioEncoder.load(folder)
