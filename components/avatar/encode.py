"""Stage encode: everything training reads, computed once.

Each clip's result is kept in the stage's state under the clip's id and a key over the encoders and
parameters, so an interrupted or repeated stage computes only what is missing.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.avatar.clips import reference_frames
from components.avatar.moments import moment_texts
from components.avatar.params import EncodeParams
from components.avatar.pipeline_files import STATISTICS
from components.avatar.variants import mirrored_words, variant, varied
from components.core.errors import InputError
from components.core.files import (
    digest_sources,
    digest_tree,
    read_json,
    read_parquet,
    to_json,
    write_bytes,
    write_json,
    write_parquet,
)
from components.core.paths import Workspace, require
from components.core.progress import say, track
from components.core.seeds import single_thread
from components.storage.shards import Sample, list_shards, read_shard, write_shards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.avatar.clips import CuratedClip
    from components.avatar.encoders import Encoders


TENSORS, FACTS = "safetensors", "json"
SPREAD_FLOOR = 0.25
"""A cell's spread is at least this share of its channel's: static background is not blown up."""
REGION_SHARE = 0.2
"""A latent cell belongs to a region that covers at least this share of it."""
SENSITIVITY_CLIPS, SENSITIVITY_FRAMES = 4, 3
ROOM = Path(__file__).parent
SOURCES = tuple(
    ROOM / f"{name}.py" for name in ("clips", "encode", "encoders", "framing", "moments", "vae", "variants")
)
"""Code that decides what a clip is encoded to, besides the encoders' weights and the parameters."""
_encoders: Encoders | None = None


@dataclass(frozen=True)
class Told:
    """What annotation says of a clip. Without a caption, the text serves for all of it."""

    text: str
    caption: str = ""
    actions: tuple[dict[str, Any], ...] = ()


