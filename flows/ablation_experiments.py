"""Trainings of an ablation as DVC experiments: `dvc exp show` compares them, `dvc exp apply` brings one back.

`syncdreamer ablate` trains beside DVC (a gate would stop a variant for being worse). What a finished training
changed and reached is then saved as `dvc exp save` does it: in a git worktree of its own at HEAD, with the
training's parameters in params.yaml and its outputs committed to DVC's cache. Neither the checkout's files
nor its branch change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import yaml

from components.core.errors import InputError
from components.core.files import read_json, write_text
from components.core.paths import Workspace
from components.evaluation.ablations.lanes import TOLD
from components.evaluation.ablations.variants import DONE
from flows import chain
from flows.params import default_text

STAGES = {"train_stage1": "stage1", "train_stage2": "stage2"}
READ = ("encode", "vae", "perception", "gates")
"""Artifacts that the two stages depend on, besides each other."""


def save_ablations(workspace: Workspace) -> list[str]:
    """Saves every finished training below state/ablations that is no experiment of HEAD yet; the new names.

    Raises:
        InputError: the workspace is no git checkout with a commit.
    """
    finished = sorted(path.parent for path in workspace.state("ablations").glob(f"*/{DONE}"))
    names = {folder: f"ablate-{folder.name}" for folder in finished if (folder / TOLD).exists()}
    if not names:
        return []
    head = _git(workspace.root, "rev-parse", "HEAD")
    known = {name for name, _ in chain.open_repo(workspace).experiments.ls(rev=head).get(head, [])}
    todo = {folder: name for folder, name in names.items() if name not in known}
    if not todo:
        return []
    place = workspace.state("ablations") / ".experiment"
    _remove(workspace.root, place)
    _git(workspace.root, "worktree", "add", "--detach", "--force", str(place), head)
    try:
        _furnish(workspace, place)
        for folder, name in todo.items():
            _save(place, folder, name)
    finally:
        _remove(workspace.root, place)
    return list(todo.values())


def _furnish(workspace: Workspace, place: Path) -> None:
    """What the worktree needs of the checkout: its lock file, the shared cache, what the stages read."""
    shutil.copy(workspace.root / "dvc.lock", place / "dvc.lock")
    shutil.copy(workspace.root / "params.yaml", place / "params.yaml")
    cache = Path(chain.open_repo(workspace).cache.local.path).parents[1]
    write_text(place / ".dvc" / "config.local", f"[cache]\n    dir = {cache}\n")
    (place / "artifacts").mkdir(exist_ok=True)
    for name in READ:
        (place / "artifacts" / name).symlink_to(workspace.artifacts(name).resolve())


def _save(place: Path, folder: Path, name: str) -> None:
    """Puts a training's parameters and outputs into the worktree and saves it under its name."""
    told = read_json(folder / TOLD)
    text = yaml.safe_load((place / "params.yaml").read_text(encoding="utf-8"))
    text["seed"] = told["seed"]
    for stage, part in STAGES.items():
        said = text.get(stage) or {}
        kept = {"deepspeed_config": said["deepspeed_config"]} if said.get("deepspeed_config") else {}
        text[stage] = told[part] | kept  # the training was told an absolute path
        shutil.rmtree(place / "artifacts" / stage, ignore_errors=True)
        shutil.copytree(folder / "artifacts" / stage, place / "artifacts" / stage)
    write_text(place / "params.yaml", default_text(text))
    repo = chain.open_repo(Workspace(place))
    with chdir(place):
        repo.experiments.save(
            targets=list(STAGES), name=name, force=True, message=f"syncdreamer ablate: {name}"
        )


def _remove(root: Path, place: Path) -> None:
    if place.exists():
        _git(root, "worktree", "remove", "--force", str(place))
    _git(root, "worktree", "prune")


def _git(root: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False,
        env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
    if ran.returncode:
        problem = ran.stderr.strip().splitlines() or ["git failed"]
        raise InputError(f"experiments need a git checkout with a commit: git {arguments[0]}: {problem[-1]}")
    return ran.stdout.strip()
