"""A sync model from a corpus of one's own: train on everything, filter and align with it, train again.

The published SyncNet does badly outside English, and a corpus can only be filtered for sync by a sync model.
The way out of the circle: most clips of a corpus are in sync, so a model that learnt from all of them tells
the others. A threshold for the confidence is then calibrated against pictures with strangers' sound, on
recordings that were never trained on. A lag that all clips share cannot be seen this way.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from components.core.errors import InputError
from components.core.files import digest_tree, read_json, write_bytes, write_json
from components.core.params import Params
from components.core.paths import Workspace
from components.core.progress import say, track
from components.core.seeds import derive
from components.curation.curate import Job, assemble, make_items, make_job
from components.curation.identities import position
from components.curation.ingest import read_inventory
from components.curation.ledger import Ledger
from components.curation.package import Item, decoder_of, stored_track
from components.curation.params import CurateParams
from components.curation.pool import Lost, cores, spread
from components.curation.steps.decode import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.sync import SyncModel

EDGE = 30
"""Frames of sound kept on either side of the pictures: what shifts of ±15 frames need after an alignment by
as much."""
STRANGERS = 3
"""Other clips' sounds that each clip is scored against when a threshold is calibrated."""
FEWEST = 12


class BootstrapParams(Params):
    """How a sync model is made from the user's clips."""

    clips: int = Field(400, ge=FEWEST, description="Most clips that are used.")
    frames: int = Field(60, ge=40, le=250, description="Frames of a clip, at 25 fps.")
    held_out: float = Field(0.2, gt=0, lt=0.6, description="Share of the clips that is only measured on.")
    first_steps: int = Field(240, ge=1, description="Training steps of the first pass, on everything.")
    steps: int = Field(480, ge=1, description="Training steps of the second pass, on what was in sync.")
    batch: int = Field(8, ge=2, description="Clips a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak of a one-cycle schedule.")
    false_accept: float = Field(
        0.02, gt=0, lt=0.5, description="Share of strangers' sound that the threshold lets pass."
    )


@dataclass(frozen=True)
class Take:
    """A clip to learn from: its recording, and the file with its mouths and sound."""

    clip_id: str
    source_video: str
    path: Path


def bootstrap(
    params: BootstrapParams, curation: CurateParams, workspace: Workspace, seed: int, out: Path
) -> Path:
    """Trains a model on the measured clips of this workspace; returns its folder, `out`/<content digest>.

    Raises:
        InputError: nothing was measured yet, or too few clips show a face and carry a voice.
    """
    from components.perception.params import SyncParams
    from components.perception.sync import SyncModel
    from components.perception.sync_training import train

    job = make_job(curation, workspace)
    work = workspace.state("sync_train", job.fingerprint)
    takes, held = split(gather(params, job, work / "takes"), params.held_out)
    name, data = (
        "sync (own corpus)",
        f"{len(takes)} clips of {len({t.source_video for t in takes})} recordings",
    )

    def learn(chosen: list[Path], steps: int, place: Path) -> tuple[SyncModel, dict[str, float]]:
        chunks = [*chosen, *(aligned(take, 0, work / "centred") for take in held)]
        how = SyncParams(clips=max(6, len(chunks)), frames=params.frames, held_out=len(held), steps=steps,
                         batch=params.batch, learning_rate=params.learning_rate)  # fmt: skip
        figures = train(how, chunks, place, seed, name=name, data=data)
        return SyncModel.load(place), {key.removeprefix("sync_"): value for key, value in figures.items()}

    centred = [aligned(take, 0, work / "centred") for take in takes]
    first, before = learn(centred, params.first_steps, work / "1")
    limit = threshold(strangers(first, takes, seed), 0.05)
    seen = zip(takes, score(first, takes), strict=True)
    kept = [(take, offset) for take, (offset, confidence) in seen if confidence >= limit]
    say(f"sync train: the first pass finds {len(kept)} of {len(takes)} clips in sync (≥ {limit:.2f})")
    if len(kept) < FEWEST // 2:
        raise InputError(
            f"the first pass finds {len(kept)} clips in sync: too few to go on; give more clips or steps"
        )
    moved = [aligned(take, offset, work / "aligned") for take, offset in kept]
    second, after = learn(moved, params.steps, work / "2")
    own = [confidence for _, confidence in score(second, held)]
    other = strangers(second, held, seed)
    limit = threshold(other, params.false_accept)
    calibration = {
        "min_sync": round(limit, 4),
        "false_accept": round(float(np.mean(np.array(other) >= limit)), 5),
        "false_reject": round(float(np.mean(np.array(own) < limit)), 5),
        "held_out_clips": len(held),
        "first_pass": before,
        "second_pass": after,
        "clips_kept": len(kept),
        "clips_moved": sum(offset != 0 for _, offset in kept),
        "seed": seed,
    }
    config = work / "2" / "config.json"
    write_json(config, read_json(config) | {"calibration": calibration})
    folder = out / digest_tree(work / "2")[:12]
    if not folder.exists():
        shutil.copytree(work / "2", folder)
    return folder


