"""Official columns of a leaderboard: what published weights say of every system's videos, if there are any.

The pictures are whole frames of each system's own file at 25 fps (a peer's panel cut out), as published
figures are taken; sync hears the clean speech, whatever was given. What a network said of a video is kept, so
other weights or one more system measure only what is new.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.files import digest_file, digest_sources, to_json, write_bytes
from components.core.media import FPS, read_audio, read_image
from components.core.paths import Workspace
from components.core.progress import say
from components.core.seeds import single_thread
from components.evaluation.comparison import table
from components.evaluation.comparison.catalogue import OFFICIAL_FIGURES
from components.evaluation.comparison.measures import standard
from components.evaluation.comparison.scoring import CONTROL, Scored
from components.evaluation.panel.measures import Measure, Parts, Scene, View, measure, network_measures
from components.evaluation.panel.networks import accepted_labels, load_networks, network_protocol
from components.evaluation.panel.states import (
    NO_INTERVAL,
    Bootstrap,
    State,
    figure_name,
    figures_of,
)
from components.evaluation.statistics import MISSING, Interval
from components.evaluation.suites.footage import fitted

if TYPE_CHECKING:
    from components.perception.official import Status

TRUTH = "ground_truth"
OVER_CASES, ONE_CASE = "bootstrap over cases", "none: fewer than two cases have the figure"
SOUND = "syncnet"
"""The only network by which the real clip with another sound (the control) can differ from itself."""
PASSING = "qalign"
"""Runs as another program, whose failure may pass: what it refused is asked again."""


@dataclass(frozen=True)
class Official:
    """rows: as `table.leaderboard`'s, with network, interval and left_out. figures: of each video, in their
    order. protocol: how the networks saw them."""

    rows: list[dict[str, Any]]
    figures: list[dict[str, float]]
    protocol: dict[str, Any]


def official_board(
    scored: Sequence[Scored],
    workspace: Workspace,
    statuses: Mapping[str, Status],
    against: str,
    bootstrap: Bootstrap,
) -> Official:
    """Measures every video with the official networks (`panel.given`) and compares the systems.

    Raises:
        InputError: a file does not hold exactly its network's tensors.
    """
    single_thread()
    networks = load_networks(workspace, statuses)
    measures = network_measures(networks, FPS)
    parts = _all_parts(scored, measures, workspace)
    accepted = accepted_labels(networks)
    names = {
        figure_name(each.name, name.partition(".")[2], each.metric.network, accepted): each
        for each in measures for name in OFFICIAL_FIGURES if name.partition(".")[0] == each.name
    }  # fmt: skip
    figures = [_figures(part, measures, accepted) for part in parts]
    seen = [replace(one, figures=each, arrays={}) for one, each in zip(scored, figures, strict=True)]
    by_video = {id(one): part for one, part in zip(seen, parts, strict=True)}
    rows = table.leaderboard(
        seen, bootstrap.seed, bootstrap.resamples, bootstrap.level, against, tuple(names),
        {name: _distance(each, by_video) for name, each in names.items() if each.of_set},
    )  # fmt: skip
    rows = [row for row in rows if row["system"] != CONTROL or names[row["name"]].network == SOUND]
    for row in rows:
        each = names[row["name"]]
        row["network"] = each.metric.network
        row["interval"] = NO_INTERVAL if each.of_set else OVER_CASES if row["low"] is not None else ONE_CASE
        row["left_out"] = [
            f"{one.case.id}: {part.reasons[each.name]}" for one, part in zip(seen, parts, strict=True)
            if one.made.system == row["system"] and each.name in part.reasons
        ]  # fmt: skip
        row["provenance"] = "measured"
    known = [{name: figure for name, figure in each.items() if name in names} for each in figures]
    told = {
        "pictures": "whole frames of each system's own file at 25 fps, a peer's panel cut out",
        "sound": "the clean speech; of the control another sentence",
    }
    return Official(rows, known, told | network_protocol(networks) | bootstrap.protocol())


def _figures(part: Parts, measures: Sequence[Measure], accepted: set[str]) -> dict[str, float]:
    """Of one video: every figure that a single clip has."""
    return {
        figure_name(each.name, key, each.metric.network, accepted): value
        for each in measures
        if not each.of_set and each.name in part.states
        for key, value in figures_of(each.metric, [part.states[each.name]]).items()
    }


def _distance(each: Measure, parts: Mapping[int, Parts]) -> table.Distance:
    """FID or FVD of a system to the real clips of the same cases; a case's real clip counts once, however
    many seeds were made of it."""

    def distance(
        theirs: Sequence[Scored], truth: Sequence[Scored], seed: int, resamples: int, level: float
    ) -> Interval:
        states: list[State] = []
        cases: set[str] = set()
        for one in theirs:
            state = parts[id(one)].states.get(each.name)
            if state is None:
                continue
            states.append(state | {"real": state["real"][:0]} if one.case.id in cases else state)
            cases.add(one.case.id)
        try:
            value = figures_of(each.metric, states)[""] if states else math.nan
        except InputError:  # fewer than two items
            value = math.nan
        return Interval(value, None, None, len(cases)) if math.isfinite(value) else MISSING

    return distance


def _all_parts(scored: Sequence[Scored], measures: Sequence[Measure], workspace: Workspace) -> list[Parts]:
    """What every video gave, in the order of the videos; videos of a case share its real clip's features."""
    from components.evaluation import metrics, panel
    from components.perception import official as perception

    code = digest_sources(
        *(Path(str(package.__file__)).parent for package in (panel, metrics, metrics.functional)),
        Path(str(perception.__file__)).parent, Path(__file__),
    )  # fmt: skip
    found: dict[int, Parts] = {}
    real: dict[Path, View] = {}
    order = sorted(
        (index for index, one in enumerate(scored) if one.made.video is not None),
        key=lambda index: scored[index].case.id,
    )
    for done, index in enumerate(order):
        one = scored[index]
        truth = one.case.path("truth")
        real = {path: view for path, view in real.items() if path == truth}
        found[index] = _parts(one, measures, workspace, code, real)
        if (done + 1) % 10 == 0 or done + 1 == len(order):
            say(f"  official networks: {done + 1} of {len(order)} videos")
    return [found.get(index, Parts()) for index in range(len(scored))]


