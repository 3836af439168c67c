"""`syncdreamer ablate`: trains the variants, lets them speak the same cases, writes table and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.media import read_image
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive
from components.evaluation.ablations import analysis
from components.evaluation.ablations.lanes import Lane, expected_minutes, lanes, run_lanes
from components.evaluation.ablations.publish import keep
from components.evaluation.ablations.variants import (
    ENHANCER,
    FULL,
    base_seed,
    kept,
    parts_named,
    pipeline_of,
    training,
)
from components.evaluation.comparison.catalogue import REFERENCE_ROWS
from components.evaluation.comparison.compare import publish
from components.evaluation.comparison.measures import Options
from components.evaluation.comparison.scoring import Scored, networks, score
from components.evaluation.comparison.systems import Generator, generate, reference_rows
from components.evaluation.peers.runner import Made
from components.evaluation.report import published
from components.evaluation.suites.case import Case
from components.evaluation.suites.declaration import Suite
from components.evaluation.suites.freeze import freeze

MANUAL = "manual"


@dataclass(frozen=True)
class Request:
    """without: parts to leave out, one at a time. seeds: trainings of each variant; the first has the seed of
    params.yaml. overrides: stage → parameters for all variants alike (a shorter training, say). parallel:
    trainings at once, 0: one a core. keep: a folder for table and pictures, to be committed."""

    suite: Suite
    without: tuple[str, ...]
    seeds: int = 3
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Options = Options()
    resamples: int = 2000
    level: float = 0.95
    workers: int = 0
    parallel: int = 0
    keep: Path | None = None


def ablate(request: Request, workspace: Workspace, out: Path) -> dict[str, Any]:
    """Writes leaderboard.json (with `ablation`), items.parquet, README.md, pictures, index.html into `out`.

    Raises:
        InputError: a part is unknown, or an upstream artifact is missing.
        SyncDreamerError: a training failed.
    """
    if not request.without or request.seeds < 1:
        raise InputError("name at least one part to leave out and one seed")
    parts = parts_named(request.without)
    cases = freeze(request.suite, workspace, None)
    first = base_seed(workspace)
    seeds = [first, *(derive(first, "ablation", place) % 2**31 for place in range(1, request.seeds))]
    trained = [FULL, *(name for name, part in parts.items() if part.changes)]
    work = _work(request, workspace, cases, seeds, trained, prompts=ENHANCER in parts)
    at_once = lanes(request.parallel)
    references = reference_rows(cases)
    minutes = expected_minutes(work, len(references), workspace, at_once)
    done = sum(kept(lane.job, workspace) for lane in work)
    say(f"  {len(trained)} variants × {len(seeds)} seeds = {len(work)} trainings ({done} done before), "
        f"{at_once} at once; {len(cases)} cases")  # fmt: skip
    say(f"  expected: about {minutes:.0f} min on a quiet machine; stopped, the same command goes on")
    run_lanes(work, workspace, at_once)
    state = workspace.state("compare", "runs")
    made = [one for lane in work for one in _spoken(lane, workspace, state)]
    scored = score([*made, *references], cases, workspace, request.options, request.workers)
    shown = {lane.job.variant: pipeline_of(lane.job, workspace) for lane in work if lane.job.seed == first}
    return _published(request, workspace, out, scored, seeds, shown, cases)


def _work(
    request: Request,
    workspace: Workspace,
    cases: Sequence[Case],
    seeds: Sequence[int],
    variants: Sequence[str],
    *,
    prompts: bool,
) -> list[Lane]:
    """Every training with what it says, seed by seed; the noise depends on the seed, not on the variant.

    prompts: the whole system also says the cases with the other prompts.
    """
    other = {}
    if prompts:
        minimal = [replace(case, prompt=case.instruction) for case in cases]
        other = {ENHANCER: minimal, MANUAL: _manual(cases, workspace)}
    return [
        Lane(
            training(workspace, variant, seed, request.overrides),
            {variant: list(cases)} | (other if variant == FULL else {}),
        )
        for seed in seeds
        for variant in variants
    ]


def _spoken(lane: Lane, workspace: Workspace, state: Path) -> list[Made]:
    """What a lane's process has said (a case that was refused is asked again, for its reason)."""
    pipeline = pipeline_of(lane.job, workspace)
    return [
        one
        for name, cases in lane.speeches.items()
        for one in generate(Generator(name, pipeline), cases, [lane.job.seed], state)
    ]