def run(params: EncodeParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/encode/ (shards, index.parquet, statistics.safetensors, config.json, metrics.json)."""
    import pandas as pd

    single_thread()
    out = workspace.artifacts("encode")
    shards = list_shards(require(workspace.artifacts("curate", "shards"), "syncdreamer stage curate"))
    texts = _texts(
        require(workspace.artifacts("annotate", "annotations.parquet"), "syncdreamer stage annotate"),
        params.moments,
    )
    weights = _official(params)
    folders = encoder_folders(workspace, weights)
    pictures = read_json(require(workspace.artifacts("vae", "config.json"), "syncdreamer stage vae"))
    settings = {
        "size": int(pictures["size"]),
        "face_share": float(pictures["face_share"]),
        "follow": bool(pictures["follow"]),
        "rhythm": params.rhythm,
        "text_tokens": params.text_tokens,
    }
    digests = {name: digest_tree(folder)[:12] for name, folder in sorted(folders.items())}
    copies = (params.variants, seed if params.variants else 0)
    cache = workspace.state(
        "encode", _key(digests, settings, params.references, copies, digest_sources(*SOURCES))
    )
    workers = params.workers or len(os.sched_getaffinity(0))
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare, (folders, settings)) as pool:
        jobs = [
            pool.submit(
                _encode_part, shard, part, 2 * workers, texts, params.references, params.variants, seed, cache
            )
            for shard in shards
            for part in range(2 * workers)
        ]
        rows = [row for job in track(jobs, "encode") for row in job.result()]
        rows.sort(key=lambda row: row["clip_id"])
        training = _training(rows)
        looks = [
            pool.submit(_sensitivity, cache / f"{row['cached']}.{TENSORS}")
            for row in training[:SENSITIVITY_CLIPS]
        ]
        sensitivity = [look.result() for look in looks]
    cut = [row["clip_id"] for row in rows if row["text_tokens"] > params.text_tokens]
    if cut:
        say(
            f"  encode: {len(cut)} texts are longer than {params.text_tokens} tokens and were cut: {cut[0]} …"
        )
    write_bytes(out / STATISTICS, _measured(cache, training, sensitivity))
    write_shards(out / "shards", (_sample(cache, row) for row in rows), params.samples_per_shard)
    for index, row in enumerate(rows):
        row["shard"] = f"clips-{index // params.samples_per_shard:05d}.tar"
    write_parquet(out / "index.parquet", pd.DataFrame(rows))
    described = {"encoders": digests, "settings": settings} | ({"weights": weights} if weights else {})
    write_json(out / "config.json", described)
    write_json(
        out / "metrics.json",
        {
            "clips": len(rows),
            "latent_frames": sum(row["frames"] for row in rows),
            "not_finite": sum(not row["finite"] for row in rows),
            "texts_cut": len(cut),
        },
    )


def _official(params: EncodeParams) -> dict[str, str]:
    """Folders of official encoders that the parameters name, by kind."""
    named = {"text": params.text_weights, "audio": params.audio_weights}
    return {name: folder for name, folder in named.items() if folder}


def encoder_folders(workspace: Workspace, weights: dict[str, str]) -> dict[str, Path]:
    """Where the frozen encoders lie; weights: official ones, relative to the workspace."""
    perception = workspace.artifacts("perception")
    places = {"audio": "audio", "identity": "identity", "text": "text"}
    found = {
        name: require(workspace.root / weights[name], "a download of official weights")
        if name in weights
        else require(perception / place, "syncdreamer stage perception")
        for name, place in places.items()
    }
    return found | {"vae": require(workspace.artifacts("vae", "model"), "syncdreamer stage vae")}


def _key(*parts: Any) -> str:
    import hashlib

    return hashlib.sha256(to_json(parts, indent=None).encode()).hexdigest()[:16]


def _texts(path: Path, moments: bool) -> dict[str, Told]:
    table = read_parquet(path)
    wanted = ["clip_id", "text"] + (["caption", "actions"] if moments else [])
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]}")
    rows = table[wanted].fillna("").itertuples()
    if not moments:
        return {row.clip_id: Told(row.text) for row in rows}
    return {row.clip_id: Told(row.text, row.caption, tuple(json.loads(row.actions or "[]"))) for row in rows}


def _prepare(folders: dict[str, Path], settings: dict[str, Any]) -> None:
    """Loads the encoders once in each worker."""
    global _encoders
    single_thread()
    from components.avatar.encoders import Encoders, EncoderSettings
    from components.core.device import best_device

    _encoders = Encoders.load(folders, EncoderSettings(**settings)).to(best_device())


def _encode_part(
    shard: Path,
    part: int,
    parts: int,
    texts: dict[str, Told],
    references: int,
    variants: int,
    seed: int,
    cache: Path,
) -> list[dict[str, Any]]:
    """Every parts-th clip of a shard; a clip that the cache holds is not decoded again."""
    from components.avatar.clips import read_clip
    from components.avatar.framing import framed

    rows = []
    for index, sample in enumerate(read_shard(shard)):
        if index % parts != part:
            continue
        text = texts.get(sample.key)
        if text is None:
            raise InputError(
                f"clip {sample.key} of {shard.name} has no annotation; run `syncdreamer stage annotate`"
            )
        name = f"{sample.key}-{_key(asdict(text))}"
        if not (cache / f"{name}.{FACTS}").exists():
            assert _encoders is not None
            how = _encoders.settings
            clip = framed(read_clip(sample), how.face_share, how.follow)
            tensors, facts = encode_clip(clip, text, _encoders, references, variants, seed)
            write_bytes(cache / f"{name}.{TENSORS}", tensors)
            write_json(cache / f"{name}.{FACTS}", facts)
        rows.append(read_json(cache / f"{name}.{FACTS}") | {"cached": name})
    return rows


def encode_clip(
    clip: CuratedClip, text: Told, encoders: Encoders, references: int, variants: int = 0, seed: int = 0
) -> tuple[bytes, dict[str, Any]]:
    """A clip's tensors as safetensors bytes, and its row of the index.

    Tensors, V = 1 + variants of a training clip and 1 of others: latents (V,F,C,h,w) f16; references
    (V,R,C,h,w) f16 and reference_tokens (V,R,M,D) f16 of R frames, evenly spaced; audio (4(F-1)+1, A) f32;
    texts (K, text_tokens, D) f16 and moments (V,F) u8, each latent's pair of texts (see `moments`; one text
    for all without); regions (V,F,5,h,w) u8.
    """
    import numpy as np
    from safetensors.numpy import save

    count = 1 + (variants if clip.split == "train" else 0)
    usable = (len(clip.frames) - 1) // 4 * 4 + 1
    chosen = reference_frames(usable, references)
    pictures = [
        _pictures(varied(clip, variant(seed, clip.clip_id, number)), encoders, usable, chosen)
        for number in range(count)
    ]
    latents = pictures[0]["latents"]
    samples = clip.samples if clip.samples is not None else np.zeros(0, np.float32)
    audio = encoders.audio_features(samples, usable)
    wordings, moments = _wordings(text, len(latents), count)
    embedding, counts = encoders.text_embedding(wordings)
    tensors = {name: np.stack([each[name] for each in pictures]) for name in pictures[0]} | {
        "audio": audio,
        "texts": embedding.astype(np.float16),
        "moments": np.array(moments, np.uint8),
    }
    facts = {
        "clip_id": clip.clip_id,
        "split": clip.split,
        "framing": clip.framing,
        "identity": clip.identity,
        "shard": "",
        "frames": len(latents),
        "latent_mean": float(f"{latents.mean(dtype=np.float64):.6g}"),
        "latent_std": float(f"{latents.std(dtype=np.float64):.6g}"),
        "latent_max": float(f"{np.abs(latents).max():.6g}"),
        "finite": bool(np.isfinite(tensors["latents"]).all() and np.isfinite(audio).all()),
        "audio_frames": len(audio) if clip.samples is not None else 0,
        "text_tokens": max(counts),
    }
    return save({name: np.ascontiguousarray(value) for name, value in tensors.items()}), facts


def _pictures(
    clip: CuratedClip, encoders: Encoders, usable: int, chosen: NDArray[np.int_]
) -> dict[str, NDArray[Any]]:
    """What is encoded of a clip's pictures, see `encode_clip`."""
    import numpy as np

    from components.core.pictures import resized

    small = resized(clip.frames[:usable], encoders.settings.size)
    latents = encoders.latents(small).transpose(0, 1).contiguous().numpy()
    tokens = encoders.image_tokens(clip.frames[chosen], [clip.face(int(index)) for index in chosen])
    return {
        "latents": latents.astype(np.float16),
        "references": encoders.still_latents(small[chosen]).numpy().astype(np.float16),
        "reference_tokens": tokens.astype(np.float16),
        "regions": latent_regions(clip.regions[:usable], latents.shape[-1]),
    }