def _parts(
    one: Scored, measures: Sequence[Measure], workspace: Workspace, code: str, real: dict[Path, View]
) -> Parts:
    wanted = [each for each in measures if one.made.system != CONTROL or each.network == SOUND]
    folder = workspace.state("compare", "official") / _key(one, code)
    total = Parts()
    scene: Scene | None = None
    for label in dict.fromkeys(each.metric.network for each in wanted):
        here = [each for each in wanted if each.metric.network == label]
        place = folder / f"{label}.npz"
        if place.exists():
            part = _read(place)
        else:
            scene = scene or _scene(one, real)
            part = measure(scene, here)
            if not (part.reasons and here[0].network == PASSING):
                _keep(part, place)
        total.states.update(part.states)
        total.reasons.update(part.reasons)
    return total


def _key(one: Scored, code: str) -> str:
    """20 hex digits over the video, what it is measured against, and how."""
    assert one.made.video is not None
    content = {
        "video": digest_file(one.made.video), "frames": one.case.frames, "code": code,
        "inputs": one.case.digest("image", _sound(one), "truth"), "sound": _sound(one),
        "against": not one.made.system.startswith(TRUTH),
        "output": one.made.output.model_dump(mode="json") if one.made.output else None,
    }  # fmt: skip
    return hashlib.sha256(to_json(content).encode()).hexdigest()[:20]


def _sound(one: Scored) -> str:
    return "other" if one.made.system == CONTROL else "clean"


def _scene(one: Scored, real: dict[Path, View]) -> Scene:
    """The video, the real clip (but for its own rows: a distance to itself says nothing) and the portrait."""
    case, truth = one.case, one.case.path("truth")
    assert one.made.video is not None
    frames = standard(one.made.video, one.made.output, case.frames)
    against = None
    if truth.exists() and not one.made.system.startswith(TRUTH):
        if truth not in real:
            real[truth] = View(standard(truth, None, case.frames))
        against = real[truth]
    samples = fitted(read_audio(case.path(_sound(one))), len(frames))
    return Scene(View(frames, samples), against, View(read_image(case.path("image"))[None]))


def _keep(part: Parts, place: Path) -> None:
    buffer = io.BytesIO()
    arrays = {
        f"{metric}/{name}": value for metric, state in part.states.items() for name, value in state.items()
    }
    np.savez_compressed(buffer, reasons=np.array(json.dumps(part.reasons)), **arrays)  # type: ignore[arg-type]
    write_bytes(place, buffer.getvalue())


def _read(place: Path) -> Parts:
    with np.load(place, allow_pickle=False) as kept:
        part = Parts(reasons=json.loads(str(kept["reasons"])))
        for key in kept.files:
            metric, slash, name = key.rpartition("/")
            if slash:
                part.states.setdefault(metric, {})[name] = kept[key]
    return part
