"""What can be left out, and how a variant is trained: in its own workspace, by the stages' own functions.

DVC experiments would run the gates (which stop on a variant that is worse, and being worse is what an
ablation is about) and every stage downstream, need a clean work tree, and move `artifacts/`. A linked
workspace runs the same stage functions with the same parameter models on the same upstream artifacts and
touches nothing.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_sources, digest_tree, to_json, write_json
from components.core.paths import Workspace, require
from components.core.progress import say
from components.evaluation.peers.declaration import read_yaml, validated

FULL = "full"
ENHANCER = "enhancer"
UPSTREAM = ("encode", "vae", "perception")
DONE = "done.json"


@dataclass(frozen=True)
class Part:
    """title: for people. changes: stage → parameters that switch it off; none: nothing is trained anew."""

    title: str
    changes: Mapping[str, Mapping[str, Any]]


PARTS: dict[str, Part] = {
    "localization": Part(
        "Attention Localization Loss",
        {"train_stage1": {"localization_weight": 0.0}, "train_stage2": {"localization_weight": 0.0}},
    ),
    "audio_dynamics": Part("Audio Dynamics Encoder", {"train_stage1": {"model": {"audio_window": None}}}),
    "visual_adapter": Part("Visual Adapter", {"train_stage1": {"model": {"identity_dim": None}}}),
    ENHANCER: Part("Prompt Enhancer", {}),
}
"""Without the adapter there is no visual attention, hence no localization either; the reference latent stays.
Without the enhancer the generator reads the user's instruction as it is."""


def parts_named(names: Sequence[str]) -> dict[str, Part]:
    """The parts called `names`.

    Raises:
        InputError: one is unknown; the message lists those that exist.
    """
    for name in names:
        if name not in PARTS:
            raise InputError(f"no part is called {name!r}; there are: {', '.join(PARTS)}")
    return {name: PARTS[name] for name in names}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mappings inside mappings too."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner or {}, value) if isinstance(value, Mapping) else value
    return result


@dataclass(frozen=True)
class Training:
    """A variant with a seed, ready to run. overrides (both stages) apply to all variants alike."""

    variant: str
    seed: int
    stage1: Any
    stage2: Any


def training(workspace: Workspace, variant: str, seed: int, overrides: Mapping[str, Any]) -> Training:
    """The parameters of a variant: params.yaml, the overrides, and what the variant switches off.

    One rank unless the overrides say otherwise: trainings run side by side (`lanes.py`).

    Raises:
        InputError: params.yaml is missing or does not fit.
    """
    from components.avatar.params import TrainStage1Params, TrainStage2Params

    text = read_yaml(workspace.root / "params.yaml")
    changes = PARTS[variant].changes if variant != FULL else {}
    made = {}
    for stage, model in (("train_stage1", TrainStage1Params), ("train_stage2", TrainStage2Params)):
        values = merged(
            merged((text.get(stage) or {}) | {"ranks": 1}, overrides.get(stage, {})), changes.get(stage, {})
        )
        if values.get("deepspeed_config"):
            values["deepspeed_config"] = str(workspace.root / values["deepspeed_config"])
        made[stage] = validated(model, values, f"params.yaml: {stage}")
    return Training(variant, seed, made["train_stage1"], made["train_stage2"])


def base_seed(workspace: Workspace) -> int:
    """`seed` of params.yaml."""
    return int(read_yaml(workspace.root / "params.yaml").get("seed", 1))


def place(job: Training, workspace: Workspace) -> Path:
    """The folder of a training, keyed by what determines its result."""
    return workspace.state("ablations") / f"{job.variant}-{job.seed}-{_key(job, workspace)}"


def pipeline_of(job: Training, workspace: Workspace) -> Path:
    """Where a training's pipeline lies once it is done."""
    return place(job, workspace) / "artifacts" / "train_stage2" / "pipeline"


def kept(job: Training, workspace: Workspace) -> bool:
    """Whether a training is done."""
    return (place(job, workspace) / DONE).exists()


def train(job: Training, workspace: Workspace) -> Path:
    """Trains both stages (or finds them done) and returns the pipeline's folder.

    Raises:
        InputError: an upstream artifact is missing.
        SyncDreamerError: the training failed; run again, it goes on from its last checkpoint.
    """
    from components.avatar import train_stage1, train_stage2

    root, pipeline = place(job, workspace), pipeline_of(job, workspace)
    if kept(job, workspace):
        return pipeline
    inner = Workspace(root)
    for stage in UPSTREAM:
        source = require(workspace.artifacts(stage), f"syncdreamer stage {stage}").resolve()
        link = inner.artifacts(stage)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(source, target_is_directory=True)
    say(f"  training {job.variant}, seed {job.seed}")
    for stage, run, params in (
        ("train_stage1", train_stage1.run, job.stage1),
        ("train_stage2", train_stage2.run, job.stage2),
    ):
        shutil.rmtree(inner.artifacts(stage), ignore_errors=True)
        inner.artifacts(stage).mkdir(parents=True)
        run(params, inner, job.seed)
    shutil.rmtree(root / "state", ignore_errors=True)  # checkpoints to resume from: no longer needed
    write_json(root / DONE, {"variant": job.variant, "seed": job.seed})
    return pipeline


def _key(job: Training, workspace: Workspace) -> str:
    """12 hex digits over parameters, upstream artifacts and the avatar room's code."""
    import components.avatar

    content = {
        "stage1": job.stage1.model_dump(mode="json"), "stage2": job.stage2.model_dump(mode="json"),
        "upstream": _upstream(workspace.root),
        "code": digest_sources(Path(components.avatar.__file__).parent),
    }  # fmt: skip
    return hashlib.sha256(to_json(content).encode()).hexdigest()[:12]


@lru_cache
def _upstream(root: Path) -> dict[str, str]:
    """Digests of what all trainings read; it does not change while they run."""
    return {
        stage: digest_tree(require(Workspace(root).artifacts(stage), f"syncdreamer stage {stage}"))
        for stage in UPSTREAM
    }
