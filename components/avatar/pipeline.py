"""Generation: a portrait, a sound of any length and a text in, a talking video out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from components.avatar.backbones import saved_transformer
from components.avatar.data import Statistics
from components.avatar.encoders import Encoders, latent_frames
from components.avatar.generator import Generator
from components.avatar.pipeline_files import AVATAR, STATISTICS, write_index
from components.avatar.portrait import InputWarning, check_audio, check_text, frame_portrait
from components.avatar.sampling import Conditions, Guidance, sample
from components.avatar.scheduler.flow import FlowMatching
from components.avatar.transformer import SyncDreamerTransformer3DModel
from components.avatar.visual_adapter import VisualAdapter
from components.core.errors import InputError
from components.core.files import read_json, write_json
from components.core.media import FPS, SAMPLE_RATE
from components.core.paths import require
from components.core.pictures import resized
from components.core.seeds import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SyncDreamerPipeline(DiffusionPipeline):
    """Transformer, Visual Adapter, noise path, frozen encoders and latent statistics.

    settings: window and prefix_noise of training, guidance_focus, guidance_floor, hold, anchor_stride, and
    the defaults of steps, guidance_text, guidance_audio and guidance_identity.
    """

    def __init__(
        self,
        transformer: SyncDreamerTransformer3DModel,
        adapter: VisualAdapter,
        scheduler: FlowMatching,
        encoders: Encoders,
        statistics: Statistics,
        settings: dict[str, Any],
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, adapter=adapter, scheduler=scheduler)
        self.encoders, self.statistics, self.settings = encoders, statistics, settings
        self.generator = Generator(transformer, adapter).eval()

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> SyncDreamerPipeline:
        """Reads a pipeline folder (artifacts/train_stage2/pipeline); nothing outside it is needed.

        Raises:
            InputError: a part is missing or does not fit.
        """
        folder = require(Path(folder), "syncdreamer stage train_stage2")
        settings = read_json(folder / AVATAR)
        return cls(
            saved_transformer(folder / "transformer").eval(),
            VisualAdapter.from_pretrained(folder / "adapter").eval(),
            FlowMatching.from_pretrained(folder / "scheduler"),
            Encoders.from_pipeline(folder),
            Statistics.load(folder / STATISTICS),
            settings,
        )

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes what `from_pretrained` reads."""
        folder = Path(folder)
        self.transformer.save_pretrained(folder / "transformer")
        self.adapter.save_pretrained(folder / "adapter")
        self.scheduler.save_pretrained(folder / "scheduler")
        self.encoders.save(folder)
        self.statistics.save(folder / STATISTICS)
        write_json(folder / AVATAR, self.settings)
        write_index(folder)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves the networks, the encoders too, as `torch.nn.Module.to` does.

        Not `DiffusionPipeline.to`: it asks for `components`, which wants every argument of the constructor
        registered, and encoders, statistics and settings are no modules of diffusers.
        """
        for network in (self.transformer, self.adapter):
            network.to(*args, **kwargs)
        self.encoders.to(self.transformer.device)
        return self

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        return self.encoders.settings.size

    def __call__(
        self,
        image: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        audio: NDArray[np.float32] | Sequence[NDArray[np.float32]],
        text: str | Sequence[str],
        seed: int | Sequence[int] = 0,
        *,
        steps: int | None = None,
        guidance_text: float | None = None,
        guidance_audio: float | None = None,
        guidance_identity: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[NDArray[np.uint8]]:
        """Generates one video for each (image, audio, text, seed), side by side.

        Args:
            image: portraits (H,W,3) uint8 of any size; the largest face is cut out as in training.
            audio: sounds (N,) float32 at 16 kHz, of any length; a video has ceil(N/640) frames.
            text: what the person should do.
            seed: of each clip's noise.
            steps, guidance_…: None takes the pipeline's own; a scale of 1 is no guidance.
            progress: called with (windows done, windows).

        Returns:
            One (T,S,S,3) uint8 array a clip, at 25 fps.

        Raises:
            InputError: an input cannot be used (no face, no sound, no text), or the counts differ.
        """
        if isinstance(text, str):
            images, sounds, texts = [np.asarray(image)], [np.asarray(audio)], [text]
        else:
            images, sounds, texts = list(image), list(audio), list(text)
        seeds = [seed] * len(texts) if isinstance(seed, int) else list(seed)
        if not len(images) == len(sounds) == len(texts) == len(seeds) or not texts:
            raise InputError(
                f"{len(images)} images, {len(sounds)} sounds, {len(texts)} texts, {len(seeds)} seeds differ"
            )
        guidance = Guidance(
            text=self.settings["guidance_text"] if guidance_text is None else guidance_text,
            audio=self.settings["guidance_audio"] if guidance_audio is None else guidance_audio,
            identity=self.settings["guidance_identity"] if guidance_identity is None else guidance_identity,
            focus=self.settings.get("guidance_focus", 0.0),
            floor=self.settings.get("guidance_floor", 0.0),
            hold=self.settings.get("hold", 0.0),
        )
        sounds = [check_audio(each) for each in sounds]
        frames = [max(1, -(-len(each) * FPS // SAMPLE_RATE)) for each in sounds]
        reference, conditions = self._conditions(
            images, sounds, [check_text(each) for each in texts], seeds, frames
        )
        made = sample(
            self.generator,
            self.scheduler,
            conditions,
            guidance,
            steps=self.settings["steps"] if steps is None else steps,
            window=self.settings["window"],
            prefix_noise=self.settings["prefix_noise"],
            stride=self.settings.get("anchor_stride", 0),
            progress=progress,
        )
        latents = self.statistics.restore(made, reference)
        return [
            self.encoders.pictures(each[:, : latent_frames(count)])[:count]
            for each, count in zip(latents, frames, strict=True)
        ]

    def _conditions(
        self,
        images: list[NDArray[np.uint8]],
        sounds: list[NDArray[np.float32]],
        texts: list[str],
        seeds: list[int],
        frames: list[int],
    ) -> tuple[torch.Tensor, Conditions]:
        """Reference latents (B,C,1,h,w) and what the transformer reads."""
        portraits = [frame_portrait(image, self.encoders.settings.face_share) for image in images]
        small = np.concatenate([resized(portrait.square[None], self.size) for portrait in portraits])
        still = self.encoders.still_latents(small).unsqueeze(2)
        tokens = np.concatenate(
            [self.encoders.image_tokens(each.square[None], [each.face]) for each in portraits]
        )
        longest = latent_frames(max(frames))
        noise = [
            torch.randn(
                still.shape[1], longest, *still.shape[3:],
                generator=torch.Generator().manual_seed(derive(seed, "generation")),
            )
            for seed in seeds
        ]  # fmt: skip
        audio = [
            torch.from_numpy(self.encoders.audio_features(sound, count))
            for sound, count in zip(sounds, frames, strict=True)
        ]
        embedding, counts = self.encoders.text_embedding(texts)
        room = embedding.shape[1]
        for text, count in zip(texts, counts, strict=True):
            if count > room:
                warnings.warn(
                    f"the text has {count} tokens, the model reads the first {room}: the end of"
                    f" {text[:40]!r} … is ignored",
                    InputWarning,
                    stacklevel=3,
                )
        return still, Conditions(
            self.statistics.reference(still),
            torch.from_numpy(tokens).float(),
            torch.from_numpy(embedding),
            audio,
            torch.stack(noise),
            self.statistics.diffused_spread,
            self.statistics.normalise(still, still),
        )
