"""A straightforward pipeline to compare curation with: a program for each step, which decodes every time.

`python -m tests.benchmarks.straightforward STEP MODELS OUT EVERY FILE…` runs one step over the files: its own
process, its own models, its own decoding; what later steps need lies in OUT. So works, for example, the
published pipeline of SyncNet (`run_pipeline.py`, `run_syncnet.py`, `run_visualise.py`, each a video at a
time). The models, the measures and the decoder are curation's own; EVERY is how many frames a face detector
or mesh advances by: 1 looks at each frame, 0 where curation looks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from components.curation.backends import SmallIdentity, SmallSync
from components.curation.params import CurateParams
from components.curation.steps.decode import Decoder, Stretch
from components.curation.steps.faces import Track

PARAMS = CurateParams()


def decoded(path: Path) -> Stretch:
    """A file of one short shot, whole."""
    decoder = Decoder(path, PARAMS.working_side, PARAMS.max_clip_seconds)
    return next(decoder.stretches())


def track_of(out: Path, path: Path) -> Track:
    """What the step `faces` found."""
    with np.load(out / f"{path.stem}.track.npz") as stored:
        return Track(stored["boxes"], stored["keypoints"], 1.0, float(stored["score"]), 1, 0.0)


def mesh_of(out: Path, path: Path) -> dict[int, np.ndarray]:
    """What the step `mesh` found."""
    with np.load(out / f"{path.stem}.mesh.npz") as stored:
        return dict(zip(stored["frames"].tolist(), stored["mesh"], strict=True))


def tell(out: Path, path: Path, step: str, value: object) -> None:
    """Writes a step's result."""
    (out / f"{path.stem}.{step}.json").write_text(json.dumps(value, default=str))


def probe(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.core.files import digest_file
    from components.curation import probe as step

    for path in files:
        tell(out, path, "probe", [digest_file(path), step.probe(path).duration])


def shots(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.perception.shots import cuts

    for path in files:
        tell(out, path, "shots", cuts(decoded(path).frames))


def faces(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.curation.steps.faces import follow
    from components.perception.faces import FaceDetector

    detector = FaceDetector()
    for path in files:
        found = follow(decoded(path).frames, detector, every or PARAMS.detect_every, PARAMS.detector_score)
        assert found is not None
        np.savez(
            out / f"{path.stem}.track.npz", boxes=found.boxes, keypoints=found.keypoints, score=found.score
        )


def mesh(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.perception.faces import FaceMesh

    fitter = FaceMesh()
    for path in files:
        frames, track = decoded(path).frames, track_of(out, path)
        looks = range(0, len(frames), every or PARAMS.mesh_every)
        found = {index: fitter.landmarks(frames[index], track.face(index)) for index in looks}
        there = {index: points for index, points in found.items() if points is not None}
        np.savez(out / f"{path.stem}.mesh.npz", frames=list(there), mesh=np.array(list(there.values())))


def quality(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.curation.steps import quality as step

    for path in files:
        frames = decoded(path).frames
        found = step.quality(frames, track_of(out, path), mesh_of(out, path))
        tell(out, path, "quality", [found, step.frame_sharpness(frames)])


def persons(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.perception.persons import PersonMask

    mask = PersonMask()
    for path in files:
        frames = decoded(path).frames
        looks = np.linspace(0, len(frames) - 1, 5).round().astype(int)[1:-1]
        tell(out, path, "persons", [mask.share(frames[index]) for index in looks])


def identity(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.perception.identity import IdentityModel

    model = SmallIdentity(IdentityModel.load(models / "identity"))
    for path in files:
        frames, track = decoded(path).frames, track_of(out, path)
        looks = np.linspace(0, len(frames) - 1, 10).round().astype(int)[1:-1]
        found = model.embed([frames[index] for index in looks], [track.face(index) for index in looks])
        tell(out, path, "identity", found.mean(0).tolist())


def voice(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.curation.steps.sound import listen

    for path in files:
        samples = decoded(path).samples
        assert samples is not None
        tell(out, path, "voice", listen(samples))


def sync(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.perception.sync import SyncModel

    model = SmallSync(SyncModel.load(models / "sync"))
    for path in files:
        part, track = decoded(path), track_of(out, path)
        assert part.samples is not None
        seen = [track.face(index) for index in range(len(part.frames))]
        tell(out, path, "sync", model.score(part.frames, seen, part.samples))


def fingerprint(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.curation.steps import fingerprint as step

    for path in files:
        part = decoded(path)
        tell(
            out, path, "print", [step.picture_print(part.frames).hex(), step.sound_print(part.samples).hex()]
        )


def standardise(files: list[Path], models: Path, out: Path, every: int) -> None:
    from components.curation.standardise import package

    for path in files:
        part = decoded(path)
        parts, _ = package(
            part.frames, part.samples, track_of(out, path), mesh_of(out, path), shift=0, close_up=True,
            scale=PARAMS.close_up_scale, size=PARAMS.output_size, crf=PARAMS.output_crf,
            grid=PARAMS.mask_grid,
        )  # fmt: skip
        for name, content in parts.items():
            (out / f"{path.stem}.{name}").write_bytes(content)


STEPS = {
    step.__name__: step
    for step in (
        probe, shots, faces, mesh, quality, persons, identity, voice, sync, fingerprint, standardise,
    )
}  # fmt: skip


if __name__ == "__main__":
    from components.core.seeds import single_thread

    single_thread()
    name, models, out, every, *files = sys.argv[1:]
    STEPS[name]([Path(file) for file in files], Path(models), Path(out), int(every))
