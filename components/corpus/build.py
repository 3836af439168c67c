"""A corpus of any size: a plan drawn from one seed, made in parallel, resumed where it stopped."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core import progress
from components.core.errors import InputError
from components.core.files import digest_file, read_json, to_json, write_bytes, write_text
from components.core.seeds import derive
from components.corpus.clips import make_clip
from components.corpus.faults import FAULTS, Made, apply_fault, encoded

WIDE_SHARES = {"demo": {"upper body": 0.13, "full body": 0.09}, "demo_test": {"upper body": 0.11}}
"""Shares of the wider framings; the rest are close-ups."""
DELIVERY_CYCLE = ("speech", "emotional", "speech", "singing", "speech", "speech", "emotional", "speech")
TEST_SHARE = 0.25
"""Of the identities; their share of the clips is smaller, because training needs more of each person."""
TEST_CLIP_SHARE = 0.164
PEOPLE = "people"
"""Folder of `plan_people`."""


@dataclass(frozen=True)
class Item:
    """One file to make. `recording` is the name of a real recording that is spoken, or empty."""

    folder: str
    stem: str
    person: int
    seed: int
    pool: str
    framing: str = "close-up"
    delivery: str = "speech"
    fault: str = ""
    other: int = 0
    recording: str = ""


def parse_faults(text: str) -> dict[str, int]:
    """`all` (two of each), `none`, or `kind:n,kind:n`.

    Raises:
        InputError: a kind is unknown or a number is not one.
    """
    if text in ("", "none"):
        return {}
    if text == "all":
        return dict.fromkeys(FAULTS, 2)
    wanted: dict[str, int] = {}
    for part in text.split(","):
        kind, _, number = part.strip().partition(":")
        if kind not in FAULTS:
            raise InputError(f"fault {kind!r} is none of {', '.join(FAULTS)}")
        if number and not number.isdigit():
            raise InputError(f"fault {part.strip()!r}: {number!r} is not a number")
        wanted[kind] = int(number or 1)
    return wanted


def plan(seed: int, identities: int, clips: int, faults: dict[str, int], recordings: int = 4) -> list[Item]:
    """What a corpus consists of. Names are numbered in an order that tells nothing about the content.

    A quarter of the identities is for the test split only (folder demo_test); the others speak in demo.

    Raises:
        InputError: too few identities or clips.
    """
    if identities < 2 or clips < identities:
        raise InputError(
            f"a corpus needs at least 2 identities and a clip of each, got {identities} and {clips}"
        )
    people = [derive(seed, "identity", index) % 2**31 for index in range(identities)]
    tested = max(1, round(identities * TEST_SHARE))
    training, testing = people[: identities - tested], people[identities - tested :]
    test_clips = max(tested, min(round(clips * TEST_CLIP_SHARE), clips - len(training)))
    train_items = _clean(seed, "demo", training, clips - test_clips, "train")
    for index in range(min(recordings, len(train_items) // 8)):
        item = train_items[index * 7 + 3]
        if item.framing == "close-up":
            train_items[index * 7 + 3] = _with(item, recording=str(index), delivery="speech")
    test_items = _clean(seed, "demo_test", testing, test_clips, "test")
    count = 0
    for kind in sorted(faults):
        for index in range(faults[kind]):
            person = training[(5 * count + 2) % len(training)]
            other = training[(5 * count + 5) % len(training)]
            item = Item(
                "demo", "", person, derive(seed, "fault", kind, index), "train", fault=kind, other=other
            )
            if kind == "duplicate":
                original = [
                    row
                    for row in train_items
                    if row.framing == "close-up" and not row.fault and not row.recording
                ]
                twin = original[(11 * index + 6) % len(original)]
                item = _with(item, person=twin.person, seed=twin.seed, delivery=twin.delivery)
            train_items.append(item)
            count += 1
    return _numbered(seed, train_items) + _numbered(seed, test_items)


def plan_people(seed: int, people: int, clips: int) -> list[Item]:
    """More people to train on: clean close-ups alone, none of them for testing. Sentences are training's.

    Raises:
        InputError: fewer clips than people, or nobody.
    """
    if people < 1 or clips < people:
        raise InputError(f"needs at least one person and a clip of each, got {people} and {clips}")
    drawn = [derive(seed, "more people", index) % 2**31 for index in range(people)]
    items = [
        Item(
            PEOPLE,
            "",
            drawn[index % people],
            derive(seed, PEOPLE, "clip", index),
            "train",
            delivery=DELIVERY_CYCLE[(index + index // people) % len(DELIVERY_CYCLE)],
        )
        for index in range(clips)
    ]
    return _numbered(seed, items)


def _with(item: Item, **changes: Any) -> Item:
    return Item(**{**vars(item), **changes})


def _clean(seed: int, folder: str, people: list[int], clips: int, pool: str) -> list[Item]:
    made = []
    wide = {name: round(clips * share) for name, share in WIDE_SHARES[folder].items()}
    close = clips - sum(wide.values())
    framings = ["close-up"] * close + [name for name, count in wide.items() for _ in range(count)]
    for index, framing in enumerate(framings):
        person = people[index % len(people)]
        delivery = DELIVERY_CYCLE[(index + index // len(people)) % len(DELIVERY_CYCLE)]
        made.append(Item(folder, "", person, derive(seed, folder, "clip", index), pool, framing, delivery))
    return made


def _numbered(seed: int, items: list[Item]) -> list[Item]:
    order = np.random.default_rng(derive(seed, "names", items[0].folder)).permutation(len(items))
    prefix = "clip" if items[0].folder == "demo" else "take"
    return [
        _with(items[at], stem=f"{prefix}_{number:04d}") for number, at in enumerate(map(int, order), start=1)
    ]


def make(item: Item) -> Made:
    """Makes one file, in memory."""
    if item.fault:
        return apply_fault(
            item.fault, item.person, item.seed, pool=item.pool, delivery=item.delivery, other_seed=item.other
        )
    speech = None
    if item.recording:
        from components.corpus.recordings import recording

        speech = recording(int(item.recording))
    return encoded(
        make_clip(
            item.person,
            item.seed,
            framing=item.framing,
            delivery=item.delivery,
            pool=item.pool,
            speech=speech,
        )
    )


def _finished(out: Path, item: Item) -> bool:
    """A file counts as done when its truth, written last, names its bytes and this very item."""
    truth, video = out / "truth" / f"{item.stem}.json", out / item.folder / f"{item.stem}.mp4"
    if not truth.exists() or not video.exists():
        return False
    told = read_json(truth)
    return told.get("item") == vars(item) and told.get("sha256") == digest_file(video)


def _write(out: str, item: Item) -> str:
    import cv2

    cv2.setNumThreads(1)
    root = Path(out)
    made = make(item)
    video = write_bytes(root / item.folder / f"{item.stem}.mp4", made.data)
    truth = {
        **made.truth,
        "file": f"{item.folder}/{item.stem}.mp4",
        "item": vars(item),
        "sha256": digest_file(video),
    }
    write_text(root / "truth" / f"{item.stem}.json", to_json(truth, indent=None) + "\n")
    return item.stem


SOURCES = {
    "demo": (
        "Synthetic demo people",
        "auto",
        "Procedurally drawn people speaking with espeak-ng voices or public-domain LibriVox recordings; "
        "some clips carry a fault on purpose.",
    ),
    "demo_test": (
        "Synthetic demo people, test split",
        "test",
        "Procedurally drawn people, none of whom is in the other folder, saying sentences not said there.",
    ),
    PEOPLE: (
        "More synthetic people",
        "auto",
        "Procedurally drawn people, none of whom is in the demo corpus, speaking with espeak-ng voices.",
    ),
}


def _source_text(folder: str) -> str:
    name, split, description = SOURCES[folder]
    return (
        f"name: {name}\nlicence: CC0-1.0\nconsent: true\nsplit: {split}\nidentity: from_faces\n"
        f"description: >-\n  {description}\n"
    )


def build_corpus(
    seed: int, identities: int, clips: int, faults: dict[str, int], out: Path, workers: int = 0
) -> list[Item]:
    """Makes (or finishes) the corpus of a plan below `out`: demo/, demo_test/ and truth/.

    Each file depends on its item alone, so any number of workers gives the same bytes; files already there
    are kept. Files of another plan are refused, never deleted.

    Args:
        workers: processes; 0 takes one for each core this process may use.

    Raises:
        InputError: the plan is impossible, or `out` holds clips that are not part of it.
    """
    items = plan(seed, identities, clips, faults)
    make_all(items, out, workers)
    return items


def make_all(items: list[Item], out: Path, workers: int = 0) -> None:
    """Makes (or finishes) the files of a plan below `out`, a folder for each that the plan names.

    Raises:
        InputError: a folder holds clips that are not part of the plan.
    """
    names = {f"{item.folder}/{item.stem}.mp4" for item in items}
    for folder in sorted({item.folder for item in items}):
        foreign = sorted(
            f"{folder}/{p.name}" for p in (out / folder).glob("*.mp4") if f"{folder}/{p.name}" not in names
        )
        if foreign:
            raise InputError(
                f"{out} holds {foreign[0]} and {len(foreign) - 1} more clips of another corpus; "
                "choose an empty folder"
            )
        for partial in [*(out / folder).glob(".*.part"), *(out / "truth").glob(".*.part")]:
            partial.unlink()  # left by a killed run
        write_text(out / folder / "source.yaml", _source_text(folder))
    todo = [item for item in items if not _finished(out, item)]
    count = workers or len(os.sched_getaffinity(0))
    if count <= 1 or len(todo) <= 1:
        for item in progress.track(todo, "clips"):
            _write(str(out), item)
        return
    with ProcessPoolExecutor(min(count, len(todo))) as pool:
        jobs = [pool.submit(_write, str(out), item) for item in todo]
        for job in progress.track(as_completed(jobs), "clips", len(jobs)):
            job.result()
