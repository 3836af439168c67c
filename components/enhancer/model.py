"""The enhancer's network: Qwen2-VL from configuration, with a tokenizer of the domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from components.core.errors import InputError
from components.core.paths import require
from components.enhancer.params import EnhancerModelParams
from components.perception.text import train_tokenizer
from components.perception.vision_language import (
    IMAGE_PAD,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    PictureProcessor,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SIZE = 112
PATCH = 14
MERGE = 2
PAD, END = "<|pad|>", "<|end|>"
USER, ASSISTANT = "<|user|>", "<|assistant|>"
SPECIALS = (PAD, END, USER, ASSISTANT, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)
MADE_BY = "syncdreamer stage enhancer_sft"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|user|>' if message['role'] == 'user' else '<|assistant|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- part['text'] -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<|end|>' if message['role'] == 'assistant' -}}"
    "{%- endfor -%}"
    "{{- '<|assistant|>' if add_generation_prompt -}}"
)


def build_processor(texts: Iterable[str], vocabulary: int) -> PictureProcessor:
    """Trains the tokenizer on `texts` and joins it with the picture processor."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(texts, vocabulary, SPECIALS),
        pad_token=PAD, eos_token=END, additional_special_tokens=list(SPECIALS[2:]),
        padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
    return processor_of(tokenizer)


def processor_of(tokenizer: PreTrainedTokenizerFast) -> PictureProcessor:
    """A tokenizer that knows `SPECIALS`, joined with the picture processor and our chat template."""
    pixels = IMAGE_SIZE**2
    pictures = Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=MERGE, temporal_patch_size=2, min_pixels=pixels, max_pixels=pixels
    )
    return PictureProcessor(pictures, tokenizer, chat_template=CHAT_TEMPLATE)


def build_model(
    processor: PictureProcessor, params: EnhancerModelParams, text: dict[str, Any] | None = None
) -> Qwen2VLForConditionalGeneration:
    """A fresh Qwen2-VL of the given shape; its weights come from torch's current generator.

    `text` overrides the text half's shape (a published language model's).
    """
    shape = text or {}
    ids = processor.tokenizer.convert_tokens_to_ids
    width = params.hidden // params.heads
    sections = [width // 8, width // 16 * 3, width // 16 * 3]
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": -(-len(processor.tokenizer) // 8) * 8,
            "hidden_size": params.hidden,
            "intermediate_size": 4 * params.hidden,
            "num_hidden_layers": params.layers,
            "num_attention_heads": params.heads,
            "num_key_value_heads": max(1, params.heads // 2),
            "max_position_embeddings": 512,
            "initializer_range": params.initializer_range,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections},
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": ids(END),
            "pad_token_id": ids(PAD),
            "attention_dropout": 0.0,
            **shape,
        },
        vision_config={
            "depth": params.vision_layers,
            "embed_dim": params.vision_width,
            "hidden_size": shape.get("hidden_size", params.hidden),
            "num_heads": 4,
            "mlp_ratio": 4,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "initializer_range": params.initializer_range,
        },
        image_token_id=ids(IMAGE_PAD),
        video_token_id=ids(VIDEO_PAD),
        vision_start_token_id=ids(VISION_START),
        vision_end_token_id=ids(VISION_END),
        tie_word_embeddings=True,
        initializer_range=params.initializer_range,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=ids(END), pad_token_id=ids(PAD))
    return model


@dataclass
class Enhancer:
    """The model with its processor."""

    model: Qwen2VLForConditionalGeneration
    processor: PictureProcessor

    def save(self, folder: Path) -> None:
        """Writes config, weights (safetensors) and tokenizer; the same weights give the same bytes."""
        self.model.save_pretrained(folder)
        # A trainer that wrote a checkpoint has set it on the way, one that found all done has not.
        self.processor.tokenizer._set_processor_class(type(self.processor).__name__)
        self.processor.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, processor: PictureProcessor | None = None) -> Enhancer:
        """Reads what `save` wrote; nothing is fetched. A trainer's checkpoint needs its `processor` beside.

        Raises:
            InputError: `folder` is missing or its weights do not fill the model.
        """
        require(folder / "model.safetensors", MADE_BY)
        if processor is None:
            processor = processor_of(PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))
        model, report = Qwen2VLForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
        missing = sorted(report["missing_keys"]) + sorted(report["unexpected_keys"])
        if missing:
            raise InputError(f"{folder}: weights do not fit the model: {', '.join(missing[:3])} …")
        return cls(model, processor)

    @torch.no_grad()
    def complete(
        self,
        images: NDArray[np.uint8],
        requests: list[str],
        *,
        sample: bool = False,
        seed: int = 0,
        temperature: float = 1.0,
        max_new_tokens: int = 90,
        batch: int = 32,
    ) -> list[str]:
        """Enhanced prompts for images (N,H,W,3) uint8 and requests (`pairs.request`); greedy unless `sample`.

        The same seed gives the same texts.
        """
        self.model.eval()
        texts: list[str] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for begin in range(0, len(requests), batch):
                turns = [
                    conversation(text, picture(image))
                    for image, text in zip(
                        images[begin : begin + batch], requests[begin : begin + batch], strict=True
                    )
                ]
                inputs = self.processor.apply_chat_template(
                    turns,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    processor_kwargs={"padding": True, "return_tensors": "pt"},
                )
                how: dict[str, Any] = {"do_sample": sample}
                if sample:
                    how |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
                made = self.model.generate(**inputs, max_new_tokens=max_new_tokens, **how)
                length = inputs["input_ids"].shape[1]
                texts += self.processor.tokenizer.batch_decode(made[:, length:], skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def picture(image: NDArray[np.uint8]) -> Image.Image:
    """The model's view of a frame (H,W,3) uint8: its largest centred square at 112 px."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return square if side == IMAGE_SIZE else square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)


def conversation(request: str, image: Image.Image | None = None) -> list[dict[str, Any]]:
    """The user's turn: a picture and a request (without `image`: the place where it goes)."""
    shown: dict[str, Any] = {"type": "image"} if image is None else {"type": "image", "image": image}
    return [{"role": "user", "content": [shown, {"type": "text", "text": request}]}]
