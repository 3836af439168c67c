"""Stage `annotate`: a reference frame of every kept clip, what it shows, what the person does, and the text.

Reads the curated shards alone: landmarks and face boxes are in them, no face is looked for again.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_json, to_json, write_json, write_parquet
from components.core.media import write_image
from components.core.paths import Workspace, require
from components.core.progress import track
from components.core.vocabulary import ACTIONS, FRAMINGS, LISTS, SCALARS, UNKNOWN
from components.curation.params import AnnotateParams
from components.curation.pool import Lost, cores, spread
from components.storage.shards import Sample, list_shards, read_shard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = (
    "clip_id", "split", "framing", "identity", "caption", "caption_tokens", "attributes", "pose", "actions",
    "text", "reference_frame", "attribute_model",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a worker needs to build its tool."""

    params: AnnotateParams
    perception: Path
    frames: Path


def run(params: AnnotateParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/annotate: annotations.parquet, frames/<clip_id>.png and metrics.json.

    Raises:
        InputError: the shards or a model are missing, or a clip cannot be read.
    """
    import pandas as pd

    perception = workspace.artifacts("perception")
    for name in ("attributes", "text"):
        require(perception / name, "syncdreamer stage perception")
    shards = list_shards(require(workspace.artifacts("curate", "shards"), "syncdreamer stage curate"))
    folder = workspace.artifacts("annotate")
    parts = 2 * cores(params.workers)
    jobs = [(shard, part, parts) for shard in shards for part in range(parts)]
    results = spread(
        Annotator,
        Settings(params, perception, folder / "frames"),
        jobs,
        workers=cores(params.workers),
        time_limit=params.time_limit_s,
    )
    rows: list[dict[str, Any]] = []
    for index, result in track(results, "annotate", len(jobs)):
        if isinstance(result, Lost):
            raise InputError(f"{jobs[index][0].name}: {result.why}")
        rows += result
    rows.sort(key=lambda row: row["clip_id"])
    if params.attributes_by != "small" or params.captions_by != "small":
        rows = _by_large_models(rows, folder, params, workspace)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_parquet(folder / "annotations.parquet", table)
    write_json(folder / "metrics.json", figures(table))


def _by_large_models(
    rows: list[dict[str, Any]], folder: Path, params: AnnotateParams, workspace: Workspace
) -> list[dict[str, Any]]:
    """Rows with the large models' answers; writes quarantine.parquet."""
    import pandas as pd

    from components.curation.describe import QUARANTINE, redescribe
    from components.perception.captions import with_actions
    from components.perception.text import TextEncoder

    count = TextEncoder.load(workspace.artifacts("perception", "text")).count_tokens
    kept, quarantined = redescribe(rows, folder / "frames", params, workspace, count, with_actions)
    write_parquet(folder / "quarantine.parquet", pd.DataFrame(quarantined, columns=list(QUARANTINE)))
    return kept


class Annotator:
    """A worker's tool: the clips of one part of one shard → rows; writes their frames."""

    def __init__(self, settings: Settings) -> None:
        from components.perception.attributes import AttributeModel
        from components.perception.captions import compose, with_actions
        from components.perception.text import TextEncoder

        self._settings = settings
        self._attributes = AttributeModel.load(settings.perception / "attributes")
        self._name = read_json(settings.perception / "attributes" / "config.json").get("name", "attributes")
        self._count = TextEncoder.load(settings.perception / "text").count_tokens
        self._compose, self._with_actions = compose, with_actions

    def __call__(self, job: tuple[Path, int, int]) -> list[dict[str, Any]]:
        shard, part, parts = job
        chosen = [sample for index, sample in enumerate(read_shard(shard)) if index % parts == part]
        return [self._row(sample) for sample in chosen]

    def _row(self, sample: Sample) -> dict[str, Any]:
        import numpy as np

        from components.perception.actions import recognise
        from components.perception.landmarks import head_pose

        frames, facts, places, landmarks, masks = unpack(sample)
        reference = reference_frame(landmarks, places)
        write_image(self._settings.frames / f"{sample.key}.png", frames[reference])
        looks = np.linspace(0, len(frames) - 1, self._settings.params.look_at).round().astype(int)
        seen = self._attributes.predict(frames[sorted({reference, *looks.tolist()})])
        shown = self._attributes.predict(frames[reference][None])[0]
        attributes = agree(shown, seen)
        done = recognise(
            landmarks, places, fps=facts["output_fps"], masks=masks, hands=facts["framing"] != FRAMINGS[0]
        )
        actions = [{"action": each.name, "start": each.start, "end": each.end} for each in done]
        caption = self._compose(attributes, self._count)
        poses = np.array([head_pose(points) for points in landmarks]).reshape(-1, 3)
        named = [each.name for each in done][: self._settings.params.max_actions]
        return {
            "clip_id": sample.key,
            "split": facts["split"],
            "framing": facts["framing"],
            "identity": facts["identity"],
            "caption": caption,
            "caption_tokens": self._count(caption),
            "attributes": to_json(attributes, indent=None),
            "pose": to_json(pose_summary(poses), indent=None),
            "actions": to_json(actions, indent=None),
            "text": self._with_actions(caption, named),
            "reference_frame": reference,
            "attribute_model": self._name,
        }


def unpack(
    sample: Sample,
) -> tuple[NDArray[np.uint8], dict[str, Any], NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8]]:
    """Frames (T,S,S,3), the json's content, frames with a mesh (K,), landmarks (K,478,3), masks (K,5,g,g).

    Raises:
        InputError: a part is missing or damaged.
    """
    import tempfile

    import numpy as np

    from components.core.media import read_video

    try:
        facts = json.loads(sample.parts["json"])
        with np.load(io.BytesIO(sample.parts["npz"]), allow_pickle=False) as arrays:
            places, masks = arrays["landmark_frames"], arrays["masks"]
            landmarks = arrays["landmarks"].astype(np.float32)
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(sample.parts["mp4"])
            file.flush()
            frames = read_video(Path(file.name), audio=False).frames
    except (KeyError, ValueError) as error:
        raise InputError(f"curated clip {sample.key}: part missing or damaged ({error})") from error
    return frames, facts, places, landmarks, masks


