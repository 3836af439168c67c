"""What a training will need: memory per GPU, storage, steps, days and cost, each with its formula.

Parameter counts are exact (the model is built on the meta device); all else is arithmetic on them with the
assumptions that `Assumptions` names. Nothing here looks at the machine it runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from components.core.errors import InputError
from components.core.media import FPS

GIB = 2**30
PEAK_TFLOPS = {"h100": 989.0, "h200": 989.0, "a100": 312.0, "l40s": 362.0, "cpu-core": 0.05}
"""Dense bf16 peak of a device (vendors' data sheets, without sparsity); a CPU core: fp32, measured order."""
ACTIVATION_BYTES = 34
"""Bytes a token and unit of width that a 16-bit transformer block keeps (Korthikanti et al. 2022, eq. 2)."""
WAN_CHANNELS, SPACE, TIME = 16, 8, 4
TEXTS_A_CLIP = 4
"""With `encode.moments`: a clip with one action has two pairs of texts."""
OFFICIAL_TEXT_DIM = 4096
"""umT5-XXL (Wan) and T5-XXL (CogVideoX)."""
SMALL_TEXT_DIM = 64
REGIONS, IMAGE_TOKENS, IMAGE_DIM, AUDIO_DIM, WAV2VEC2_DIM, RHYTHM = 5, 17, 96, 32, 768, 5


@dataclass(frozen=True)
class Assumptions:
    """gpu: a key of `PEAK_TFLOPS`; utilisation: share of its peak that training reaches; price: currency
    units a GPU-hour; seconds: mean length of a clip; video_mbit: bit rate of curated clips, Mbit/s;
    checkpoints: kept at a time."""

    gpu: str = "h100"
    utilisation: float = 0.35
    price: float = 2.5
    seconds: float = 8.0
    video_mbit: float = 4.0
    checkpoints: int = 3


class Line(NamedTuple):
    """One figure: what it is, its value with unit, and how it came about."""

    what: str
    value: str
    formula: str


class Sizes(NamedTuple):
    """Numbers of parameters."""

    backbone: int
    added: int
    trained: int


def sizes(model: Any, adapter: Any) -> Sizes:
    """Counts a transformer (on any device) and its Visual Adapter."""
    counts = {name: tensor.numel() for name, tensor in model.named_parameters()}
    new = sum(count for name, count in counts.items() if name.startswith("conditioning."))
    new += sum(tensor.numel() for tensor in adapter.parameters())
    trained = sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad)
    trained += sum(tensor.numel() for tensor in adapter.parameters() if tensor.requires_grad)
    return Sizes(sum(counts.values()) + sum(t.numel() for t in adapter.parameters()) - new, new, trained)


def meta_model(vae: Any, encode: Any, train: Any) -> tuple[Any, Any]:
    """Transformer and adapter of a preset's shape, without memory. Arguments: VaeParams, EncodeParams,
    TrainStage1Params."""
    import torch

    from components.avatar.backbones import add_lora, described
    from components.avatar.generator import UNUSED_DIM
    from components.avatar.visual_adapter import VisualAdapter

    settings = train.model.model_dump(mode="json")
    channels = WAN_CHANNELS if vae.weights else vae.channels
    with torch.device("meta"):
        model = described(
            settings, channels, _text_dim(encode), _audio_dim(encode), vae.size // SPACE, encode.text_tokens
        )
        adapter = VisualAdapter(
            IMAGE_DIM, train.model.identity_dim or UNUSED_DIM, tuple(train.model.identity_queries)
        )
        if train.model.lora_rank:
            add_lora(model, train.model.lora_rank)
    return model, adapter


def forward_flops(model: Any, tokens: int, frames: int, text: int, identity: int) -> float:
    """Multiply-adds ×2 of one sample's forward pass.

    Every matrix is applied to each token it sees (text projections to the text's tokens), and attention costs
    `4·N·K·D` for N queries and K keys.
    """
    shape = model.shape
    dim, layers = shape.dim, shape.layers
    heard = 4 + 2 * model.config.audio_context
    joint = hasattr(model, "transformer_blocks")
    if joint:
        every = tokens + text
        block = 2 * every * (4 * dim * dim + 2 * dim * 4 * dim) + 4 * every * every * dim
    else:
        ffn = model.config.ffn_dim
        block = 2 * tokens * (4 * dim * dim + 2 * dim * dim + 2 * dim * ffn) + 2 * text * 2 * dim * dim
        block += 4 * tokens * tokens * dim + 4 * tokens * text * dim
    for width, keys, seen in (
        (model.config.identity_dim, identity, identity),
        (dim if model.config.audio_dim else None, heard, frames * heard),
    ):
        if width:
            block += 2 * tokens * 2 * dim * dim + 2 * seen * width * 2 * dim + 4 * tokens * keys * dim
    return float(layers * block)


