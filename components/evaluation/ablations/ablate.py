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
from components.evaluation.ablations.variants import ENHANCER, FULL, base_seed, parts_named, train, training
from components.evaluation.comparison.catalogue import REFERENCE_ROWS
from components.evaluation.comparison.compare import publish
from components.evaluation.comparison.measures import Options
from components.evaluation.comparison.scoring import Scored, networks, score
from components.evaluation.comparison.systems import Generator, generate, reference_rows
from components.evaluation.peers.runner import Made
from components.evaluation.report import figures, published
from components.evaluation.suites.case import Case
from components.evaluation.suites.declaration import Suite
from components.evaluation.suites.freeze import freeze

MANUAL = "manual"


@dataclass(frozen=True)
class Request:
    """without: parts to leave out, one at a time. seeds: trainings of each variant; the first has the seed of
    params.yaml. overrides: stage → parameters for all variants alike (a shorter training, say)."""

    suite: Suite
    without: tuple[str, ...]
    seeds: int = 3
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Options = Options()
    resamples: int = 2000
    level: float = 0.95
    workers: int = 0


def ablate(request: Request, workspace: Workspace, out: Path) -> dict[str, Any]:
    """Writes leaderboard.json (with `ablation`), items.parquet, pictures and index.html into `out`.

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
    say(f"  {len(trained)} variants × {len(seeds)} seeds, {len(cases)} cases")
    state = workspace.state("compare", "runs")
    made: list[Made] = []
    pipelines: dict[int, Path] = {}
    for place, seed in enumerate(seeds):  # seed by seed: an early look has every variant
        for variant in trained:
            folder = train(training(workspace, variant, seed, request.overrides), workspace)
            made += _spoken(variant, folder, cases, seed, state)
            if variant == FULL:
                pipelines[seed] = folder
        say(f"  seed {place + 1} of {len(seeds)} done")
    if ENHANCER in parts:
        manual = _manual(cases, workspace)
        minimal = [replace(case, prompt=case.instruction) for case in cases]
        for seed, folder in pipelines.items():
            made += _spoken(ENHANCER, folder, minimal, seed, state)
            made += _spoken(MANUAL, folder, manual, seed, state)
    made += reference_rows(cases)
    scored = score(made, cases, workspace, request.options, request.workers)
    return _published(request, workspace, out, scored, seeds, pipelines[first], cases)


def _spoken(variant: str, pipeline: Path, cases: Sequence[Case], seed: int, state: Path) -> list[Made]:
    """The cases by a variant; the noise depends on the seed, not on the variant."""
    return generate(Generator(variant, pipeline), cases, [seed], state)


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
    pipeline: Path,
    cases: Sequence[Case],
) -> dict[str, Any]:
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
            row | {"cells": [_share(row["means"][kind], row["unit"]) for kind in kinds]}
            for row in analysis.prompt_rows(kinds, derive(seed, "prompts"), request.resamples, request.level)
        ]
        titles[MANUAL] = "manual prompt"
    traced = next((one for one in groups[FULL] if one.made.seed == seeds[0] and one.arrays), None)
    if traced is None:
        raise InputError(
            "no case of the whole system could be generated and measured; see the messages above"
        )
    pictures = draw(pipeline, traced, groups.get("ground_truth", []), out / "pictures")
    return publish(
        scored, out, workspace, titles | REFERENCE_ROWS, request.options,
        title="Ablations",
        lead=f"The generator trained without each part, {len(seeds)} seeds each, on {len(cases)} cases of "
        f"{request.suite.title.lower()}.",
        against=FULL,
        protocol={
            "suite": request.suite.name, "cases": len(cases), "seeds": list(seeds),
            "trained_anew": "both stages of the generator; VAE, encoders, latents and enhancer are shared",
            "overrides": {stage: str(values) for stage, values in request.overrides.items()} or "none",
            "how": "each variant and seed in a linked workspace, by the stages' own functions (no gates)",
        },
        resamples=request.resamples, level=request.level, seed=seed, more={"ablation": ablation},
        pictures=pictures,
    )  # fmt: skip


def _share(value: float | None, unit: str) -> str:
    return figures.short(round(100 * value, 2) if unit == "share" and value is not None else value)