def gather(params: BootstrapParams, job: Job, folder: Path) -> list[Take]:
    """Up to `params.clips` clips with a face and a voice, whatever their sync; cut from the raw files into
    `folder`. What was cut before is not cut again.

    Raises:
        InputError: nothing was measured, or fewer than `FEWEST` clips can be used.
    """
    inventory = read_inventory(job.workspace)
    items = make_items(inventory, job)
    with Ledger(job.workspace.state("curate") / "ledger.sqlite") as ledger:
        scores = ledger.read(job.fingerprint, [item.key for item in items])
    if scores.empty:
        raise InputError("no clip is measured yet; run `syncdreamer stage curate` first")
    table = usable(assemble(inventory, items, scores, {}, job), params, job.params).head(params.clips)
    if len(table) < FEWEST:
        raise InputError(
            f"{len(table)} clips show one face for {params.frames} frames and carry a voice: too few "
            f"({FEWEST} are needed)"
        )
    by_key = {item.key: item for item in items}
    takes, todo = [], []
    for row in table.to_dict("records"):
        path = folder / f"{row['key']}.{row['segment']}.{params.frames}.npz"
        takes.append(Take(row["clip_id"], row["source_video"], path))
        if not path.exists():
            todo.append((by_key[row["key"]], int(row["segment"]), path))
    _cut(todo, params, job)
    return [take for take in takes if take.path.exists()]


def usable(table: Any, params: BootstrapParams, curation: CurateParams) -> Any:
    """Rows with a whole file, one person's face and a voice, in an order that depends on names alone."""
    import pandas as pd

    limits = curation.limits

    def number(name: str) -> Any:
        return pd.to_numeric(table[name], errors="coerce")

    good = (
        table["problem"].isna()
        & (number("has_sound") > 0)
        & (number("face_rate") >= limits.min_face_rate)
        & (number("second_face_rate") <= limits.max_second_face_rate)
        & (number("voice_rate") >= limits.min_voice_rate)
        & (number("n_frames") >= params.frames)
    )
    chosen = table[good].drop_duplicates(["key", "segment"])
    return chosen.iloc[np.argsort([position(name) for name in chosen["clip_id"]], kind="stable")]


def _cut(todo: list[tuple[Item, int, Path]], params: BootstrapParams, job: Job) -> None:
    results = spread(
        Cutter,
        (params.frames, job.params),
        todo,
        workers=cores(job.params.workers),
        time_limit=job.params.time_limit_s,
    )
    for index, result in track(results, "mouths", len(todo)) if todo else ():
        if isinstance(result, Lost):
            say(f"sync train: {todo[index][0].path.name}: {result.why}")


class Cutter:
    """A worker's tool: writes mouths (T,48,48,3) and sound ((T+2·EDGE)·640,) of a segment's middle."""

    def __init__(self, settings: tuple[int, CurateParams]) -> None:
        self._frames, self._params = settings

    def __call__(self, job: tuple[Item, int, Path]) -> None:
        from components.core.media import FPS
        from components.perception.faces import mouth_crop
        from components.perception.sync import MOUTH

        item, number, path = job
        (first, length), track, _ = stored_track(item, number)
        for stretch in decoder_of(item, self._params).stretches():
            offset = round((stretch.start - item.start) * FPS)
            if not offset <= first < offset + len(stretch.frames):
                continue
            part = stretch.part(first - offset, first - offset + length)
            begin = (len(part.frames) - self._frames) // 2
            if part.samples is None or begin < 0:
                return
            chosen = range(begin, begin + self._frames)
            mouths = np.stack([mouth_crop(part.frames[i], track.face(i), MOUTH) for i in chosen])
            buffer = io.BytesIO()
            np.savez(buffer, mouths=mouths, sound=around(part.samples, begin, self._frames))
            write_bytes(path, buffer.getvalue())