def _manual(cases: Sequence[Case], workspace: Workspace) -> list[Case]:
    """The cases with the prompt a careful person would write: all that is seen, and the requested action."""
    from components.enhancer import enhance
    from components.enhancer.extractor import actions
    from components.perception import wording

    folder = require(workspace.artifacts("enhancer_grpo", "model"), "syncdreamer stage enhancer_grpo")
    model = enhance.load(folder)
    return [
        replace(
            case,
            prompt=wording.prompt(
                model.read(read_image(case.path("image"))), next(iter(actions(case.instruction)), None)
            ),
        )
        for case in cases
    ]


def _published(
    request: Request,
    workspace: Workspace,
    out: Path,
    scored: Sequence[Scored],
    seeds: Sequence[int],
    shown: Mapping[str, Path],
    cases: Sequence[Case],
) -> dict[str, Any]:
    """shown: variant → its pipeline with the first seed, for pictures."""
    from components.evaluation.ablations.pictures import draw

    parts = parts_named(request.without)
    groups: dict[str, list[Scored]] = {}
    for one in scored:
        groups.setdefault(one.made.system, []).append(one)
    seed = derive(seeds[0], "ablate")
    rows = analysis.ablation_rows(
        groups, {name: part.title for name, part in parts.items()}, networks(workspace), seed,
        request.resamples, request.level,
    )  # fmt: skip
    ablation: dict[str, Any] = {
        "seeds": len(seeds),
        "words": analysis.in_words(rows, len(seeds), len(cases), request.level),
        "rows": [analysis.for_people(row) for row in rows],
        "published": "Published, not measured here: " + published.ABLATION,
        "prompts": [],
        "prompt_names": [],
    }
    titles = {FULL: "whole system"} | {name: f"without {part.title}" for name, part in parts.items()}
    if ENHANCER in parts:
        kinds = {"enhanced": groups[FULL], "manual": groups[MANUAL], "minimal": groups[ENHANCER]}
        ablation["prompt_names"] = list(kinds)
        ablation["prompts"] = [
            row | {"cells": [analysis.shown(row["means"][kind], row["unit"]) for kind in kinds]}
            for row in analysis.prompt_rows(kinds, derive(seed, "prompts"), request.resamples, request.level)
        ]
        titles[MANUAL] = "manual prompt"
    pictures = draw(shown, groups, seeds[0], {name: titles[name] for name in shown}, out / "pictures")
    result = publish(
        scored, out, workspace, titles | REFERENCE_ROWS, request.options,
        title="Ablations",
        lead=f"The generator trained without each part, {len(seeds)} seeds each, on {len(cases)} cases of "
        f"{request.suite.title.lower()}.",
        against=FULL,
        protocol={
            "suite": request.suite.name, "cases": len(cases), "seeds": list(seeds),
            "trained_anew": "both stages of the generator, one rank each; data, VAE, encoders, latents and "
            "enhancer are shared, and every part is compared with the same trainings of the whole system",
            "overrides": {stage: str(values) for stage, values in request.overrides.items()} or "none",
            "how": "each variant and seed in a linked workspace, by the stages' own functions (no gates)",
        },
        resamples=request.resamples, level=request.level, seed=seed, more={"ablation": ablation},
        pictures=pictures,
    )  # fmt: skip
    keep(result, pictures, out)
    if request.keep is not None:
        keep(result, pictures, request.keep)
    return result
