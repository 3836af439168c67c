"""Stage `curate`: measures every clip once, decides by thresholds, splits by person, writes shards.

Measurements live in a ledger under state/curate, so an interrupted or re-parametrised run repeats none. The
artifacts are a deterministic export of it: the same for any number of workers and interruptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.paths import Workspace, inside
from components.core.progress import say, track
from components.curation import export
from components.curation.decide import add_reason, decide
from components.curation.duplicates import Print, find
from components.curation.forgotten import tombstones, without_clips, without_files
from components.curation.identities import assign_splits, cluster, label
from components.curation.ingest import read_inventory
from components.curation.ledger import Ledger, Segment, fingerprint
from components.curation.measure import Settings, Worker, measuring
from components.curation.models import Models, Places, digests
from components.curation.package import Form, Item, Repackaging, item_key
from components.curation.params import BackendParams, CurateParams
from components.curation.pool import Lost, cores, spread
from components.curation.sources.places import local
from components.curation.steps.framing import framing

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Job:
    """What a run works with: parameters, places, the models' digests and the ledger's fingerprint."""

    params: CurateParams
    workspace: Workspace
    models: dict[str, str]
    fingerprint: str

    @property
    def settings(self) -> Settings:
        """For the workers."""
        return Settings(self.params, places(self.params, self.workspace))

    def work(self, key: str) -> Path:
        """Where a file's tracks, thumbnails and packages lie until they are exported."""
        return self.workspace.state("curate") / "work" / self.fingerprint / key[:2] / key


