"""The `perception` stage: renders other synthetic people, trains the small nets, measures each on strangers.

Work is cut into jobs whose result depends on their arguments alone; they run in processes of one thread
each, so the artifacts do not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import TemporaryFailure
from components.core.files import digest_sources, to_json, write_json, write_text
from components.core.progress import say
from components.core.seeds import derive, single_thread
from components.perception.weights import History

if TYPE_CHECKING:
    from components.core.paths import Workspace
    from components.perception.params import AudioParams, IdentityParams, PerceptionParams, SyncParams

PEOPLE_A_CHUNK = 40
CLIPS_A_CHUNK = 8
VIEW_PARTS = 2


@dataclass(frozen=True)
class Trained:
    """What a training reports: figures on strangers by name, and its losses."""

    figures: dict[str, float]
    history: History


def train_sync(params: SyncParams, chunks: list[Path], folder: Path, seed: int) -> Trained:
    """The lip-sync model, from rendered clips."""
    from components.perception import sync_training

    history: History = []
    return Trained(sync_training.train(params, chunks, folder, seed, history), history)


def train_identity(params: IdentityParams, people: Path, folder: Path, seed: int) -> Trained:
    """The identity model, from rendered people."""
    from components.perception import identity
    from components.perception.people import read_people

    history: History = []
    return Trained(identity.train(params, read_people(people), folder, seed, history), history)


def train_audio(params: AudioParams, folder: Path, seed: int) -> Trained:
    """The speech encoder, from synthesised sentences."""
    from components.perception import audio_training

    history: History = []
    return Trained(audio_training.train(params, folder, seed, history), history)


def cut_views(path: Path, people: Path, part: int, parts: int) -> Path:
    """The attribute reader's views (with the face mesh) of one of `parts` shares of the people's pictures."""
    import io

    import numpy as np

    from components.core.files import write_bytes
    from components.perception.attributes import people_views
    from components.perception.people import People, read_people

    if path.exists():
        return path
    everybody = read_people(people)
    rows = np.array_split(np.arange(len(everybody.table)), parts)[part]
    share = People(everybody.pictures[rows], everybody.faces[rows], everybody.table.iloc[rows])
    buffer = io.BytesIO()
    np.savez(buffer, **vars(people_views(share)))
    return write_bytes(path, buffer.getvalue())


def train_attributes(people: Path, views: list[Path], folder: Path, seed: int) -> Trained:
    """The attribute reader, from rendered people and their views."""
    import numpy as np

    from components.perception import attributes
    from components.perception.people import read_people
    from components.perception.trunk import Views

    parts = [np.load(path) for path in views]
    looked = Views(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0].files})
    return Trained(attributes.train(read_people(people), folder, seed, looked=looked), [])


def train_image_text(people: Path, attributes: Path, folder: Path, text_folder: Path, seed: int) -> Trained:
    """The text encoder and the judge of picture and text; the encoder alone also goes to `text_folder`."""
    from components.perception import image_text
    from components.perception.attributes import AttributeModel
    from components.perception.people import read_people
    from components.perception.text import TextEncoder

    figures = image_text.train(read_people(people), AttributeModel.load(attributes), folder, seed)
    TextEncoder.load(folder).save(text_folder)
    return Trained(figures, [])


def describe_actions(folder: Path) -> None:
    """Actions are read by rules: their folder says which, so that what was measured by them can name them."""
    from components.core.vocabulary import ACTIONS
    from components.perception import actions

    write_json(folder / "config.json", {"name": actions.NAME, "actions": list(ACTIONS), "trained": False})


def render_people(path: Path, persons: range, pictures: int, seed: int) -> Path:
    """One chunk of the shared set of people."""
    from components.perception.people import render_chunk

    return render_chunk(path, persons, pictures, seed)


def render_clips(path: Path, indices: range, frames: int, seed: int) -> Path:
    """One chunk of talking clips."""
    from components.perception import sync_training

    return sync_training.render_clips(path, indices, frames, seed)


@dataclass(frozen=True)
class Job:
    """A call that a worker process makes once the jobs in `needs` are done."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    needs: tuple[str, ...] = ()


