"""The work that processes share: generating and measuring a batch of roles, measuring a real clip.

Every job's result depends on the job alone, so any number of processes gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.media import FPS, SAMPLE_RATE
from components.core.paths import Workspace
from components.core.pictures import resized
from components.core.seeds import derive, seed_everything
from components.evaluation.instruments import Instruments, Seen
from components.evaluation.params import EvaluateParams
from components.evaluation.scenes import Scene, Take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.syncnet import SyncScores

EDGE = 15
"""Most frames cut from both ends of a clip, so that its sound can be moved without leaving it."""


@dataclass(frozen=True)
class Settings:
    """What every process is told."""

    workspace: Workspace
    params: EvaluateParams
    seed: int


@dataclass(frozen=True)
class Batch:
    """Roles that are generated together."""

    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class Real:
    """A real clip to measure, with another sentence's sound as control."""

    take: Take
    other: NDArray[np.float32]


@dataclass(frozen=True)
class Texts:
    """The enhancer's held-out cases."""


@dataclass(frozen=True)
class Performance:
    """A generated clip measured. frames (T,S,S,3) are not kept: the videos are on disk."""

    index: int
    prompt: str
    made: Seen
    still: Seen
    sound: NDArray[np.float32]
    other_sound: NDArray[np.float32]
    sync_own: SyncScores | None
    sync_other: SyncScores | None
    sync_still: SyncScores | None
    psnr: NDArray[np.float64] | None
    ssim: NDArray[np.float64] | None
    still_psnr: NDArray[np.float64] | None
    still_ssim: NDArray[np.float64] | None
    copula: float
    copula_truth: float


@dataclass(frozen=True)
class Reality:
    """A real clip measured, as it is and through the VAE. agreement: sync of the clip in sync and shifted."""

    clip_id: str
    truth: Seen
    rebuilt: Seen
    sound: NDArray[np.float32]
    other_sound: NDArray[np.float32]
    sync_own: SyncScores | None
    sync_other: SyncScores | None
    sync_rebuilt: SyncScores | None
    psnr_rebuilt: NDArray[np.float64]
    ssim_rebuilt: NDArray[np.float64]
    in_sync: tuple[float, ...]
    shifted: tuple[float, ...]


def tool(settings: Settings) -> Callable[[Any], Any]:
    """A process's worker; nets load when first needed."""
    return Worker(settings)