def run(params: CurateParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/curate: manifest.parquet, shards/, thumbnails/, config.json and metrics.json.

    Raises:
        InputError: the inventory or a model is missing, a raw file changed since the inventory was made, the
            tombstone list is not the one that `params` names, or no clip at all was kept.
    """
    stones = tombstones(params, workspace)
    inventory = without_files(read_inventory(workspace), stones)
    job = make_job(params, workspace)
    items = make_items(inventory, job)
    with Ledger(workspace.state("curate") / "ledger.sqlite") as ledger:
        lost = measure(items, job, ledger)
        scores = ledger.read(job.fingerprint, [item.key for item in items])
    table = without_clips(assemble(inventory, items, scores, lost, job), stones)
    table = choose(table, params)
    if not (table["decision"] == "keep").any():
        raise InputError(
            f"none of {len(table)} clips can be used; the most frequent reason is "
            f"{table['reasons'].mode().iloc[0]!r}"
        )
    write_missing_packages(table, items, job)
    people(table, job)
    export.write(
        table, dict(zip([item.key for item in items], items, strict=True)), job.params, job.models, workspace
    )


def make_job(params: CurateParams, workspace: Workspace) -> Job:
    """What a run with these parameters works with.

    Raises:
        InputError: a model is missing.
    """
    models = digests(places(params, workspace))
    return Job(params, workspace, models, fingerprint({"models": models, "how": measuring(params)}))


def places(params: CurateParams, workspace: Workspace) -> Places:
    """Where the models lie that params.yaml names.

    Raises:
        InputError: two sync models are named.
    """
    backends = params.backends or BackendParams()
    if backends.syncnet is not None and params.sync_model is not None:
        raise InputError("curate.sync_model and curate.backends.syncnet name two sync models; keep one")
    sync = inside(workspace.root, params.sync_model) if params.sync_model is not None else None
    return Places(workspace.artifacts("perception"), workspace.root, sync, backends)


def make_items(inventory: pd.DataFrame, job: Job) -> list[Item]:
    """One item for each row of the inventory; files with the same bytes share a key."""
    items = []
    for row in inventory.astype(object).where(inventory.notna(), None).to_dict("records"):
        crop = parsed_crop(row.get("crop"))
        key = item_key(row["sha256"], row["start"], row["end"], crop)
        height, width = (int(row[name]) if row[name] else None for name in ("height", "width"))
        if crop is not None:
            width, height = crop[2:]
        items.append(
            Item(
                key=key,
                sha256=row["sha256"],
                path=local(job.workspace, row["file"]),
                work=job.work(key),
                start=row["start"],
                end=row["end"],
                claimed=row["duration"],
                width=width,
                height=height,
                audio=row["audio"],
                problem=row["problem"],
                crop=crop,
            )
        )
    return items


def parsed_crop(text: str | None) -> tuple[int, int, int, int] | None:
    """The inventory's `left,top,width,height`."""
    if text is None:
        return None
    left, top, width, height = map(int, text.split(","))
    return left, top, width, height


def measure(items: list[Item], job: Job, ledger: Ledger) -> dict[str, str]:
    """Measures what the ledger lacks; returns why by key for files that yielded nothing.

    A time-out or an unexpected failure is tried again in the next runs, `ledger.TRIES` times in all.
    """
    finished = ledger.finished(job.fingerprint)
    gave_up = ledger.given_up(job.fingerprint)
    todo = list({item.key: item for item in items if item.key not in finished}.values())
    if len(todo) < len(items):
        say(f"curate: {len(items) - len(todo)} of {len(items)} files are in the ledger already")
    lost = {key: why for key, why in gave_up.items() if key not in finished}
    todo = [item for item in todo if item.key not in lost]
    results = distribute(job, todo)
    for index, result in track(results, "curate", len(todo)):
        item = todo[index]
        if isinstance(result, Lost):
            say(f"curate: {item.path.name}: {result.why}")
            if not result.final:
                lost[item.key] = result.why
                ledger.failed(job.fingerprint, item.key, item.sha256, result.why)
                continue
            result = [Segment({"problem": result.why, "segments": 1})]
        ledger.add(job.fingerprint, item.key, item.sha256, result)
    return lost


def distribute(job: Job, todo: Sequence[Item | Repackaging]) -> Iterator[tuple[int, Any]]:
    """(index, result or `Lost`) of every piece of work, by processes here or actors of a Ray cluster."""
    params = job.params
    if params.engine == "ray":
        from components.curation.pool_ray import spread_ray

        return spread_ray(
            Worker, job.settings, todo, workers=params.workers, time_limit=params.time_limit_s,
            address=params.ray_address,
        )  # fmt: skip
    return spread(Worker, job.settings, todo, workers=cores(params.workers), time_limit=params.time_limit_s)


def assemble(
    inventory: pd.DataFrame, items: list[Item], scores: pd.DataFrame, lost: dict[str, str], job: Job
) -> pd.DataFrame:
    """One row for each segment of each inventory row, in its order, with clip_id, scores and fingerprints."""
    import pandas as pd

    if lost:
        given_up = pd.DataFrame(
            {"key": list(lost), "segment": 0, "problem": list(lost.values()), "segments": 1}
        )
        scores = pd.concat([scores, given_up], ignore_index=True)
    facts = inventory[
        [
            "source",
            "file",
            "sha256",
            "bytes",
            "source_video",
            "licence",
            "consent",
            "split",
            "audio",
            "delivery",
        ]
    ].rename(columns={"split": "declared", "delivery": "delivery_label"})
    facts = facts.assign(key=[item.key for item in items], place=range(len(items)))
    table = facts.merge(scores.drop(columns=["fingerprint"]), on="key", how="left", validate="many_to_many")
    table = table.sort_values(["place", "segment"], kind="stable").reset_index(drop=True)
    number = table.groupby("sha256", sort=False).cumcount()
    table["clip_id"] = table["sha256"].str[:16] + "-" + number.astype(str)
    measured = table["delivery_label"] == "from_audio"
    table["delivery"] = table["delivery"].where(measured, table["delivery_label"])
    table["delivery_confidence"] = table["delivery_confidence"].where(measured, 1.0)
    table["framing"] = framing(
        pd.to_numeric(table["face_ratio"]), job.params.close_up_ratio, job.params.upper_body_ratio
    )
    return table


def choose(table: pd.DataFrame, params: CurateParams) -> pd.DataFrame:
    """Adds the decision. Of near-duplicates the largest stays, then the highest bit rate, then the first.

    Raises:
        InputError: a clip is readmitted that shows no face: there is nothing to cut to.
    """
    readmitted = table["clip_id"].isin(params.readmit)
    blind = readmitted & ~(pd_number(table["face_rate"]) > 0)
    if blind.any():
        row = table[blind].iloc[0]
        raise InputError(
            f"curate.readmit: no face was found in {row['clip_id']} ({row['file']}), so it cannot be cut; "
            "remove it from params.yaml"
        )
    unknown = len(params.readmit) - int(readmitted.sum())
    if unknown:
        say(f"curate: {unknown} readmitted clips are not in the sources (any more)")
    table = table.join(decide(table, params.limits, readmitted))
    kept = table[table["decision"] == "keep"]
    kept = kept.assign(pixels=kept["width"] * kept["height"], rate=kept["bytes"] / kept["decoded_seconds"])
    kept = kept.sort_values(["pixels", "rate"], ascending=False, kind="stable")
    prints = [
        Print(*fields)
        for fields in zip(kept["clip_id"], kept["file"], kept["picture"], kept["sound"], strict=True)
    ]
    copies = find(prints, params)
    table["duplicate_of"] = table["clip_id"].map(copies)
    table.loc[readmitted, "duplicate_of"] = None
    add_reason(table, table["duplicate_of"].notna(), "duplicate")
    return table


def pd_number(column: pd.Series) -> pd.Series:
    """A score as numbers; null is NaN."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce")


def forms(table: pd.DataFrame) -> Iterator[tuple[str, int, Form]]:
    """(key, segment, form) of every kept clip."""
    kept = table[table["decision"] == "keep"]
    for key, segment, shift, kind in zip(
        kept["key"], kept["segment"], kept["shift"], kept["framing"], strict=True
    ):
        yield key, int(segment), Form(int(shift), kind == "close-up")


def write_missing_packages(table: pd.DataFrame, items: list[Item], job: Job) -> None:
    """Makes the packages of kept clips that were not made while measuring (a threshold changed since)."""
    by_key = {item.key: item for item in items}
    missing: dict[str, dict[int, Form]] = {}
    for key, segment, form in forms(table):
        if not (form.folder(by_key[key], segment, job.params) / "geometry.json").exists():
            missing.setdefault(key, {})[segment] = form
    jobs = [Repackaging(by_key[key], wanted) for key, wanted in missing.items()]
    results = distribute(job, jobs)
    for index, result in track(results, "standardise", len(jobs)) if jobs else ():
        if isinstance(result, Lost):
            raise InputError(f"{jobs[index].item.path}: measured before, now {result.why}")


def people(table: pd.DataFrame, job: Job) -> None:
    """Adds identity and split to `table`, in place; rejected clips get the split that was declared.

    The clustering distance is the parameter, or what the identity model was calibrated to. Validation by
    person is cautious: people who are only alike are not put on two sides.
    """
    import numpy as np

    params = job.params
    model = Models(places(params, job.workspace)).identity
    distance = params.identity_distance if params.identity_distance is not None else model.same_person
    table["identity"] = None
    kept = table["decision"] == "keep"
    vectors = np.stack([np.frombuffer(blob, np.float32) for blob in table.loc[kept, "embedding"]])
    ids = table.loc[kept, "clip_id"].tolist()
    table.loc[kept, "identity"] = label(ids, cluster(vectors, distance).tolist())
    table["split"] = np.where(table["declared"] == "test", "test", "train")
    clips = table.loc[kept]
    by_person = params.val_by == "person"
    if by_person:
        clips = clips.assign(alike=cluster(vectors, max(distance, model.alike)).astype(str))
    table.loc[kept, "split"] = assign_splits(clips, params.val_rate, by_person)