def _in_worker(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """In the worker: one compute thread, then the call."""
    single_thread()
    return function(*arguments)


def _check_needs(jobs: dict[str, Job]) -> None:
    """Raises ValueError where jobs could never run."""
    for name, job in jobs.items():
        for need in job.needs:
            if need not in jobs:
                raise ValueError(f"job {name!r} needs {need!r}, but there are only: {', '.join(jobs)}")
    try:
        TopologicalSorter({name: job.needs for name, job in jobs.items()}).prepare()
    except CycleError as error:
        raise ValueError(f"jobs need each other in a ring: {' → '.join(error.args[1])}") from error


def run_jobs(jobs: dict[str, Job], workers: int) -> dict[str, Any]:
    """Runs jobs as their needs allow, in the given order otherwise; returns each one's result by name.

    Raises:
        ValueError: a job needs one that is not among `jobs`, or jobs need each other in a ring; none has run.
        TemporaryFailure: a worker process was killed (memory, for example).
        Whatever a job raises.
    """
    _check_needs(jobs)
    waiting = dict(jobs)
    results: dict[str, Any] = {}
    running: dict[Future[Any], str] = {}
    began: dict[str, float] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        try:
            while waiting or running:
                ready = [name for name, job in waiting.items() if all(n in results for n in job.needs)]
                for name in ready[: workers - len(running)]:
                    job = waiting.pop(name)
                    running[pool.submit(_in_worker, job.function, job.arguments)] = name
                    began[name] = time.monotonic()
                done = next(as_completed(running))
                name = running.pop(done)
                results[name] = done.result()
                if isinstance(results[name], Trained):
                    told = ", ".join(f"{k} {v:.4g}" for k, v in sorted(results[name].figures.items())[:4])
                    say(f"  perception: {name} in {time.monotonic() - began[name]:.0f} s: {told}")
        except BrokenProcessPool as error:
            raise TemporaryFailure("a worker process of the perception stage was killed") from error
        finally:
            pool.shutdown(cancel_futures=True)
    return results


def _join_people(folder: Path, chunks: list[Path], held_out: float) -> str:
    from components.perception.people import rendered_people

    return f"{len(rendered_people(folder, chunks, held_out).table)} pictures"


def plan(params: PerceptionParams, work: Path, out: Path, seed: int) -> dict[str, Job]:
    """All jobs by name: chunks of people, then of clips, then one training each."""
    people, sync = params.people, params.sync
    jobs: dict[str, Job] = {}
    person_seed, clip_seed = derive(seed, "perception", "people"), derive(seed, "perception", "clips")
    for begin in range(0, people.persons, PEOPLE_A_CHUNK):
        persons = range(begin, min(begin + PEOPLE_A_CHUNK, people.persons))
        path = work / f"people-{begin:06d}.npz"
        jobs[path.stem] = Job(render_people, (path, persons, people.pictures, person_seed))
    chunks = [job.arguments[0] for job in jobs.values()]
    jobs["people"] = Job(_join_people, (out / "people", chunks, people.held_out), tuple(jobs))
    clips = {}
    for begin in range(0, sync.clips, CLIPS_A_CHUNK):
        indices = range(begin, min(begin + CLIPS_A_CHUNK, sync.clips))
        path = work / f"clips-{begin:06d}.npz"
        clips[path.stem] = Job(render_clips, (path, indices, sync.frames, clip_seed))
    clip_files = [job.arguments[0] for job in clips.values()]
    view_files = [work / f"views-{part}.npz" for part in range(VIEW_PARTS)]
    views = {
        path.stem: Job(cut_views, (path, out / "people", part, VIEW_PARTS), ("people",))
        for part, path in enumerate(view_files)
    }
    # The longest chain (people, views, attributes, judge) never waits; the rest fills the other process.
    chain = {
        "attributes": Job(
            train_attributes, (out / "people", view_files, out / "attributes", seed), tuple(views)
        ),
        "image_text": Job(
            train_image_text,
            (out / "people", out / "attributes", out / "image_text", out / "text", seed),
            ("people", "attributes"),
        ),
    }
    rest = {
        "sync": Job(train_sync, (sync, clip_files, out / "sync", seed), tuple(clips)),
        "identity": Job(
            train_identity, (params.identity, out / "people", out / "identity", seed), ("people",)
        ),
        "audio": Job(train_audio, (params.audio, out / "audio", seed)),
        "actions": Job(describe_actions, (out / "actions",)),
    }
    return jobs | views | chain | clips | rest


def run(params: PerceptionParams, workspace: Workspace, seed: int) -> None:
    """Makes artifacts/perception: people/, one folder a model, metrics.json (figures on people and sentences
    that no model has seen). Rendered chunks survive an interruption in state/perception.
    """
    import components.corpus

    code = digest_sources(Path(components.corpus.__file__).parent, Path(__file__).parent)
    settings = to_json({"people": params.people, "sync": params.sync, "seed": seed, "code": code})
    work = workspace.state("perception", f"{derive(0, settings):016x}")
    out = workspace.artifacts("perception")
    jobs = plan(params, work, out, seed)
    say(f"  perception: {len(jobs)} jobs on {params.workers} processes")
    results = run_jobs(jobs, params.workers)
    trained = {name: result for name, result in results.items() if isinstance(result, Trained)}
    write_json(out / "metrics.json", _figures(trained))
    write_text(out / "history.jsonl", "".join(to_json(row, None) + "\n" for row in _history(trained)))
    shutil.rmtree(work.parent)


def _figures(trained: dict[str, Trained]) -> dict[str, float]:
    """Every figure under a name that says whose it is: `sync_auc`, `attributes_accuracy_hair` …"""
    told = {}
    for name, result in trained.items():
        for key, value in result.figures.items():
            prefixed = key.startswith((name, "text", "viseme", "opening"))
            told[key if prefixed else f"{name}_{key}"] = value
    return told


def _history(trained: dict[str, Trained]) -> list[dict[str, float]]:
    """One row a logged step with the loss of each net that logged it."""
    rows: dict[int, dict[str, float]] = {}
    for name, result in sorted(trained.items()):
        for step, loss in result.history:
            rows.setdefault(step, {"step": step})[f"{name}_loss"] = loss
    return [rows[step] for step in sorted(rows)]
