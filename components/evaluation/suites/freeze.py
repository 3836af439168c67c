"""Freezes a suite: every case's files are written once, in a folder keyed by what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file, digest_tree, read_json, to_json, write_json
from components.core.media import read_image, write_image, write_video, write_wav
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive
from components.evaluation.suites.case import Case
from components.evaluation.suites.declaration import Group, Suite
from components.evaluation.suites.footage import Footage, fitted, footage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CRF = 6
"""Of the real clips as they are handed on and measured: all but lossless."""
SHORT = {"noisy_audio": "noisy", "overlapping_audio": "overlap", "vague_prompt": "vague"}

Enhance = Callable[["NDArray[np.uint8]", str], str]
"""Picture and instruction → prompt."""


def freeze(
    suite: Suite, workspace: Workspace, data: Path | None, enhance: Enhance | None = None
) -> list[Case]:
    """The suite's cases with their files below state/compare/cases; written once, then read.

    Args:
        enhance: what writes the prompts; None: the workspace's enhancer.

    Raises:
        InputError: a source is missing, or has no clip that fits.
    """
    key = suite_key(suite, workspace, data)
    folder = workspace.state("compare", "cases", f"{suite.name}-{key}")
    index = folder / "cases.json"
    if index.exists():
        return [Case(folder=folder, **row) for row in read_json(index)]
    say(f"  suite {suite.name}: writing its cases")
    made: list[Case] = []
    for group in suite.groups:
        clips = footage(suite, group, workspace, data)
        made += _group(suite, group, clips, folder, len([c for c in made if c.kind == group.kind]))
    if enhance is None and any(not case.prompt for case in made):
        enhance = _enhancer(workspace)
    written: dict[tuple[str, str], str] = {}  # one portrait and instruction, one prompt
    cases = []
    for case in made:
        asked = (digest_file(case.path("image")), case.instruction)
        if not case.prompt and asked not in written and enhance is not None:
            written[asked] = enhance(read_image(case.path("image")), case.instruction)
        cases.append(replace(case, prompt=case.prompt or written[asked]))
    write_json(index, [case.facts() for case in cases])
    return cases


def suite_key(suite: Suite, workspace: Workspace, data: Path | None) -> str:
    """12 hex digits over declaration, source files and the enhancer."""
    inputs: dict[str, Any] = {"suite": suite.model_dump(mode="json", exclude={"title"})}
    if any(group.curated for group in suite.groups):
        for stage, name in (("curate", "manifest.parquet"), ("annotate", "annotations.parquet")):
            path = require(workspace.artifacts(stage, name), f"syncdreamer stage {stage}")
            inputs[stage] = digest_file(path)
    if suite.uses_data and data is not None:
        patterns = [group.folder.pattern for group in suite.groups if group.folder]
        named = [
            name for group in suite.groups for clip in group.clips
            for name in (clip.image, clip.audio, clip.video, clip.pose) if name
        ]  # fmt: skip
        files = {path for pattern in patterns for path in data.glob(pattern)} | {
            data / name for name in named
        }
        inputs["files"] = {
            path.relative_to(data).as_posix(): digest_file(path) for path in sorted(files) if path.is_file()
        }
    model = workspace.artifacts("enhancer_grpo", "model")
    inputs["enhancer"] = digest_tree(model) if model.exists() else None
    return hashlib.sha256(to_json(inputs).encode()).hexdigest()[:12]


def _group(suite: Suite, group: Group, clips: list[Footage], folder: Path, begin: int) -> list[Case]:
    levels: tuple[float | None, ...] = group.noise_snr_db or (None,)
    made: list[Case] = []
    for place, clip in enumerate(clips):
        for level in levels:
            number = begin + len(made)
            case = Case(
                id=f"{SHORT.get(group.kind, group.kind)}-{number:02d}",
                kind=group.kind,
                person=clip.person,
                language=group.language,
                framing=clip.framing,
                delivery=clip.delivery,
                instruction=clip.instruction or group.instructions[place % len(group.instructions)],
                prompt=clip.prompt or "",
                frames=len(clip.samples) // 640,
                folder=folder,
                snr_db=level,
            )
            other = clips[(place + 1) % len(clips)].samples
            _write(case, clip, other, group, derive(suite.seeds[0], suite.name, case.id))
            made.append(case)
    return made


def _write(case: Case, clip: Footage, other: NDArray[np.float32], group: Group, seed: int) -> None:
    import numpy as np

    if other is clip.samples:  # a group of one: the own sound, half a clip later
        other = np.roll(clip.samples, len(clip.samples) // 2)
    other = fitted(other, case.frames)
    given = clip.samples
    if case.snr_db is not None:
        given = with_noise(given, case.snr_db, seed)
    if group.overlap_db is not None:
        given = with_voice(given, other, group.overlap_db)
    write_image(case.path("image"), clip.picture)
    write_wav(case.path("audio"), given)
    write_wav(case.path("clean"), clip.samples)
    write_wav(case.path("other"), other)
    for name, frames in (("truth", clip.frames), ("copy", clip.copy)):
        if frames is not None:
            write_video(case.path(name), frames, clip.samples if name == "truth" else None, crf=CRF)
    if clip.pose is not None:
        case.path("pose").write_bytes(clip.pose.read_bytes())


def with_noise(samples: NDArray[np.float32], snr_db: float, seed: int) -> NDArray[np.float32]:
    """Adds pink noise `snr_db` below the speech (mean power of both over the whole clip), then scales back
    where it would clip."""
    import numpy as np

    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(samples)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(samples))
    return _mixed(samples, noise, snr_db)


def with_voice(
    samples: NDArray[np.float32], other: NDArray[np.float32], level_db: float
) -> NDArray[np.float32]:
    """Adds another speaker at `level_db` over the speech (negative: softer)."""
    return _mixed(samples, other, -level_db)


def _mixed(samples: NDArray[np.float32], added: NDArray, ratio_db: float) -> NDArray[np.float32]:
    import numpy as np

    power, theirs = (
        float(np.mean(np.square(samples, dtype=np.float64))),
        float(np.mean(np.square(added, dtype=np.float64))),
    )
    if power <= 0 or theirs <= 0:
        raise InputError("a silent sound has no level that noise or a voice could be mixed against")
    mixed = samples + added * np.sqrt(power / theirs * 10 ** (-ratio_db / 10))
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def _enhancer(workspace: Workspace) -> Enhance:
    from components.enhancer import enhance

    folder = require(workspace.artifacts("enhancer_grpo", "model"), "syncdreamer stage enhancer_grpo")
    model = enhance.load(folder)
    return lambda picture, instruction: model.enhance(picture, instruction)
