"""The pair at work: the enhancer writes the prompts, the generator the clips; and the VAE on real frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.core.paths import Workspace, require
from components.evaluation.params import EvaluateParams
from components.evaluation.scenes import Scene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Studio:
    """Loads the trained pair of a workspace.

    Raises:
        InputError: a model is missing or does not fit.
    """

    def __init__(self, workspace: Workspace, params: EvaluateParams) -> None:
        from components.avatar.pipeline import SyncDreamerPipeline
        from components.core.device import best_device

        self.workspace = workspace
        self.options: dict[str, Any] = {"steps": params.steps, "guidance_audio": params.guidance_audio}
        folder = require(workspace.artifacts("train_stage2", "pipeline"), "syncdreamer stage train_stage2")
        self.pipeline = SyncDreamerPipeline.from_pretrained(folder).to(best_device())
        self._enhancer: Any = None

    @property
    def size(self) -> int:
        """Side of the generator's frames, px."""
        return self.pipeline.size

    def prompts(self, scenes: Sequence[Scene]) -> list[str]:
        """The enhanced instruction of each role, from its reference picture."""
        if self._enhancer is None:
            from components.enhancer import enhance

            folder = require(
                self.workspace.artifacts("enhancer_grpo", "model"), "syncdreamer stage enhancer_grpo"
            )
            self._enhancer = enhance.load(folder)
        return [
            self._enhancer.enhance(scene.picture, scene.role.instruction, seed=scene.role.seed)
            for scene in scenes
        ]

    def perform(self, scenes: Sequence[Scene]) -> tuple[list[str], list[NDArray[np.uint8]]]:
        """Prompts and frames (T,S,S,3) of each role, generated side by side."""
        from components.avatar.generate import generate_batch

        prompts = self.prompts(scenes)
        clips = generate_batch(
            self.pipeline,
            [scene.picture for scene in scenes],
            [scene.take.samples for scene in scenes],
            prompts,
            [scene.role.seed for scene in scenes],
            **self.options,
        )
        return prompts, clips

    def rebuild(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames (4k+1,S,S,3) through the VAE: the best that the generator could do."""
        encoders = self.pipeline.encoders
        return encoders.pictures(encoders.latents(frames))