def around(samples: NDArray[np.float32], begin: int, frames: int) -> NDArray[np.float32]:
    """The sound of `frames` frames from frame `begin` on, with `EDGE` frames on either side; silence beyond
    the samples' ends."""
    sound = np.zeros((frames + 2 * EDGE) * SAMPLES_PER_FRAME, np.float32)
    first = (begin - EDGE) * SAMPLES_PER_FRAME
    there = samples[max(0, first) : max(0, first + len(sound))]
    sound[max(0, -first) : max(0, -first) + len(there)] = there
    return sound


def split(takes: Sequence[Take], held_out: float) -> tuple[list[Take], list[Take]]:
    """(to train on, to measure on): no recording is on both sides; who is held out depends on names alone.

    Raises:
        InputError: all clips are of one recording.
    """
    recordings = sorted({take.source_video for take in takes}, key=lambda name: (position(name), name))
    held: set[str] = set()
    for name in recordings[:-1]:
        if sum(take.source_video in held for take in takes) >= max(2, held_out * len(takes)):
            break
        held.add(name)
    apart = [take for take in takes if take.source_video in held]
    rest = [take for take in takes if take.source_video not in held]
    if len(apart) < 2 or len(rest) < 2:
        raise InputError("the clips are of too few recordings to hold some out")
    return rest, apart


def aligned(take: Take, offset: int, folder: Path) -> Path:
    """The chunk that `perception.sync_training` reads, its sound moved back by `offset` frames."""
    from components.perception.sync_training import MARGIN

    path = folder / f"{take.path.stem}.{offset}.npz"
    if path.exists():
        return path
    with np.load(take.path) as data:
        mouths, sound = data["mouths"], data["sound"]
    begin = (EDGE - MARGIN - offset) * SAMPLES_PER_FRAME
    part = sound[begin : begin + (len(mouths) + 2 * MARGIN) * SAMPLES_PER_FRAME]
    buffer = io.BytesIO()
    np.savez(buffer, mouths=mouths[None], sound=part[None])
    write_bytes(path, buffer.getvalue())
    return path


def score(model: SyncModel, takes: Sequence[Take]) -> list[tuple[int, float]]:
    """(offset, confidence) of each clip with its own sound."""
    found = []
    for take in takes:
        with np.load(take.path) as data:
            mouths, sound = data["mouths"], data["sound"]
        seen = model.score(mouths, _centre(sound, len(mouths)))
        found.append((int(seen.offset), float(seen.confidence)))
    return found


def strangers(model: SyncModel, takes: Sequence[Take], seed: int) -> list[float]:
    """Confidences of each clip's pictures with the sound of `STRANGERS` others."""
    rng = np.random.default_rng(derive(seed, "strangers"))
    found = []
    for index, take in enumerate(takes):
        with np.load(take.path) as data:
            mouths = data["mouths"]
        others = [i for i in range(len(takes)) if i != index]
        for other in rng.choice(others, min(STRANGERS, len(others)), replace=False):
            with np.load(takes[int(other)].path) as data:
                sound = _centre(data["sound"], len(mouths))
            found.append(float(model.score(mouths, sound).confidence))
    return found


def threshold(confidences: Sequence[float], pass_rate: float) -> float:
    """The least confidence that at most `pass_rate` of these reach."""
    ordered = np.sort(np.asarray(confidences, float))[::-1]
    return float(np.nextafter(ordered[min(int(pass_rate * len(ordered)), len(ordered) - 1)], np.inf))


def _centre(sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    return sound[EDGE * SAMPLES_PER_FRAME : (EDGE + frames) * SAMPLES_PER_FRAME]
