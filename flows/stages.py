"""The stages by name: which function runs, which parameter model it takes.

Order and dependencies are not here: `dvc.yaml` is the one place that knows them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.core.errors import InputError
from components.core.params import Params
from components.core.paths import Workspace


def _load(reference: str) -> Any:
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Stage:
    """`function` and `params` as `module:name`, imported only when asked for; `folder` below artifacts/."""

    name: str
    function: str
    params: str
    folder: str

    def params_model(self) -> type[Params]:
        """The pydantic model of the stage's section in params.yaml."""
        return _load(self.params)

    def call(self, params: Params, workspace: Workspace, seed: int) -> None:
        """Runs the stage in this process."""
        function: Callable[..., None] = _load(self.function)
        if self.name.startswith("gate_"):
            function(self.name.removeprefix("gate_"), params, workspace, seed)
        else:
            function(params, workspace, seed)


def _stage(name: str, module: str, model: str, folder: str | None = None) -> Stage:
    room = module.split(".")[0]
    return Stage(name, f"components.{module}:run", f"components.{room}.params:{model}", folder or name)


def _gate(name: str, model: str) -> Stage:
    return Stage(
        f"gate_{name}", "components.gates.gate:run_gate", f"components.gates.params:{model}", f"gates/{name}"
    )


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        _stage("ingest", "curation.ingest", "IngestParams"),
        _stage("perception", "perception.stage", "PerceptionParams"),
        _stage("curate", "curation.curate", "CurateParams"),
        _gate("clips", "GateClipsParams"),
        _stage("annotate", "curation.annotate", "AnnotateParams"),
        _gate("annotations", "GateAnnotationsParams"),
        _stage("vae", "avatar.vae_training", "VaeParams"),
        _stage("encode", "avatar.encode", "EncodeParams"),
        _gate("latents", "GateLatentsParams"),
        _stage("train_stage1", "avatar.train_stage1", "TrainStage1Params"),
        _stage("train_stage2", "avatar.train_stage2", "TrainStage2Params"),
        _gate("checkpoint", "GateCheckpointParams"),
        _stage("enhancer_sft", "enhancer.sft", "EnhancerSftParams"),
        _stage("enhancer_grpo", "enhancer.grpo", "EnhancerGrpoParams"),
        _gate("enhancer", "GateEnhancerParams"),
        _stage("evaluate", "evaluation.evaluate", "EvaluateParams", "evaluation"),
        _gate("evaluation", "GateEvaluationParams"),
        _stage("curves", "evaluation.curves", "CurvesParams"),
    )
}


def stage_named(name: str) -> Stage:
    """The stage called `name`.

    Raises:
        InputError: there is none; the message lists those that exist.
    """
    if name not in STAGES:
        raise InputError(f"no stage is called {name!r}; there are: {', '.join(STAGES)}")
    return STAGES[name]
