"""The artifacts of `curate`: manifest, shards, thumbnails, configuration and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_json, to_json, write_bytes, write_json, write_parquet
from components.core.media import FPS, SAMPLE_RATE
from components.core.paths import Workspace
from components.core.vocabulary import DELIVERIES, FRAMINGS, REGIONS
from components.curation.backends import labels
from components.curation.decide import REASONS
from components.curation.package import Form, Item
from components.curation.params import CurateParams
from components.curation.scores import SCORES
from components.curation.thumbnails import blank_thumbnail
from components.storage.shards import Sample, write_shards

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("mp4", "wav", "npz")
FACTS: dict[str, str] = {
    "clip_id": "str", "source": "str", "file": "str", "source_video": "str", "split": "str", "outcome": "str",
    "decision": "str", "reasons": "str", "repairs": "str", "shift": "int64", "framing": "str",
    "speakers": "Int64", "delivery": "str", "identity": "str", "duplicate_of": "str",
    "licence": "str", "consent": "bool",
    "sync_model": "str", "identity_model": "str", "face_model": "str",
}  # fmt: skip
KINDS = {"TEXT": "str", "REAL": "float64", "INTEGER": "Int64"}


def write(
    table: pd.DataFrame,
    items: Mapping[str, Item],
    params: CurateParams,
    models: Mapping[str, str],
    workspace: Workspace,
) -> None:
    """Writes everything below artifacts/curate from a decided table and the packages under state/.

    Raises:
        InputError: a package is missing.
    """
    folder = workspace.artifacts("curate")
    shown = manifest(table, models, labels(params.backends))
    kept = (table["decision"] == "keep").to_numpy()
    clips = samples(table[kept], shown[kept], items, params)
    write_shards(folder / "shards", clips, params.samples_per_shard)
    for key, segment, clip_id in zip(table["key"], table["segment"], table["clip_id"], strict=True):
        picture = items[key].work / f"{int(segment)}.jpg"
        write_bytes(
            folder / "thumbnails" / f"{clip_id}.jpg",
            picture.read_bytes() if picture.exists() else blank_thumbnail(),
        )
    write_parquet(folder / "manifest.parquet", shown)
    write_json(
        folder / "config.json",
        {
            "fps": FPS,
            "sample_rate": SAMPLE_RATE,
            "size": params.output_size,
            "mask_grid": params.mask_grid,
            "regions": list(REGIONS),
            "mesh_every": params.mesh_every,
            "limits": params.limits,
            "models": dict(models),
        }
        | ({"named": labels(params.backends)} if params.backends else {})
        | ({"readmit": params.readmit} if params.readmit else {}),
    )
    write_json(folder / "metrics.json", figures(shown))


def manifest(
    table: pd.DataFrame, models: Mapping[str, str], named: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The manifest's rows and columns, with fixed types; missing values are null.

    Models are told by 12 digits of their digest, official weights by their name as well (`named`).
    """
    told = {name: digest[:12] for name, digest in models.items()} | dict(named or {})
    shown = table.assign(sync_model=told["sync"], identity_model=told["identity"], face_model=told["faces"])
    kinds = FACTS | {name: KINDS[kind] for name, kind in SCORES.items() if name not in FACTS}
    return shown[list(kinds)].astype(kinds).reset_index(drop=True)


def samples(
    table: pd.DataFrame, shown: pd.DataFrame, items: Mapping[str, Item], params: CurateParams
) -> Iterator[Sample]:
    """The kept clips in order of clip_id (a content hash: people and sources come mixed)."""
    rows = shown.astype(object).where(shown.notna(), None).to_dict("records")
    order = sorted(
        zip(table["key"], table["segment"], rows, strict=True), key=lambda entry: entry[2]["clip_id"]
    )
    for key, segment, row in order:
        form = Form(int(row["shift"]), row["framing"] == FRAMINGS[0])
        package = form.folder(items[key], int(segment), params)
        parts = {}
        for name in PARTS:
            path = package / f"clip.{name}"
            if path.exists():
                parts[name] = path.read_bytes()
        if "mp4" not in parts:
            raise InputError(
                f"{row['file']}: its package in {package} is gone; remove the state folder and run again"
            )
        geometry = read_json(package / "geometry.json")
        content = (
            row | geometry | {"frames": len(geometry["boxes"]), "output_fps": FPS, "sample_rate": SAMPLE_RATE}
        )
        yield Sample(row["clip_id"], parts | {"json": to_json(content, indent=None).encode()})


def figures(shown: pd.DataFrame) -> dict[str, Any]:
    """Flat name → number: counts of files, clips, outcomes, reasons, framings, splits and people."""
    kept = shown[shown["decision"] == "keep"]
    reasons = shown["reasons"].str.split(";").explode()
    result: dict[str, Any] = {
        "files": shown["file"].nunique(),
        "clips": len(shown),
        "kept": len(kept),
        "rejected": len(shown) - len(kept),
        "kept_rate": round(len(kept) / max(1, len(shown)), 6),
        "kept_minutes": round(float(kept["duration"].sum()) / 60, 4),
        "identities": kept["identity"].nunique(),
        "sync_confidence_median": round(float(kept["sync_confidence"].median()), 6),
    }
    result |= {f"outcome_{name}": int((shown["outcome"] == name).sum()) for name in ("keep", "repair", "cut")}
    result |= {f"reason_{name}": int((reasons == name).sum()) for name in REASONS}
    result |= {f"framing_{name.replace(' ', '_')}": int((kept["framing"] == name).sum()) for name in FRAMINGS}
    result |= {f"delivery_{name}": int((kept["delivery"] == name).sum()) for name in DELIVERIES}
    if performed := int((kept["delivery"] == "performance").sum()):
        result["delivery_performance"] = performed
    result |= {f"split_{name}": int((kept["split"] == name).sum()) for name in ("train", "val", "test")}
    return result