def _wordings(text: Told, latents: int, variants: int) -> tuple[list[str], list[list[int]]]:
    """The clip's texts, and of each variant each latent's pair; odd variants are mirrored."""
    if not text.caption:
        return [text.text], [[0] * latents] * variants
    texts, places = moment_texts(text.caption, text.actions, latents)
    if variants == 1:
        return texts, [places]
    other, moved = moment_texts(*mirrored_words(text.caption, text.actions), latents)
    mirrored = [place + len(texts) // 2 for place in moved]
    return texts + other, [mirrored if number % 2 else places for number in range(variants)]


def latent_regions(regions: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Regions (4(F-1)+1,R,g,g) in [0,1] → (F,R,side,side) of 0 and 1: covered in any of a latent's frames."""
    import cv2
    import numpy as np

    frames, planes = regions.shape[:2]
    scaled = np.stack(
        [
            [cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA) for plane in frame]
            for frame in regions
        ]
    )
    padded = np.concatenate([np.repeat(scaled[:1], 3, 0), scaled]).reshape(-1, 4, planes, side, side)
    return (padded.max(1) >= REGION_SHARE).astype(np.uint8)


def _sample(cache: Path, row: dict[str, Any]) -> Sample:
    tensors = (cache / f"{row.pop('cached')}.{TENSORS}").read_bytes()
    facts = {name: row[name] for name in ("clip_id", "split", "framing", "identity", "frames")}
    return Sample(row["clip_id"], {TENSORS: tensors, FACTS: to_json(facts, indent=None).encode()})


def _training(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clips that statistics are taken from: training close-ups, what stage 2 is about; all if there are none.

    Raises:
        InputError: there is no training clip.
    """
    training = [row for row in rows if row["split"] == "train" and row["finite"]]
    if not training:
        raise InputError("no clip of the training split was kept by curate: nothing to learn from")
    return [row for row in training if row["framing"] == "close-up"] or training


def _sensitivity(path: Path) -> list[float]:
    """Per channel: energy of the decoded picture's change for a unit's change of one latent number."""
    import torch
    from safetensors.torch import load_file

    assert _encoders is not None
    latents = load_file(path)["latents"][0, :SENSITIVITY_FRAMES].transpose(0, 1).float()[None]
    with torch.inference_mode():
        base = _encoders.vae.decode(latents).sample
        energies = []
        for channel in range(latents.shape[1]):
            moved = latents.clone()
            step = float(latents[:, channel].std()) + 1e-3
            moved[:, channel] += step
            energy = (_encoders.vae.decode(moved).sample - base).square().sum()
            energies.append(float(energy) / (step**2 * latents[0, 0].numel()))
    return energies


def _measured(cache: Path, training: list[dict[str, Any]], sensitivity: list[list[float]]) -> bytes:
    from safetensors.numpy import load_file

    loaded = (load_file(cache / f"{row['cached']}.{TENSORS}") for row in training)
    pairs = [
        pair for tensors in loaded for pair in zip(tensors["latents"], tensors["references"], strict=True)
    ]
    return statistics(pairs, sensitivity)


def statistics(
    clips: list[tuple[NDArray[np.float16], NDArray[np.float16]]], sensitivity: list[list[float]]
) -> bytes:
    """Statistics of (latents (F,C,h,w), references (R,C,h,w)) of training clips, as safetensors bytes.

    reference_mean, reference_spread (C,1,1): of the reference latents; change_mean and change_spread (C,h,w):
    of latent minus reference in every cell, which is what is diffused; sensitivity (C,1,1): the mean of
    the given lists of C.
    """
    import numpy as np
    from safetensors.numpy import save

    stills = np.concatenate([still for _, still in clips]).astype(np.float64)
    mean = stills.mean((0, 2, 3))
    spread = np.maximum(stills.std((0, 2, 3)), 1e-4)
    count, total, square = 0, 0.0, 0.0
    for latents, references in clips:
        for reference in references:
            change = latents.astype(np.float64) - reference.astype(np.float64)
            count += len(change)
            total = total + change.sum(0)
            square = square + (change**2).sum(0)
    middle = total / count
    cells = np.sqrt(np.maximum(square / count - middle**2, 0))
    floor = SPREAD_FLOOR * np.sqrt((cells**2).mean((1, 2), keepdims=True))
    tensors = {
        "reference_mean": mean[:, None, None],
        "reference_spread": spread[:, None, None],
        "sensitivity": np.mean(sensitivity, axis=0)[:, None, None],
        "change_mean": middle,
        "change_spread": np.maximum(np.maximum(cells, floor), 1e-4),
    }
    return save({name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()})
