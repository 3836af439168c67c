"""What evaluation does not ask of every run: sharp eyes, seams, likeness after 20 s, requested actions.

On a finished workspace, named by SYNCDREAMER_WORKSPACE (skipped without it):
`python -m pytest tests/benchmarks/test_generator_quality.py -s --override-ini=addopts=`. Prints figures.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.avatar.encoders import latent_frames
from components.avatar.moments import PLAIN
from components.avatar.pipeline import SyncDreamerPipeline
from components.avatar.sampling import anchored_windows, windows
from components.avatar.vae import TIME, PatchVAE
from components.core.media import FPS, SAMPLE_RATE
from components.core.pictures import resized
from components.core.vocabulary import ACTIONS
from components.evaluation.cast import cast
from components.evaluation.instruments import Instruments
from components.evaluation.params import EvaluateParams
from components.evaluation.scenes import Scene, frame_count, scenes, takes
from components.perception.actions import recognise

LONG_S, LONG_PEOPLE, ENDS_S = 20, 4, 2
REQUESTS = {
    "nod": "would you nod at them as you speak",
    "shake_head": "say no with a shake of the head",
    "tilt_head": "let the head tip over to one side",
    "look_left": "turn your face to the left side for a while",
    "look_right": "turn your face to the right side for a while",
    "look_up": "raise your face to the ceiling",
    "look_down": "lower your face to the floor",
    "smile": "show us a big grin",
    "raise_eyebrows": "lift both brows in surprise",
}
"""Words of our own for actions that a close-up can show."""


@pytest.fixture(scope="module")
def stage() -> tuple[Any, ...]:
    from components.core.paths import Workspace
    from flows.params import load_params

    place = os.environ.get("SYNCDREAMER_WORKSPACE")
    if not place:
        pytest.skip("SYNCDREAMER_WORKSPACE names no finished workspace")
    workspace = Workspace(Path(place))
    settings = load_params(workspace.root / "params.yaml", "evaluate")
    params = settings.sections["evaluate"]
    assert isinstance(params, EvaluateParams)
    roles = cast(params, workspace, settings.seed)
    clips = takes(workspace, {r.sound for r in roles} | {r.other for r in roles}, frame_count(params.seconds))
    pipe = SyncDreamerPipeline.from_pretrained(workspace.artifacts("train_stage2", "pipeline"))
    return pipe, scenes(workspace, roles, clips), Instruments(workspace, 5)


def talking(pipe: Any, scene: Scene, sound: Any, text: str = PLAIN) -> Any:
    return pipe([scene.picture], [sound], [text], [scene.role.seed])[0]


def eyes(frames: Any, gauge: Instruments) -> list[float]:
    """Laplacian variance of the box around each pair of eyes, of every 5th frame."""
    import cv2

    found = []
    for frame in frames[::5]:
        face = next(iter(gauge.detector.detect(frame, tiles=False)), None)
        points = None if face is None else gauge.mesh.landmarks(frame, face)
        if points is None:
            continue
        corners = points[[33, 133, 362, 263], :2]
        wide = np.ptp(corners[:, 0])
        left, top = corners.min(0) - wide * np.array([0.1, 0.2])
        right, low = corners.max(0) + wide * np.array([0.1, 0.2])
        box = frame[max(0, int(top)) : int(low) + 1, max(0, int(left)) : int(right) + 1]
        found.append(float(cv2.Laplacian(cv2.cvtColor(box, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()))
    return found


def test_eyes(stage: tuple[Any, ...]) -> None:
    pipe, casted, gauge = stage
    made, real = [], []
    for scene in casted:
        if scene.role.own:
            made += eyes(talking(pipe, scene, scene.take.samples), gauge)
            real += eyes(resized(scene.take.frames, pipe.size), gauge)
    print(f"\neye-region Laplacian variance: {np.median(made) / np.median(real):.2f} of ground truth's")
    assert made and real


def window_seams(frames: int, settings: dict[str, Any]) -> list[int]:
    """Changes (from this frame to the next) at which a window's part begins, the first window apart."""
    latents, stride = latent_frames(frames), settings.get("anchor_stride", 0)
    if stride:
        return [TIME * start for start in anchored_windows(latents, stride)[1:]]
    return [TIME * (start + given - 1) for start, given in list(windows(latents, settings["window"]))[1:]]