def sections(raw: dict[str, Any]) -> dict[str, Any]:
    """The sections that a plan needs, as parameter models, from a preset's or params.yaml's mapping.

    Raises:
        InputError: a key is unknown or out of range.
    """
    from pydantic import ValidationError

    from components.avatar.params import EncodeParams, TrainStage1Params, TrainStage2Params, VaeParams
    from components.core.params import Params

    models: dict[str, type[Params]] = {
        "vae": VaeParams,
        "encode": EncodeParams,
        "train_stage1": TrainStage1Params,
        "train_stage2": TrainStage2Params,
    }
    made = {}
    for name, model in models.items():
        try:
            made[name] = model.model_validate(raw.get(name) or {})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{'.'.join([name, *map(str, first['loc'])])}: {first['msg']}") from error
    return made


def plan(
    params: dict[str, Any], clips: int, gpus: int, assumed: Assumptions | None = None
) -> tuple[list[Line], dict[str, float]]:
    """The plan of a preset.

    Args:
        params: sections vae, encode, train_stage1, train_stage2 as parameter models.
        clips: number of curated clips. gpus: number of GPUs (or CPU cores).

    Returns:
        Lines to print, and the plain figures by name.

    Raises:
        InputError: a number makes no sense, or the batch cannot be shared by the GPUs.
    """
    assumed = assumed or Assumptions()
    vae, encode, first, second = (params[n] for n in ("vae", "encode", "train_stage1", "train_stage2"))
    if clips < 1 or gpus < 1:
        raise InputError(f"clips ({clips}) and gpus ({gpus}) must be at least 1")
    if assumed.gpu not in PEAK_TFLOPS:
        raise InputError(f"gpu {assumed.gpu!r} is not known; there are: {', '.join(PEAK_TFLOPS)}")
    for stage in (first, second):
        if stage.batch % gpus:
            raise InputError(f"batch {stage.batch} of the preset is no multiple of {gpus} GPUs")
    model, adapter = meta_model(vae, encode, first)
    count = sizes(model, adapter)
    lines = [
        Line(
            "parameters",
            f"{_big(count.backbone)} backbone + {_big(count.added)} new, {_big(count.trained)} trained",
            "counted on the model's own tensors, built on the meta device",
        )
    ]
    figures: dict[str, float] = {
        "backbone_parameters": count.backbone,
        "added_parameters": count.added,
        "trained_parameters": count.trained,
    }
    side = vae.size // SPACE // first.model.patch
    tokens = second.window * side * side
    for made in (
        _memory(second, model, count, tokens, gpus),
        _storage(vae, encode, count, clips, assumed, second),
        _time(model, first, second, encode, tokens, clips, gpus, assumed),
    ):
        lines += made[0]
        figures |= made[1]
    return lines, figures


Part = tuple[list[Line], dict[str, float]]


def _memory(stage: Any, model: Any, count: Sizes, tokens: int, gpus: int) -> Part:
    zero, half = stage.zero_stage, bool(stage.deepspeed_config)
    offload = "offload" in (stage.deepspeed_config or "")
    whole, trained = count.backbone + count.added, count.trained
    size = 2 if half else 4
    weights = whole * size / (gpus if zero == 3 else 1)
    gradients = trained * size / (gpus if zero >= 2 else 1)
    moments = trained * (12 if half else 8) / (gpus if zero >= 1 else 1)
    average = trained * 4 / (gpus if zero == 3 else 1) if stage.ema else 0.0
    on_host = moments if offload else 0.0
    per_gpu = stage.batch // gpus
    layers, dim = model.shape.layers, model.shape.dim
    block = ACTIVATION_BYTES * size / 2 * tokens * dim
    kept = layers * size * tokens * dim + block if stage.gradient_checkpointing else layers * block
    activations = per_gpu * kept
    total = weights + gradients + moments - on_host + average + activations
    share = {0: "", 1: " (moments ÷ G)", 2: " (gradients, moments ÷ G)", 3: " (all ÷ G)"}[zero]
    figures = {
        "memory_bytes": total,
        "state_bytes": weights + gradients + moments + average,
        "host_bytes": on_host,
        "activation_bytes": activations,
    }
    lines = [
        Line(
            "model state per GPU",
            f"{(weights + gradients + moments - on_host + average) / GIB:.2f} GiB",
            f"{size} B a weight + trained·({size} B gradient + {12 if half else 8} B AdamW"
            f"{' and fp32 copy' if half else ''} + {4 if stage.ema else 0} B moving average),"
            f" ZeRO {zero}{share}"
            + (f"; {on_host / GIB:.1f} GiB of it on the host (offload)" if offload else ""),
        ),
        Line(
            "activations per GPU (estimate)",
            f"{activations / GIB:.2f} GiB",
            f"{per_gpu} samples × {tokens} tokens × {dim} wide × "
            + (
                f"({layers} blocks · {size} B kept + one block · {ACTIVATION_BYTES * size // 2} B recomputed)"
                if stage.gradient_checkpointing
                else f"{layers} blocks · {ACTIVATION_BYTES * size // 2} B"
            ),
        ),
        Line("memory per GPU", f"{total / GIB:.2f} GiB", "model state + activations"),
    ]
    return lines, figures


