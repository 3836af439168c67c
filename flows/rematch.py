"""The champion evaluated again on the candidate's frozen clips, seeds and measuring networks.

The evaluate stage itself runs, in a workspace of links: everything as it lies here, but the two models are
the champion's. Nothing in artifacts/ changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from components.core.errors import SyncDreamerError
from components.core.files import read_json
from components.core.paths import Workspace
from components.core.progress import say
from components.tracking.evidence import read_figures
from components.tracking.registry import (
    CHAMPION,
    Pair,
    add_evaluation,
    alias_pair,
    evaluated_on,
    newest_pair,
    pair_paths,
)
from components.tracking.runs import Tracker

MODELS = {"avatar": ("train_stage2", "pipeline"), "enhancer": ("enhancer_grpo", "model")}
"""Which folder below artifacts/ a model's place is."""
TRAINING = ("validation_loss_ratio",)
"""Figures of a training run, not of a model at work: the link farm has the candidate's."""


def rematch(workspace: Workspace, tracker: Tracker | None = None) -> Pair | None:
    """Evaluates the champion on the newest pair's frozen set, unless that was done; returns it as judged.

    None if there is no champion, no other pair, or the newest evaluation lists no single clips.

    Raises:
        SyncDreamerError: the evaluation failed, or the artifacts here are not those of the newest pair.
    """
    tracker = tracker or Tracker(workspace)
    champion, candidate = alias_pair(tracker, CHAMPION), newest_pair(tracker)
    if champion is None or candidate is None or champion.id == candidate.id or not candidate.frozen:
        return None
    known = evaluated_on(tracker, champion, candidate.frozen)
    if known is not None:
        return known
    here = read_figures(workspace.artifacts("evaluation", "metrics.json"))
    if here["frozen"] != candidate.frozen:
        raise SyncDreamerError(
            "artifacts/evaluation is not the newest pair's; restore its revision (git checkout, dvc checkout)"
        )
    pair = ", ".join(f"{name} {version}" for name, version in champion.versions.items())
    say(f"▶ rematch: {pair} on the candidate's clips and seeds")
    folder = workspace.state("rematch") / f"{champion.id}-{candidate.frozen}"
    farm = link_farm(workspace, folder, pair_paths(tracker, champion))
    evaluate(farm)
    figures = read_figures(farm.artifacts("evaluation", "metrics.json"))
    if figures["frozen"] != candidate.frozen:
        raise SyncDreamerError(f"the evaluation in {folder} came out on another set of clips or networks")
    for name in TRAINING:
        figures["metrics"].pop(name, None)
    judged = add_evaluation(tracker, champion, figures)
    shutil.rmtree(folder)
    return judged


def link_farm(workspace: Workspace, folder: Path, models: dict[str, Path]) -> Workspace:
    """A workspace that links to this one, with other models (avatar, enhancer → folder) in their places."""
    if folder.exists():
        shutil.rmtree(folder)
    root = workspace.root.resolve()
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(root / name, folder / name)
    (folder / "data").symlink_to(root / "data")
    replaced = {stage: (part, models[role].resolve()) for role, (stage, part) in MODELS.items()}
    for path in sorted((root / "artifacts").iterdir()):
        if path.name in ("evaluation", "report"):
            continue
        if path.name not in replaced:
            (artifacts / path.name).symlink_to(path)
            continue
        (artifacts / path.name).mkdir()
        part, model = replaced[path.name]
        for inner in sorted(path.iterdir()):
            (artifacts / path.name / inner.name).symlink_to(model if inner.name == part else inner)
    return Workspace(folder)


def evaluate(farm: Workspace) -> None:
    """Runs the evaluate stage there, in a process of its own that ends with this one.

    Raises:
        SyncDreamerError: it failed; the message is the stage's.
    """
    environment = os.environ | {"SYNCDREAMER_ROOT": str(farm.root)}
    command = [sys.executable, "-m", "flows.cli", "stage", "evaluate"]
    done = subprocess.run(command, cwd=farm.root, env=environment, check=False)
    if done.returncode:
        result = farm.root / "state" / "stages" / "evaluate" / "result.json"
        message = read_json(result)["message"] if result.exists() else f"exit status {done.returncode}"
        raise SyncDreamerError(f"rematch: the evaluation of the champion failed: {message}")
