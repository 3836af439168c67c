"""Lineage of a registered model: what is noted at registration, and how the index is rebuilt from it.

Beside each registered model lie, as artifacts of the run that trained it, `lineage/…-facts.json` (data
revision, code, parameters, gates, upstream stages) and one table a role with the clips. The index under
state/ is made from these, so a fresh checkout or another machine answers the same.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import SyncDreamerError
from components.core.files import read_json, read_parquet, to_json, write_text
from components.core.paths import Workspace
from components.tracking.lineage import EVALUATED, LEARNT, ROLES, VALIDATED, Clip, Index, set_digest
from components.tracking.registry import AVATAR, ENHANCER, MARKED_TAG, MODELS
from components.tracking.runs import Tracker
from components.tracking.store import told

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "lineage"
LINEAGE_TAG = "lineage"
"""Tag of a version: JSON with `run_id`, `facts` (artifact) and `clips` (role → artifact)."""
_COLUMNS = ("clip_id", "identity", "file", "source", "source_video")


def clip_uses(workspace: Workspace) -> dict[str, dict[str, list[Clip]]]:
    """model → role → clips, from the artifacts that the models were just trained on.

    Every kept clip of the training split enters the latents' statistics, the autoencoder and training; the
    enhancer learns from the pictures of the same clips and is not validated on clips. Clips too short for a
    training window count too: their statistics and pictures were used.

    Raises:
        InputError: the manifest of curation is missing.
    """
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    kept = table[table["decision"] == "keep"]
    by_id = dict(zip(kept["clip_id"], clips_of(kept), strict=True))
    splits = {name: clips_of(kept[kept["split"] == name]) for name in ("train", "val", "test")}
    path = workspace.artifacts("evaluation", "metrics.json")
    items = read_json(path).get("items", []) if path.exists() else []
    shown = {row[part] for row in items for part in ("reference", "sound", "other") if part in row}
    tried = [by_id[clip_id] for clip_id in sorted(shown) if clip_id in by_id]
    return {
        AVATAR: {LEARNT: splits["train"], VALIDATED: splits["val"], EVALUATED: tried},
        ENHANCER: {LEARNT: splits["train"], EVALUATED: splits["test"]},
    }


def clips_of(table: pd.DataFrame) -> list[Clip]:
    """Rows of a manifest (or of a recorded set) as clips; what is missing is ""."""
    texts = table.reindex(columns=list(_COLUMNS)).astype(object).fillna("")
    return [Clip(*map(str, row)) for row in texts.itertuples(index=False, name=None)]


def record(
    tracker: Tracker,
    versions: Mapping[str, str],
    uses: Mapping[str, Mapping[str, Sequence[Clip]]],
    facts: Mapping[str, Mapping[str, Any]],
) -> None:
    """Notes where registered models come from: artifacts of their runs, a tag of the version, the index.

    Content and lineage that were noted before are not written again.

    facts: model → what `lineage MODEL` shows beside the registry's own (data, code, parameters, parents).
    """
    with Index.of(tracker.workspace) as index:
        for name, version in versions.items():
            with told():
                found = tracker.client.get_model_version(name, str(version))
            tags = found.tags
            own = {
                "digest": tags.get("digest", ""),
                "model_id": tags.get("model_id", ""),
                "run_id": tags.get("trained_by", "") or found.run_id or "",
                "gates": json.loads(tags.get("gates", "{}")),
                "pair": tags.get("pair", ""),
            }
            whole = own | dict(facts.get(name, {}))
            clips = uses.get(name, {})
            _publish(tracker, name, str(version), whole, clips, tags.get(LINEAGE_TAG, ""))
            index.add(name, str(version), own["digest"], whole, clips, tags.get(MARKED_TAG, ""))


def _publish(
    tracker: Tracker,
    name: str,
    version: str,
    facts: Mapping[str, Any],
    clips: Mapping[str, Sequence[Clip]],
    before: str,
) -> None:
    import pandas as pd

    run_id = str(facts["run_id"])
    text = to_json(facts) + "\n"
    parts = {
        role: f"clips-{set_digest(clip.clip_id for clip in members)[:16]}.parquet"
        for role, members in clips.items()
        if members
    }
    described = to_json({"run_id": run_id, "facts": f"{name}-{version}-facts.json", "clips": parts}, None)
    with told(), tempfile.TemporaryDirectory(prefix="syncdreamer-lineage-") as folder:
        write_text(Path(folder) / f"{name}-{version}-facts.json", text)
        for role, file in parts.items() if described != before else ():
            rows = sorted(clips[role], key=lambda clip: clip.clip_id)
            table = pd.DataFrame([[getattr(c, n) for n in _COLUMNS] for c in rows], columns=list(_COLUMNS))
            table.to_parquet(Path(folder) / file, index=False, compression="zstd")
        tracker.client.log_artifacts(run_id, folder, FOLDER)
        tracker.client.set_model_version_tag(name, version, LINEAGE_TAG, described)


def synchronise(tracker: Tracker) -> int:
    """Brings the index up to the registry: models it lacks, and marks; returns how many were added."""
    added = 0
    with Index.of(tracker.workspace) as index:
        known = index.known()
        for name in MODELS:
            for version in versions_of(tracker, name):
                number, marked = str(version.version), version.tags.get(MARKED_TAG, "")
                if (name, number) not in known:
                    _fetch(tracker, index, name, version)
                    added += 1
                index.mark(name, number, marked)
    return added


def versions_of(tracker: Tracker, name: str) -> list[Any]:
    """All versions of a registered model, whatever their number."""
    found: list[Any] = []
    token = None
    with told():
        while True:
            page = tracker.client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def _fetch(tracker: Tracker, index: Index, name: str, version: Any) -> None:
    """Reads a version's facts and clips from its run; one registered without lineage is noted with none."""
    import pandas as pd

    tag = version.tags.get(LINEAGE_TAG, "")
    digest = version.tags.get("digest", "")
    if not tag:
        facts = {"digest": digest, "run_id": version.run_id or "", "lineage": "none was recorded"}
        index.add(name, str(version.version), digest, facts, {}, version.tags.get(MARKED_TAG, ""))
        return
    told_there = json.loads(tag)
    facts = json.loads(_bytes(tracker, told_there["run_id"], told_there["facts"]))
    clips: dict[str, list[Clip]] = {}
    for role in ROLES:
        file = told_there["clips"].get(role)
        if file:
            table = pd.read_parquet(io.BytesIO(_bytes(tracker, told_there["run_id"], file)))
            clips[role] = clips_of(table)
            if not file.startswith(f"clips-{set_digest(table['clip_id'])[:16]}."):
                raise SyncDreamerError(f"{name} {version.version}: {FOLDER}/{file} is not the recorded set")
    index.add(name, str(version.version), digest, facts, clips, version.tags.get(MARKED_TAG, ""))


def _bytes(tracker: Tracker, run_id: str, file: str) -> bytes:
    with told(), tempfile.TemporaryDirectory(prefix="syncdreamer-lineage-") as folder:
        path = tracker.client.download_artifacts(run_id, f"{FOLDER}/{file}", folder)
        return Path(path).read_bytes()
