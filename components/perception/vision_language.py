"""Text and pictures for Qwen2-VL, without torchvision.

The stock processor brings a video part that needs torchvision; this one takes pictures only, through Pillow
(as the reference implementation does).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from components.core.files import read_json
from components.core.paths import require

VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = (
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class PictureProcessor(ProcessorMixin):
    """Text and pictures for Qwen2-VL: each `<|image_pad|>` becomes as many tokens as the picture has."""

    attributes = ["image_processor", "tokenizer"]
    return_mm_token_type_ids = True

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
    ) -> None:
        self.image_token = IMAGE_PAD
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self.video_token = VIDEO_PAD
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_PAD)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """As many image tokens as the picture's merged patches."""
        merged = self.image_processor.merge_size**2
        return self.image_token * int(image_inputs["image_grid_thw"][image_idx].prod() // merged)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the model's inputs that this makes."""
        return [*super().model_input_names, "mm_token_type_ids"]


def load_processor(folder: Path, least_pixels: int, most_pixels: int) -> PictureProcessor:
    """The processor of a Qwen2-VL folder: its tokenizer, chat template and picture settings.

    Pictures are scaled so that their pixel count lies between the two limits. Nothing is fetched.

    Raises:
        InputError: a file is missing or not JSON.
    """
    from transformers import AutoTokenizer

    made_by = "a download of Qwen2-VL-7B-Instruct"
    settings = read_json(require(folder / "preprocessor_config.json", made_by))
    require(folder / "tokenizer_config.json", made_by)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.padding_side = "left"  # answers are generated in batches
    known = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
    pictures = Qwen2VLImageProcessorPil(
        size={"shortest_edge": least_pixels, "longest_edge": most_pixels},
        **{name: settings[name] for name in known if name in settings},
    )
    template = tokenizer.chat_template
    if (folder / "chat_template.json").exists():
        template = read_json(folder / "chat_template.json")["chat_template"]
    return PictureProcessor(pictures, tokenizer, chat_template=template)
