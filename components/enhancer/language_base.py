"""The enhancer on a published language model: Llama weights (SmolLM2-135M) as the text half of a Qwen2-VL.

Both are the same network but for two things: Qwen2 adds biases to queries, keys and values, which start at
zero here, and its rotary positions have three parts, which are equal where there is text alone. So the text
half computes exactly what the language model did; vision tower and projection are new and are learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from components.core.errors import InputError

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

    from components.enhancer.model import Enhancer
    from components.enhancer.params import EnhancerModelParams

MADE_FOR = "llama"
IN_PACKAGE = "package:"


def located(base: str) -> Path:
    """The path that `enhancer_sft.model.base` names; `package:NAME` is the GGUF file inside that package.

    Raises:
        InputError: there is no such path or package, or the package has not exactly one GGUF file.
    """
    if not base.startswith(IN_PACKAGE):
        path = Path(base)
        if not path.exists():
            raise InputError(
                f"{base} is missing: enhancer_sft.model.base names a language model's folder or file"
            )
        return path
    from importlib.util import find_spec

    name = base.removeprefix(IN_PACKAGE)
    spec = find_spec(name) if name.isidentifier() else None
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [path for place in places for path in sorted(place.rglob("*.gguf"))]
    if len(found) != 1:
        what = f"has {len(found)} GGUF files, one is needed" if places else "is not installed"
        raise InputError(f"enhancer_sft.model.base {base}: the package {name} {what}")
    return found[0]


def load_language_model(base: Path) -> tuple[Any, Any]:
    """A Llama model (fp32) and its tokenizer, from a folder or a GGUF file (`located`); nothing is fetched.

    Raises:
        InputError: there is no such model, it is no Llama, or GGUF cannot be read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = located(str(base))
    how: dict[str, Any] = {"local_files_only": True}
    folder = base
    if base.suffix == ".gguf":
        folder, how["gguf_file"] = base.parent, base.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **how)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **how)
    except ImportError as error:
        raise InputError(f"{base}: {error}; a GGUF file needs the package gguf") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{base} is no language model: {str(error).splitlines()[0]}") from error
    if model.config.model_type != MADE_FOR:
        raise InputError(f"{base} is a {model.config.model_type}, a {MADE_FOR} (SmolLM2) is needed")
    return model, tokenizer


def build(base: Path, params: EnhancerModelParams) -> Enhancer:
    """A Qwen2-VL whose text half is the language model at `base`, and whose vision tower has `params`' shape
    and fresh weights from torch's current generator; the tokenizer is the language model's with our marks.

    Raises:
        InputError: see `load_language_model`; or its layers have biases.
    """
    from components.enhancer import model as shapes

    language, tokenizer = load_language_model(base)
    tokenizer.add_special_tokens(
        {
            "additional_special_tokens": list(shapes.SPECIALS[2:]),
            "pad_token": shapes.PAD,
            "eos_token": shapes.END,
        }
    )
    tokenizer.padding_side = "left"
    processor = shapes.processor_of(tokenizer)
    told = language.config
    width = told.hidden_size // told.num_attention_heads
    rope = getattr(told, "rope_parameters", None) or {}
    model = shapes.build_model(
        processor,
        params,
        text={
            "hidden_size": told.hidden_size,
            "intermediate_size": told.intermediate_size,
            "num_hidden_layers": told.num_hidden_layers,
            "num_attention_heads": told.num_attention_heads,
            "num_key_value_heads": told.num_key_value_heads,
            "max_position_embeddings": told.max_position_embeddings,
            "rms_norm_eps": told.rms_norm_eps,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": rope.get("rope_theta", 1e4),
                "mrope_section": [width // 8, width // 16 * 3, width // 16 * 3],
            },
        },
    )
    fill_text_half(model, language)
    return shapes.Enhancer(model, processor)


@torch.no_grad()
def fill_text_half(model: Qwen2VLForConditionalGeneration, language: Any) -> None:
    """Copies the language model's weights; rows of new tokens keep their fresh values.

    Raises:
        InputError: a weight of the text half has no counterpart, or another shape.
    """
    given = {name.removeprefix("model."): tensor for name, tensor in language.state_dict().items()}
    text = model.model.language_model
    for name, tensor in text.state_dict().items():
        if name.endswith(("q_proj.bias", "k_proj.bias", "v_proj.bias")) and name not in given:
            tensor.zero_()
            continue
        source = given.get(name)
        if source is None:
            raise InputError(f"the language model has no {name}")
        if name == "embed_tokens.weight":
            rows = min(len(source), len(tensor))
            tensor[:rows] = source[:rows]
        elif source.shape != tensor.shape:
            raise InputError(f"{name} is {tuple(source.shape)}, {tuple(tensor.shape)} is needed")
        else:
            tensor.copy_(source)
    model.tie_weights()
