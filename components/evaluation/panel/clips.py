"""Scores video files: each is decoded once, and every metric sees the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.evaluation.panel.measures import (
    Measure,
    Parts,
    Scene,
    View,
    measure,
    network_measures,
    plain_measures,
)
from components.evaluation.panel.networks import accepted_labels, network_protocol
from components.evaluation.panel.states import USUAL, Bootstrap, figure_rows


@dataclass(frozen=True)
class Clip:
    """A clip to score: the generated file and, where there are, the real one and the reference picture."""

    name: str
    generated: Path
    real: Path | None = None
    reference: Path | None = None


def find_clips(generated: Path, real: Path | None, references: Path | None) -> list[Clip]:
    """The mp4 files of a folder with the real clips (mp4) and references (png, jpg) of the same name.

    Raises:
        InputError: no mp4 there, or a named folder lacks a file of that name.
    """
    files = sorted(generated.glob("*.mp4"))
    if not files:
        raise InputError(f"{generated}: no mp4 file")

    def beside(folder: Path | None, stem: str, endings: Sequence[str]) -> Path | None:
        if folder is None:
            return None
        for ending in endings:
            if (folder / f"{stem}{ending}").exists():
                return folder / f"{stem}{ending}"
        raise InputError(f"{folder}: no {stem}{' or '.join(endings)} for {stem}.mp4")

    return [
        Clip(f.stem, f, beside(real, f.stem, (".mp4",)), beside(references, f.stem, (".png", ".jpg")))
        for f in files
    ]


def score_clips(
    clips: Sequence[Clip],
    networks: Mapping[str, Any],
    seeds: Sequence[int] = (),
    bootstrap: Bootstrap = USUAL,
) -> dict[str, Any]:
    """All figures of the clips and the protocol they were made by; every file is decoded once.

    Args:
        seeds: what the clips were generated with, as far as the caller knows; noted, nothing depends on it.

    Raises:
        InputError: no clip; files that cannot be decoded; clips of different frame rates.
    """
    from components.core.media import read_image, read_video

    if not clips:
        raise InputError("no clip to score")
    measures: list[Measure] = []
    fps = 0.0
    parts: dict[str, Parts] = {}
    truth: dict[Path, View] = {}
    codecs: dict[str, set[str]] = {"generated": set(), "real": set()}
    sizes: set[str] = set()
    lengths: list[int] = []
    for clip in clips:
        made = read_video(clip.generated)
        codecs["generated"].add(made.codec)
        sizes.add(f"{made.frames.shape[2]}×{made.frames.shape[1]}")
        lengths.append(len(made.frames))
        if not measures:
            fps = made.fps
            measures = plain_measures(fps) + network_measures(networks, fps)
        if abs(made.fps - fps) > 0.01:
            raise InputError(f"{clip.generated}: {made.fps:g} frames a second, the others have {fps:g}")
        if clip.real is not None and clip.real not in truth:  # the last one is kept: roles may share it
            real = read_video(clip.real, audio=False)
            codecs["real"].add(real.codec)
            truth = {clip.real: View(real.frames)}
        scene = Scene(
            View(made.frames, made.samples),
            None if clip.real is None else truth[clip.real],
            None if clip.reference is None else View(read_image(clip.reference)[None]),
        )
        parts[clip.name] = measure(scene, measures)
    protocol = {
        "clips": len(clips), "fps": fps, "frames": {"least": min(lengths), "most": max(lengths)},
        "crop": "none: whole frames as they are, generated and real alike", "size": sorted(sizes),
        "codec": {side: sorted(names) for side, names in codecs.items() if names},
        "seeds": list(seeds) or "not stated",
    }  # fmt: skip
    return {
        "protocol": protocol | network_protocol(networks) | bootstrap.protocol(),
        "figures": figure_rows(measures, parts, accepted_labels(networks), bootstrap),
    }
