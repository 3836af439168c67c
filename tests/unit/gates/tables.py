"""Good tables of every judged stage, to be spoilt by the tests."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from components.core import vocabulary
from components.core.files import write_json, write_parquet
from components.core.paths import Workspace

SPLITS = {"train": 40, "val": 4, "test": 12}


def manifest(rejected: int = 10) -> pd.DataFrame:
    """56 kept clips of 14 people in three splits and `rejected` blurred ones."""
    rows: list[dict[str, Any]] = []
    for split, number in SPLITS.items():
        for _ in range(number):
            index = len(rows)
            person = f"t{index % 4}" if split == "test" else f"p{index % 10:03d}"
            rows.append(clip(index, split=split, identity=person))
    for index in range(len(rows), len(rows) + rejected):
        rows.append(clip(index, outcome="reject", decision="reject", reasons="blur"))
    return pd.DataFrame(rows)


def clip(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": f"{index:016x}-0", "source": "demo", "file": f"demo/clip_{index:04d}.mp4",
        "source_video": f"demo/clip_{index:04d}", "start": 0.0, "end": 5.0, "split": "train",
        "outcome": "keep", "decision": "keep", "reasons": "", "framing": "close-up", "delivery": "speech",
        "identity": f"p{index % 10:03d}", "licence": "CC0-1.0", "consent": True, "duration": 5.0,
        "width": 128, "height": 128, "fps": 25.0, "n_frames": 125, "n_faces_max": 1, "face_rate": 1.0,
        "face_score": 0.9, "face_size": 80.0, "blur": 120.0, "exposure": 120.0, "yaw": 2.0, "voice_rate": 0.8,
        "speakers": 1, "clipping": 0.0, "shots": 1, "sync_offset": 0, "sync_confidence": 4.0,
        "duplicate_of": None,
        **changes,
    }  # fmt: skip


def attributes(**changes: Any) -> str:
    value: dict[str, Any] = {name: values[0] for name, values in vocabulary.SCALARS.items()}
    value |= {name: [values[0]] for name, values in vocabulary.LISTS.items()}
    return json.dumps(value | changes)


def annotations(clips: pd.DataFrame) -> pd.DataFrame:
    kept = clips[clips["decision"] == "keep"]
    table = kept[["clip_id", "split", "framing", "identity"]].copy()
    table["caption"] = "A person with short black hair speaks to the camera."
    table["caption_tokens"] = 12
    table["attributes"] = attributes()
    table["pose"] = json.dumps({"yaw": 1.0})
    table["actions"] = json.dumps(["nod"])
    table["text"] = table["caption"] + " The person nods."
    return table


def latents(notes: pd.DataFrame) -> pd.DataFrame:
    table = notes[["clip_id", "split", "identity"]].copy()
    return table.assign(
        shard="clips-00000.tar", frames=5, audio_frames=17, latent_mean=0.01, latent_std=1.02, finite=True
    )


def evaluation(**changes: float) -> dict[str, Any]:
    values = {
        "face_rate": 0.99, "aperture_correlation_own": 0.6, "aperture_correlation_other": 0.03,
        "sync_wins": 0.95, "identity_top1": 0.8, "sync_auc": 0.98, "validation_loss_ratio": 0.3,
        "enhancer_action_kept": 0.97, "enhancer_reward_gain": 0.15, "enhancer_well_formed": 1.0,
    } | changes  # fmt: skip
    rows = [
        {"name": name, "value": value, "low": value - 0.02, "high": value + 0.02, "n": 16, "network": "test",
         "control": None}
        for name, value in values.items()
    ]  # fmt: skip
    return {"schema": 1, "metrics": rows}


def fill(workspace: Workspace) -> None:
    """Writes good outputs of every judged stage."""
    clips = manifest()
    notes = annotations(clips)
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), clips)
    write_parquet(workspace.artifacts("annotate", "annotations.parquet"), notes)
    write_parquet(workspace.artifacts("encode", "index.parquet"), latents(notes))
    write_json(workspace.artifacts("train_stage2", "metrics.json"), {"validation_loss_ratio": 0.3})
    write_json(
        workspace.artifacts("enhancer_grpo", "metrics.json"),
        {
            "sft_action_kept": 0.96,
            "action_kept": 0.95,
            "reward_gain": 0.2,
            "well_formed": 1.0,
            "held_out_judge_gain": 0.1,
            "ended_early": 0.0,
            "distinct_bigrams_kept": 0.95,
            "distinct_texts_kept": 1.0,
        },
    )
    write_json(workspace.artifacts("evaluation", "metrics.json"), evaluation())
