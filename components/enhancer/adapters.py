"""Low-rank updates (LoRA, through PEFT) of the language model's matrices, merged when training ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from components.core.errors import InputError
from components.enhancer.params import LoraParams

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

WEIGHTS = "adapter_model.safetensors"
MATRICES = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


def config_of(params: LoraParams, fresh_vision: bool) -> Any:
    """PEFT's configuration, or None where all weights are trained.

    fresh_vision: the vision tower has never been trained (SFT): it is trained whole beside the updates.
    """
    if not params.rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=params.rank,
        lora_alpha=cast("int", params.alpha),  # annotated as int; PEFT takes only alpha / rank of it
        lora_dropout=0.0,
        target_modules=MATRICES,
        modules_to_save=["visual"] if fresh_vision else None,
    )


def take_up(model: Any, checkpoint: Path) -> None:
    """Loads a checkpoint's updates into the wrapped `model`, every one of them.

    Raises:
        InputError: the checkpoint lacks some that the model has, or has others.
    """
    from peft import set_peft_model_state_dict
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import load_file

    kept = load_file(checkpoint / WEIGHTS)
    missing = sorted(set(get_peft_model_state_dict(model)) ^ set(kept))
    if missing:
        raise InputError(f"{checkpoint}: updates do not fit the model: {', '.join(missing[:3])} …")
    set_peft_model_state_dict(model, kept)


def whole(model: Any) -> Qwen2VLForConditionalGeneration:
    """The model with its updates merged; one without updates as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def whole_from(base: Qwen2VLForConditionalGeneration, folder: Path) -> Qwen2VLForConditionalGeneration:
    """`base` with the updates that a trainer saved in `folder`, merged."""
    from peft import PeftModel

    return whole(PeftModel.from_pretrained(base, str(folder), is_trainable=False))
