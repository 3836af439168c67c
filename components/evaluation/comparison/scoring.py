"""Measures every video once: results are kept by the content of video, case, networks and this code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.files import digest_file, digest_sources, read_json, to_json, write_bytes, write_json
from components.core.paths import Workspace
from components.core.progress import say
from components.evaluation.comparison.measures import Measured, Meter, Options
from components.evaluation.peers.runner import Made
from components.evaluation.suites.case import Case

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIME_LIMIT_S = 900.0
CONTROL = "ground_truth_control"


@dataclass(frozen=True)
class Scored:
    """A system's video with its figures; none where `made.reason` says why there is no video."""

    made: Made
    case: Case
    figures: dict[str, float]
    arrays: dict[str, NDArray]


@dataclass(frozen=True)
class _Job:
    made: Made
    case: Case
    folder: Path


@dataclass(frozen=True)
class _Settings:
    workspace: Workspace
    options: Options


def networks(workspace: Workspace) -> dict[str, str]:
    """How the measuring nets are called in results, with their digests."""
    from components.core.paths import require
    from components.evaluation.instruments import MADE_BY, network_names

    names = network_names(workspace)
    names.pop("judge")
    folder = require(workspace.artifacts("perception", "attributes"), MADE_BY)
    return names | {"attributes": f"small-attributes@{digest_file(folder / 'model.safetensors')[:12]}"}


def score(
    made: Sequence[Made],
    cases: Sequence[Case],
    workspace: Workspace,
    options: Options,
    workers: int = 0,
    meter: Meter | None = None,
) -> list[Scored]:
    """Figures of every video, in the order of `made`; what was measured before is read.

    A video that cannot be measured becomes a missing value with the reason. With `meter`, that one measures
    in this process; without, `workers` processes each have their own.
    """
    from components.curation.pool import Lost, cores, spread

    by_id = {case.id: case for case in cases}
    code = digest_sources(Path(__file__).parent / "measures.py", Path(__file__).parents[1] / "instruments.py")
    nets = networks(workspace)
    digests: dict[Path, str] = {}

    def place(one: Made) -> Path:
        case = by_id[one.case]
        assert one.video is not None
        if one.video not in digests:
            digests[one.video] = digest_file(one.video)
        content = {
            "video": digests[one.video], "case": [case.instruction, case.prompt, case.frames],
            "inputs": case.digest("image", "clean", "other", "truth"), "options": asdict(options),
            "networks": nets, "code": code, "control": one.system == CONTROL,
            "output": one.output.model_dump(mode="json") if one.output else None,
        }  # fmt: skip
        key = hashlib.sha256(to_json(content).encode()).hexdigest()[:20]
        return workspace.state("compare", "measured") / key

    folders = {index: place(one) for index, one in enumerate(made) if one.video is not None}
    todo: dict[Path, _Job] = {}
    for index, folder in folders.items():
        if not (folder / "figures.json").exists():
            todo.setdefault(folder, _Job(made[index], by_id[made[index].case], folder))
    jobs = sorted(todo.values(), key=lambda job: job.case.id)  # a worker keeps one case's reference at hand
    lost: dict[Path, str] = {}
    if jobs:
        chunks = _chunks(jobs)
        done = 0
        settings = _Settings(workspace, options)
        results = (
            ((index, _measured(meter, chunk)) for index, chunk in enumerate(chunks))
            if meter is not None
            else spread(_tool, settings, chunks, workers=cores(workers), time_limit=TIME_LIMIT_S)
        )
        for index, result in results:
            if isinstance(result, Lost):
                lost |= {job.folder: f"measuring failed: {result.why}" for job in chunks[index]}
            else:
                lost |= result
            done += len(chunks[index])
            say(f"  measured {done} of {len(jobs)} videos")
    return [_scored(one, by_id[one.case], folders.get(index), lost) for index, one in enumerate(made)]


def _chunks(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Jobs of one case together."""
    chunks: dict[str, list[_Job]] = {}
    for job in jobs:
        chunks.setdefault(job.case.id, []).append(job)
    return list(chunks.values())


def _tool(settings: _Settings) -> Callable[[list[_Job]], dict[Path, str]]:
    meter = Meter(settings.workspace, settings.options)
    return lambda jobs: _measured(meter, jobs)


def _measured(meter: Meter, jobs: list[_Job]) -> dict[Path, str]:
    """Measures and keeps; returns why a video was refused, by its folder."""
    refused = {}
    for job in jobs:
        assert job.made.video is not None
        try:
            frames = meter.frames(job.made.video, job.made.output, job.case)
            sound = "other" if job.made.system == CONTROL else "clean"
            keep(meter.measure(frames, job.case, sound), job.folder)
        except InputError as error:
            refused[job.folder] = str(error)
    return refused


def keep(measured: Measured, folder: Path) -> None:
    """Writes arrays.npz and figures.json (last: it is the mark of being whole)."""
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **measured.arrays)
    write_bytes(folder / "arrays.npz", buffer.getvalue())
    figures = {name: value if math.isfinite(value) else None for name, value in measured.figures.items()}
    write_json(folder / "figures.json", figures)


def _scored(one: Made, case: Case, folder: Path | None, lost: dict[Path, str]) -> Scored:
    from dataclasses import replace

    if folder is None or folder in lost:
        reason = one.reason if folder is None else lost[folder]
        return Scored(replace(one, video=None, coverage=None, reason=reason), case, {}, {})
    figures: dict[str, Any] = read_json(folder / "figures.json")
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    known = {name: math.nan if value is None else float(value) for name, value in figures.items()}
    return Scored(one, case, known | {"coverage": one.coverage or math.nan}, kept)
