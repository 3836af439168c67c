"""The videos to compare: our own pair's, every peer's, folders of given ones, and the reference rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_tree, to_json
from components.core.media import read_audio, read_image, write_video
from components.core.paths import Workspace, require
from components.core.progress import say
from components.evaluation.peers.declaration import Installation, Peer
from components.evaluation.peers.runner import Made, run_peer, still_video
from components.evaluation.suites.case import Case

OURS = "syncdreamer"
BATCH = 4
CRF = 6


@dataclass(frozen=True)
class Generator:
    """A trained pipeline folder under a name, with what changes its generation."""

    name: str
    pipeline: Path
    steps: int | None = None
    guidance_audio: float | None = None

    def key(self, case: Case, seed: int, pipeline: str) -> str:
        """16 hex digits over pipeline (its digest), options, inputs and seed."""
        content = {
            "pipeline": pipeline, "steps": self.steps, "guidance": self.guidance_audio, "seed": seed,
            "prompt": case.prompt, "inputs": case.digest("image", "audio"),
        }  # fmt: skip
        return hashlib.sha256(to_json(content).encode()).hexdigest()[:16]


def our_generator(workspace: Workspace) -> Generator:
    """The trained pipeline of a workspace.

    Raises:
        InputError: it is missing.
    """
    folder = workspace.artifacts("train_stage2", "pipeline")
    return Generator(OURS, require(folder, "syncdreamer stage train_stage2"))


def generate(generator: Generator, cases: Sequence[Case], seeds: Iterable[int], state: Path) -> list[Made]:
    """Videos of a pipeline, kept below `state`: made once for each pipeline, case and seed.

    A case that the pipeline refuses (no face in the portrait) is a missing value with the reason.
    """
    digest = digest_tree(generator.pipeline)
    made: list[Made] = []
    todo: list[tuple[Case, int, Path]] = []
    for seed in seeds:
        for case in cases:
            path = state / generator.name / generator.key(case, seed, digest) / "video.mp4"
            made.append(Made(generator.name, case.id, seed, path, "", 1.0, None))
            if not path.exists():
                todo.append((case, seed, path))
    if not todo:
        return made
    refused = _generate(generator, todo)
    return [
        replace(each, video=None, coverage=None, reason=refused[each.video])
        if each.video in refused
        else each
        for each in made
    ]


def _generate(generator: Generator, todo: Sequence[tuple[Case, int, Path]]) -> dict[Path | None, str]:
    from components.avatar.pipeline import SyncDreamerPipeline
    from components.core.device import best_device
    from components.core.seeds import seed_everything, single_thread

    single_thread()
    seed_everything(0)  # a clip's noise comes from its own seed
    pipeline = SyncDreamerPipeline.from_pretrained(generator.pipeline).to(best_device())
    options: dict[str, Any] = {"steps": generator.steps, "guidance_audio": generator.guidance_audio}
    refused: dict[Path | None, str] = {}
    for begin in range(0, len(todo), BATCH):
        part = list(todo[begin : begin + BATCH])
        try:
            clips = _batch(pipeline, part, options)
        except InputError:
            clips = []
            for each in part:  # which one was it?
                try:
                    clips += _batch(pipeline, [each], options)
                except InputError as error:
                    refused[each[2]] = str(error)
                    clips.append(None)
        for (_, _, path), frames in zip(part, clips, strict=True):
            if frames is not None:
                write_video(path, frames, crf=CRF)
        say(f"  {generator.name}: {min(begin + BATCH, len(todo))} of {len(todo)} videos")
    return refused


def _batch(pipeline: Any, part: Sequence[tuple[Case, int, Path]], options: Mapping[str, Any]) -> list[Any]:
    return pipeline(
        [read_image(case.path("image")) for case, _, _ in part],
        [read_audio(case.path("audio"))[: case.frames * 640] for case, _, _ in part],
        [case.prompt for case, _, _ in part],
        [seed for _, seed, _ in part],
        **options,
    )


def run_peers(
    peers: Sequence[Peer],
    installations: Mapping[str, Installation],
    cases: Sequence[Case],
    seeds: Sequence[int],
    state: Path,
    *,
    retry: bool = False,
) -> list[Made]:
    """Every peer on every case and seed, one after the other (each takes the whole accelerator).

    A peer that our seed does not reach is run once a case.
    """
    made = []
    for peer in peers:
        for seed in seeds if peer.seed.ours else seeds[:1]:
            for case in cases:
                one = run_peer(peer, installations.get(peer.name), case, seed, state, retry=retry)
                say(f"  {peer.name} {case.id} seed {seed}: {one.reason or 'done'}")
                made.append(one)
    return made


def reference_rows(cases: Sequence[Case]) -> list[Made]:
    """Ground truth, the same against shuffled audio, the still portrait, and other footage of the person."""
    made = []
    for case in cases:
        truth, copied = case.path("truth"), case.path("copy")
        for system, video in (
            ("ground_truth", truth), ("ground_truth_control", truth), ("still", still_video(case)),
            ("copy_reference", copied),
        ):  # fmt: skip
            there = video.exists()
            reason = "" if there else "the case has no real clip"
            made.append(
                Made(system, case.id, 0, video if there else None, reason, 1.0 if there else None, None)
            )
    return made