def _storage(vae: Any, encode: Any, count: Sizes, clips: int, assumed: Assumptions, stage: Any) -> Part:
    frames = round(assumed.seconds * FPS)
    latent_frames = (frames - 1) // TIME + 1
    cells = (vae.size // SPACE) ** 2
    channels = WAN_CHANNELS if vae.weights else vae.channels
    copies = 1 + encode.variants
    texts = TEXTS_A_CLIP * (2 if encode.variants else 1) if encode.moments else 1
    parts = {
        "latents": copies * 2 * channels * cells * latent_frames,
        "references": copies * encode.references * (2 * channels * cells + 2 * IMAGE_TOKENS * IMAGE_DIM),
        "audio": 4 * frames * _audio_dim(encode),
        "text": texts * 2 * encode.text_tokens * _text_dim(encode),
        "regions": copies * REGIONS * cells * latent_frames,
    }
    encoded = clips * sum(parts.values())
    video = clips * assumed.seconds * assumed.video_mbit * 1e6 / 8
    size = 2 if stage.deepspeed_config else 4
    state = count.trained * (size + (12 if stage.deepspeed_config else 8) + (4 if stage.ema else 0))
    frozen = (count.backbone + count.added - count.trained) * size
    kept = assumed.checkpoints * (state + frozen)
    return [
        Line(
            "curated video",
            _bytes(video),
            f"{clips} clips × {assumed.seconds:g} s × {assumed.video_mbit:g} Mbit/s",
        ),
        Line(
            "encoded shards",
            _bytes(encoded),
            f"{clips} × ({', '.join(f'{name} {_bytes(value)}' for name, value in parts.items())})",
        ),
        Line(
            "checkpoints",
            _bytes(kept),
            f"{assumed.checkpoints} × (weights + optimizer{' + average' if stage.ema else ''})",
        ),
    ], {"video_bytes": video, "encoded_bytes": float(encoded), "checkpoint_bytes": float(kept)}


def _time(
    model: Any, first: Any, second: Any, encode: Any, tokens: int, clips: int, gpus: int, assumed: Assumptions
) -> Part:
    once = forward_flops(model, tokens, second.window, encode.text_tokens, len(first.model.identity_queries))
    passes = 4 if second.gradient_checkpointing else 3
    peak = PEAK_TFLOPS[assumed.gpu] * 1e12
    steps = first.steps + second.steps
    seen = first.steps * first.batch + second.steps * second.batch
    seconds = seen * once * passes / (gpus * peak * assumed.utilisation)
    cost = seconds / 3600 * gpus * assumed.price
    return [
        Line("steps", f"{first.steps} + {second.steps}", "steps of train_stage1 and train_stage2"),
        Line(
            "windows a clip",
            f"{seen / clips:.1f}",
            f"(steps · batch) / clips = {seen} / {clips}; a window is {second.window} latents"
            f" ({(second.window - 1) * TIME + 1} frames)",
        ),
        Line(
            "time",
            f"{seconds / 86400:.2f} days" if seconds > 86400 else f"{seconds / 3600:.2f} h",
            f"{seen} windows × {once / 1e12:.3g} TFLOP × {passes} (forward, backward"
            f"{', recomputation' if passes == 4 else ''}) / ({gpus} × {PEAK_TFLOPS[assumed.gpu]:g} TFLOP/s"
            f" of {assumed.gpu} × {assumed.utilisation:g} reached)",
        ),
        Line("cost", f"{cost:,.0f}", f"hours × {gpus} × {assumed.price:g} a GPU-hour"),
    ], {"flops_per_window": once, "seconds": seconds, "cost": cost, "steps": float(steps)}


def _text_dim(encode: Any) -> int:
    return OFFICIAL_TEXT_DIM if encode.text_weights else SMALL_TEXT_DIM


def _audio_dim(encode: Any) -> int:
    features = WAV2VEC2_DIM if encode.audio_weights else AUDIO_DIM
    return features + (RHYTHM if encode.rhythm else 0)


def _big(count: int) -> str:
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.2f} {name}"
    return str(count)


def _bytes(count: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.2f} {name}"
    return f"{count:.0f} B"