def test_twenty_seconds(stage: tuple[Any, ...]) -> None:
    pipe, casted, gauge = stage
    people = [scene for scene in casted if scene.role.own]
    sounds = [scene.take.samples for scene in people]
    ratios, kept = [], []
    for index, scene in enumerate(people[:LONG_PEOPLE]):
        sound = np.concatenate([sounds[(index + k) % len(sounds)] for k in range(8)])[: LONG_S * SAMPLE_RATE]
        frames = talking(pipe, scene, sound)
        change = changes(frames)
        seams = window_seams(len(frames), pipe.settings)
        ratios.append(float(np.median(change[seams]) / np.median(np.delete(change, seams))))
        ends = frames[: ENDS_S * FPS], frames[-ENDS_S * FPS :]
        own = gauge.look(scene.portrait[None], mouths=False).embeddings[0]
        start, end = (float((gauge.look(part, mouths=False).embeddings @ own).mean()) for part in ends)
        kept.append(end / start)
    print(f"\n20 s: change at seams over the median within {np.round(ratios, 2)}, mean {np.mean(ratios):.2f}")
    print(f"likeness of the last 2 s over that of the first {np.round(kept, 3)}, mean {np.mean(kept):.3f}")
    assert len(ratios) == LONG_PEOPLE


def test_seams_of_reconstructions(stage: tuple[Any, ...]) -> None:
    """Real clips through the small VAE, with and without `smooth_seams`."""
    pipe, casted, _ = stage
    vae = pipe.encoders.vae
    if not isinstance(vae, PatchVAE):
        pytest.skip("an official VAE has no seams of ours")
    usual = vae.config.smoothing
    for limit in (0.0, usual):
        vae.register_to_config(smoothing=limit)
        ratios, errors = [], []
        for scene in (s for s in casted if s.role.own):
            real = resized(scene.take.frames, pipe.size)
            made = pipe.encoders.pictures(pipe.encoders.latents(real))
            change = changes(made)
            starts = np.arange(0, len(change), TIME)
            ratios.append(np.median(change[starts]) / np.median(np.delete(change, starts)))
            errors.append(np.square(made.astype(np.float64) - real).mean())
        psnr = np.mean(10 * np.log10(255**2 / np.array(errors)))
        print(f"\nsmoothing {limit:g}: at latents' starts over others {np.mean(ratios):.2f}, {psnr:.2f} dB")
    vae.register_to_config(smoothing=usual)
    assert ratios


def changes(frames: Any) -> Any:
    """Mean absolute change of each frame to the next, (T-1,)."""
    return np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))


@pytest.mark.parametrize("wording", ["trained", "unseen"])
def test_actions(stage: tuple[Any, ...], wording: str) -> None:
    from components.perception.captions import with_actions

    pipe, casted, gauge = stage
    assert set(REQUESTS) <= set(ACTIONS)
    hits, chance, table = [], [], {}
    people = [s for s in casted if s.role.own][:LONG_PEOPLE]
    for wanted, words in REQUESTS.items():
        text = with_actions(PLAIN, [wanted]) if wording == "trained" else words
        for scene in people:
            frames = talking(pipe, scene, scene.take.samples, text)
            meshes, places = [], []
            for look in range(0, len(frames), 5):
                face = next(iter(gauge.detector.detect(frames[look], tiles=False)), None)
                points = None if face is None else gauge.mesh.landmarks(frames[look], face)
                if points is not None:
                    meshes.append(points)
                    places.append(look)
            done = recognise(np.array(meshes), np.array(places), hands=False, neutral=meshes[0])
            seen = {each.name for each in done}
            hits.append(wanted in seen)
            table.setdefault(wanted, []).append(sorted(seen))
            chance.append(len(seen & set(REQUESTS)) / len(REQUESTS))
    print(f"\n{wording} wording: action recognised {np.mean(hits):.3f}, by chance {np.mean(chance):.3f}")
    print(json.dumps(table))
    assert len(hits) == len(REQUESTS) * len(people)