def reference_frame(landmarks: NDArray[np.float32], places: NDArray[np.int32]) -> int:
    """The frame that shows the person best: facing the camera, eyes open, mouth calm; 0 without a mesh.

    Lowest sum of |yaw| and |pitch| about the clip's own median (radians), four times the lip opening, and
    a penalty for eyes more than a quarter narrower than usual; the first of equals.
    """
    import numpy as np

    from components.perception.landmarks import aperture, eye_openness, head_pose

    if not len(places):
        return 0
    poses = np.array([head_pose(points)[:2] for points in landmarks])
    turned = np.abs(poses[:, 0]) + np.abs(poses[:, 1] - np.median(poses[:, 1]))
    opening = np.array([aperture(points) for points in landmarks])
    eyes = np.array([min(eye_openness(points)) for points in landmarks])
    shut = np.clip(0.75 - eyes / max(float(np.median(eyes)), 1e-6), 0, None)
    return int(places[int(np.argmin(np.round(turned + 4 * opening + 4 * shut, 6)))])


def agree(shown: dict[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any]:
    """The attributes of a clip, in the schema of `core.vocabulary`.

    What lasts (clothes, hair, place, things worn) is what most of the looks `seen` say; what passes (head,
    gaze, expression, hands, posture) is that of the reference frame `shown`.
    """
    passing = {"head", "gaze", "expression", "hands", "posture"}
    found: dict[str, Any] = {}
    for name in SCALARS:
        if name in passing:
            found[name] = shown[name]
            continue
        known = Counter(look[name] for look in seen if look[name] != UNKNOWN)
        best = min(known, key=lambda value: (-known[value], value), default=UNKNOWN)
        found[name] = best if known[best] * 2 > len(seen) else UNKNOWN
    for name, values in LISTS.items():
        found[name] = [v for v in values if 2 * sum(v in look[name] for look in seen) > len(seen)]
    return found


def pose_summary(poses: NDArray[np.float64]) -> dict[str, Any]:
    """Mean and spread of yaw, pitch and roll in degrees over a clip, of (K,3) radians; counts the frames."""
    import numpy as np

    if not len(poses):
        return {"frames": 0}
    degrees = np.degrees(poses)
    summary: dict[str, Any] = {"frames": len(poses)}
    for index, name in enumerate(("yaw", "pitch", "roll")):
        summary[name] = round(float(degrees[:, index].mean()), 2)
        summary[f"{name}_spread"] = round(float(degrees[:, index].std()), 2)
    return summary


def figures(table: Any) -> dict[str, Any]:
    """Flat name → number: clips, caption lengths, share of known attributes, clips with each action."""
    attributes = [json.loads(text) for text in table["attributes"]]
    done = [{item["action"] for item in json.loads(text)} for text in table["actions"]]
    known = [sum(row[name] != UNKNOWN for name in SCALARS) / len(SCALARS) for row in attributes]
    result: dict[str, Any] = {
        "clips": len(table),
        "empty_captions": int((table["caption"].str.strip() == "").sum()),
        "caption_tokens_mean": round(float(table["caption_tokens"].mean()), 4),
        "caption_tokens_max": int(table["caption_tokens"].max()),
        "attributes_known": round(sum(known) / max(1, len(known)), 6),
        "clips_with_actions": sum(bool(names) for names in done),
    }
    return result | {f"action_{name}": sum(name in names for names in done) for name in ACTIONS}