class Worker:
    """Does jobs one by one; keeps nothing between them but the loaded nets."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._instruments: Instruments | None = None
        self._studio: Any = None

    def __call__(self, job: Batch | Real | Texts) -> Any:
        if isinstance(job, Texts):
            from components.evaluation.enhancer_cases import score_cases

            seed_everything(derive(self.settings.seed, "evaluate", "texts"))
            return score_cases(self.settings.workspace, self.settings.params, self.settings.seed)
        if isinstance(job, Real):
            return self.measure(job)
        return self.perform(job)

    @property
    def instruments(self) -> Instruments:
        if self._instruments is None:
            params = self.settings.params
            self._instruments = Instruments(
                self.settings.workspace, params.identity_stride, params.sync_model
            )
        return self._instruments

    @property
    def studio(self) -> Any:
        if self._studio is None:
            from components.evaluation.studio import Studio

            self._studio = Studio(self.settings.workspace, self.settings.params)
        return self._studio

    def perform(self, batch: Batch) -> list[Performance]:
        """Generates a batch, measures it, writes the videos for watching."""
        from components.evaluation.players import write_players

        seed_everything(derive(self.settings.seed, "evaluate", batch.scenes[0].role.index))
        prompts, clips = self.studio.perform(batch.scenes)
        results = []
        for scene, prompt, frames in zip(batch.scenes, prompts, clips, strict=True):
            write_players(
                self.settings.workspace.artifacts("evaluation"),
                scene,
                frames,
                self.settings.params.viewing_size,
            )
            results.append(self._judge(scene, prompt, frames))
        return results

    def _judge(self, scene: Scene, prompt: str, frames: NDArray[np.uint8]) -> Performance:
        from components.evaluation.metrics.functional.copula import copula_similarity
        from components.perception.voice import envelope

        look, hear = self.instruments.look, self.instruments.hear
        size, count = frames.shape[1], len(frames)
        reference = resized(scene.portrait[None], size)
        made, still = look(frames), look(reference, mouths=False)
        frozen = np.repeat(reference, count, 0)
        still_mouths = self.instruments.look_mouths(frozen)
        own = scene.take.samples
        truth = resized(scene.take.frames, size) if scene.role.own else None
        pairs = (
            (compared(frames, truth), compared(frozen, truth)) if truth is not None else ((None,) * 2,) * 2
        )
        return Performance(
            index=scene.role.index,
            prompt=prompt,
            made=made,
            still=still,
            sound=envelope(own, count),
            other_sound=envelope(scene.other, count),
            sync_own=hear(made.mouths, own),
            sync_other=hear(made.mouths, scene.other),
            sync_still=hear(still_mouths, own),
            psnr=pairs[0][0],
            ssim=pairs[0][1],
            still_psnr=pairs[1][0],
            still_ssim=pairs[1][1],
            copula=float(copula_similarity(_tensor(frames), _tensor(frozen)).mean()),
            copula_truth=float("nan")
            if truth is None
            else float(copula_similarity(_tensor(truth), _tensor(frozen)).mean()),
        )

    def measure(self, job: Real) -> Reality:
        """Measures a real clip at the generator's size, as it is and rebuilt by the VAE."""
        from components.perception.voice import envelope

        look, hear = self.instruments.look, self.instruments.hear
        take = job.take
        frames = resized(take.frames, self.studio.size)
        rebuilt = self.studio.rebuild(frames)
        truth, through = look(frames), look(rebuilt)
        psnr, ssim = compared(rebuilt, frames)
        in_sync, shifted = self.separation(truth.mouths, take.samples)
        return Reality(
            clip_id=take.clip_id,
            truth=truth,
            rebuilt=through,
            sound=envelope(take.samples, len(frames)),
            other_sound=envelope(job.other, len(frames)),
            sync_own=hear(truth.mouths, take.samples),
            sync_other=hear(truth.mouths, job.other),
            sync_rebuilt=hear(through.mouths, take.samples),
            psnr_rebuilt=psnr,
            ssim_rebuilt=ssim,
            in_sync=in_sync,
            shifted=shifted,
        )

    def separation(
        self, mouths: NDArray[np.uint8] | None, samples: NDArray[np.float32]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Agreement of the clip's middle with its own sound, and with the same sound moved by `shifts`."""
        from components.perception.sync import SHORTEST

        edge = 0 if mouths is None else min(EDGE, (len(mouths) - SHORTEST) // 2)
        if mouths is None or edge < self.settings.params.sync_shift:
            return (), ()
        middle = mouths[edge : len(mouths) - edge]
        per_frame = SAMPLE_RATE // FPS

        def agreement(move: int) -> float:
            begin = (edge + move) * per_frame
            return self.instruments.sync.score(
                middle, samples[begin : begin + len(middle) * per_frame]
            ).agreement

        return (agreement(0),), tuple(
            agreement(move) for move in shifts(self.settings.params.sync_shift, edge)
        )


def shifts(least: int, largest: int) -> list[int]:
    """The moves, frames, of the out-of-sync class: the least, the largest and one between, both ways."""
    sizes = sorted({least, (least + largest) // 2, largest})
    return [sign * size for size in sizes for sign in (-1, 1)]


def compared(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PSNR and SSIM of each frame, (T,) each."""
    from components.evaluation.metrics.functional.image import psnr, ssim

    x, y = _tensor(a), _tensor(b)
    return psnr(x, y, 255.0).numpy(), ssim(x, y, 255.0).numpy()


def _tensor(frames: NDArray[np.uint8]) -> Any:
    import torch

    return torch.from_numpy(frames).permute(0, 3, 1, 2).double()


def jobs(scenes: Sequence[Scene], clips: dict[str, Take], batch: int) -> list[Batch | Real | Texts]:
    """The longest first, so that no process waits at the end."""
    groups = [Batch(tuple(scenes[begin : begin + batch])) for begin in range(0, len(scenes), batch)]
    other = {scene.take.clip_id: scene.other for scene in reversed(scenes)}
    return [*groups, Texts(), *(Real(clips[clip], other[clip]) for clip in sorted(other))]
