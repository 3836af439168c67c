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

from components.avatar.moments import PLAIN
from components.avatar.pipeline import SyncDreamerPipeline
from components.avatar.sampling import windows
from components.core.media import SAMPLE_RATE
from components.core.pictures import resized
from components.core.vocabulary import ACTIONS
from components.evaluation.cast import cast
from components.evaluation.instruments import Instruments
from components.evaluation.params import EvaluateParams
from components.evaluation.scenes import Scene, frame_count, scenes, takes
from components.perception.actions import recognise

LONG_S, LONG_PEOPLE, SHORT_S, ENDS_S = 20, 4, 2, 2
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


def test_twenty_seconds(stage: tuple[Any, ...]) -> None:
    pipe, casted, gauge = stage
    sounds = [scene.take.samples for scene in casted if scene.role.own]
    latent, plan = 4, None
    ratios, kept = [], []
    for index, scene in enumerate([s for s in casted if s.role.own][:LONG_PEOPLE]):
        sound = np.concatenate([sounds[(index + k) % len(sounds)] for k in range(8)])[: LONG_S * SAMPLE_RATE]
        frames = talking(pipe, scene, sound)
        change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))
        plan = list(windows((len(frames) + 3) // latent, pipe.settings["window"]))
        seams = [latent * (start + given - 1) for start, given in plan[1:]]
        inside = np.delete(change, seams)
        ratios.append(float(np.median(change[seams]) / np.median(inside)))
        vectors = [
            gauge.look(part, mouths=False).embeddings
            for part in (frames[: ENDS_S * 25], frames[-ENDS_S * 25 :])
        ]
        own = gauge.look(scene.portrait[None], mouths=False).embeddings[0]
        start, end = (float((part @ own).mean()) for part in vectors)
        kept.append(end / start)
    print(f"\n20 s: change at seams over the median within {np.round(ratios, 2)}, mean {np.mean(ratios):.2f}")
    print(
        f"likeness of the last 2 s over that of the first 2 s {np.round(kept, 3)}, mean {np.mean(kept):.3f}"
    )
    assert len(ratios) == LONG_PEOPLE


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
