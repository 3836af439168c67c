"""The frozen encoders that turn pictures, sound and text into what the transformer reads.

The same object serves the stage encode and generation, so that training and use see the same numbers.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from components.avatar.audio_dynamics import RHYTHM_CUES, rhythm_cues
from components.avatar.official import OfficialAudio, OfficialText, audio_encoder, text_encoder
from components.avatar.pipeline_files import ENCODERS, FOLDERS
from components.avatar.vae import TIME, check_frames
from components.avatar.vae_training import load_vae
from components.core.files import read_json, write_json
from components.core.paths import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.faces import Face


DECODED_AT_ONCE = 256
"""Latents that are decoded together: 41 s."""


@dataclass(frozen=True)
class EncoderSettings:
    """size: side of the picture (pixels); rhythm: cues appended to the audio; text_tokens: length of the text
    embedding; face_share: the face's height in a close-up's side; follow: training held heads still."""

    size: int
    rhythm: bool
    text_tokens: int
    face_share: float
    follow: bool = False


class Encoders:
    """VAE, audio encoder, identity network (image tokens) and text encoder."""

    def __init__(self, vae: Any, audio: Any, identity: Any, text: Any, settings: EncoderSettings) -> None:
        self.vae, self.audio, self.identity, self.text, self.settings = vae, audio, identity, text, settings
        self.sources: dict[str, Path] = {}

    @classmethod
    def load(cls, folders: dict[str, Path], settings: EncoderSettings) -> Encoders:
        """Reads each encoder from its folder; keys as in `FOLDERS`.

        Raises:
            InputError: a folder or file is missing or does not fit.
        """
        from components.perception.identity import IdentityModel

        for folder in folders.values():
            require(folder, "syncdreamer run")
        made = cls(
            load_vae(folders["vae"]),
            audio_encoder(folders["audio"]),
            IdentityModel.load(folders["identity"]),
            text_encoder(folders["text"]),
            settings,
        )
        made.sources = dict(folders)
        return made

    def to(self, device: str | torch.device) -> Encoders:
        """Moves what may be large, the VAE and official encoders; what comes out of them is on the CPU."""
        self.vae.to(device)
        for encoder in (self.text, self.audio):
            if isinstance(encoder, (OfficialText, OfficialAudio)):
                encoder.to(device)
        return self

    @classmethod
    def from_pipeline(cls, folder: Path) -> Encoders:
        """Reads what `save` wrote."""
        settings = EncoderSettings(**read_json(folder / ENCODERS))
        return cls.load({name: folder / place for name, place in FOLDERS.items()}, settings)

    def save(self, folder: Path) -> None:
        """Copies the encoders' files below `folder`."""
        for name, place in FOLDERS.items():
            shutil.copytree(self.sources[name], folder / place, dirs_exist_ok=True)
        write_json(folder / ENCODERS, vars(self.settings))

    @property
    def audio_dim(self) -> int:
        """Width of a frame's audio features."""
        from components.perception.audio import FEATURES

        return getattr(self.audio, "width", FEATURES) + (len(RHYTHM_CUES) if self.settings.rhythm else 0)

    @torch.inference_mode()
    def latents(self, frames: NDArray[np.uint8]) -> Tensor:
        """(C,F,h,w) float32 of frames (4(F-1)+1,S,S,3) uint8.

        Raises:
            ValueError: not 4k+1 frames.
        """
        check_frames(len(frames))
        video = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
        return self._encoded(video[None])[0]

    @torch.inference_mode()
    def still_latents(self, frames: NDArray[np.uint8]) -> Tensor:
        """(N,C,h,w): each of frames (N,S,S,3) alone."""
        video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return self._encoded(video[:, :, None])[:, :, 0]

    def _encoded(self, video: Tensor) -> Tensor:
        """The posterior's mode, float32 on the CPU."""
        place = {"device": self.vae.device, "dtype": self.vae.dtype}
        return self.vae.encode(video.to(**place)).latent_dist.mode().float().cpu()

    @torch.inference_mode()
    def pictures(self, latents: Tensor) -> NDArray[np.uint8]:
        """Frames (4(F-1)+1,S,S,3) uint8 of latents (C,F,h,w), in parts, so that memory does not grow with F.

        The small VAE's decoder looks as far as its `reach`: each part begins and ends so much further out,
        and what that makes is thrown away. An official VAE decodes frame by frame by itself.
        """
        reach = getattr(self.vae, "reach", None)
        back, ahead = reach or (0, 0)
        size = DECODED_AT_ONCE if reach else latents.shape[1]
        latents = latents.to(device=self.vae.device, dtype=self.vae.dtype)
        made = []
        for begin in range(0, latents.shape[1], size):
            first, last = max(0, begin - back), min(begin + size, latents.shape[1])
            video = self.vae.decode(latents[None, :, first : last + ahead]).sample[0]
            start = (begin - first) * TIME - (TIME - 1) if begin else 0
            new = video[:, start : (last - first - 1) * TIME + 1].float().cpu().clamp(-1, 1)
            made.append(((new + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).contiguous().numpy())
        return made[0] if len(made) == 1 else np.concatenate(made)

    @torch.inference_mode()
    def image_tokens(self, frames: NDArray[np.uint8], faces: list[Face]) -> NDArray[np.float32]:
        """(N,17,D): 4×4 places of the identity network's last layer, and its embedding (zero padded)."""
        from components.perception.faces import crop_face
        from components.perception.identity import _pixels

        crops = np.stack([crop_face(frame, face) for frame, face in zip(frames, faces, strict=True)])
        network = self.identity.network
        places = network.stages(_pixels(crops))
        embedding = torch.nn.functional.normalize(network.head(places.flatten(1)), dim=1)
        tokens = places.flatten(2).transpose(1, 2)
        padded = torch.nn.functional.pad(
            embedding * embedding.shape[1] ** 0.5, (0, tokens.shape[2] - embedding.shape[1])
        )
        return torch.cat([tokens, padded[:, None]], 1).numpy()

    def audio_features(self, samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """(frames, audio_dim) of samples (N,) at 16 kHz."""
        features = self.audio.features(samples, frames)
        if self.settings.rhythm:
            features = np.concatenate([features, rhythm_cues(samples, frames)], 1)
        return features.astype(np.float32)

    def text_embedding(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Embeddings (B,text_tokens,D), zero padded or cut, and the number of tokens each text has."""
        embeddings, mask = self.text.encode(texts)
        length = self.settings.text_tokens
        padded = np.pad(embeddings[:, :length], ((0, 0), (0, max(0, length - embeddings.shape[1])), (0, 0)))
        return padded.astype(np.float32), [int(count) for count in mask.sum(1)]


def latent_frames(frames: int) -> int:
    """Latents that cover `frames` video frames: the smallest F with 4(F-1)+1 ≥ frames."""
    return max(0, -(-(frames - 1) // TIME)) + 1
