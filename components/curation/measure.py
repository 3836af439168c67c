"""Measures one file: decodes it once and takes every score of every shot; writes what is needed to export it.

Works the same in any process. Its results depend on the file, the models and the measuring parameters alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file, write_bytes
from components.core.media import FPS
from components.core.vocabulary import FRAMINGS
from components.curation.decide import decide
from components.curation.ledger import Segment
from components.curation.models import Models, Places
from components.curation.package import (
    Form,
    Item,
    Repackaging,
    decoder_of,
    repackage,
    store_track,
    write_package,
)
from components.curation.params import CurateParams
from components.curation.probe import is_cut_short
from components.curation.scores import tidy
from components.curation.steps.decode import Decoder, Stretch
from components.curation.steps.framing import framing
from components.curation.thumbnails import blank_thumbnail, thumbnail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.curation.steps.faces import Track

VERSION = 5
"""Raised whenever a step changes what it measures: old ledger rows then no longer count."""
FEWEST_FRAMES = 25
"""Sync over fewer frames says nothing."""
IDENTITY_LOOKS = 8
PERSON_LOOKS = 3


@dataclass(frozen=True)
class Settings:
    """What a worker needs to build its tool."""

    params: CurateParams
    places: Places


def measuring(params: CurateParams) -> dict[str, Any]:
    """The parameters that scores depend on, for the ledger's fingerprint."""
    names = ("max_clip_seconds", "detector_score", "detect_every", "mesh_every", "working_side")
    known = {"version": VERSION} | {name: getattr(params, name) for name in names}
    if params.cut_speakers:  # then these limits say where segments begin
        known["cut_speakers"] = [params.limits.max_voice_change, params.limits.min_seconds]
    return known


class Measurer:
    """A worker's tool: models loaded once, then file by file."""

    def __init__(self, settings: Settings) -> None:
        self.params = settings.params
        self.models = Models(settings.places)

    def __call__(self, item: Item) -> list[Segment]:
        """All segments of a file, at least one; a bad file gets one with its problem."""
        if digest_file(item.path) != item.sha256:
            raise InputError(
                f"{item.path} changed since the inventory was made; run `syncdreamer stage ingest`"
            )
        if item.problem is not None:
            write_bytes(item.work / "0.jpg", blank_thumbnail())
            return [Segment({"problem": item.problem, "shots": 0, "segments": 1})]
        decoder = decoder_of(item, self.params)
        found: list[Segment] = []
        shots = 0
        for stretch in decoder.stretches():
            borders = [0, *self._cuts(stretch), len(stretch.frames)]
            shots += len(borders) - 1
            for first, last in zip(borders, borders[1:], strict=False):
                for part in self._speakers(stretch.part(first, last)):
                    found.append(self._segment(item, len(found), part))
        return self._finish(item, decoder, found, shots)

    def _cuts(self, stretch: Stretch) -> list[int]:
        from components.perception.shots import cuts

        return cuts(stretch.frames) if len(stretch.frames) > 1 else []

    def _speakers(self, shot: Stretch) -> list[Stretch]:
        """A shot, or its pieces of one speaker each."""
        if not self.params.cut_speakers or shot.samples is None:
            return [shot]
        from components.curation.steps.sound import turns

        limits = self.params.limits
        moments = turns(shot.samples, limits.max_voice_change, limits.min_seconds)
        borders = [0, *(round(moment * FPS) for moment in moments), len(shot.frames)]
        return [shot.part(first, last) for first, last in zip(borders, borders[1:], strict=False)]

    def _segment(self, item: Item, number: int, part: Stretch) -> Segment:
        """Takes every score of one shot; writes its track, thumbnail and, if it looks good, its package."""
        from components.curation.steps import faces, fingerprint, quality, sound

        length = len(part.frames)
        scores: dict[str, Any] = {
            "start": part.start,
            "end": part.start + length / FPS,
            "duration": length / FPS,
            "n_frames": length,
            "has_sound": part.samples is not None,
            "person_share": self._person_share(part),
            "frame_blur": quality.frame_sharpness(part.frames),
        }
        write_bytes(item.work / f"{number}.jpg", thumbnail(part.frames[length // 2]))
        track = faces.follow(
            part.frames, self.models.detector, self.params.detect_every, self.params.detector_score
        )
        mesh = self._mesh(part, track)
        scores |= {"face_rate": 0.0, "n_faces_max": 0, "second_face_rate": 0.0}
        embedding = b""
        if track is not None:
            scale = (item.height or part.frames.shape[1]) / part.frames.shape[1]
            seen = quality.quality(part.frames, track, mesh)
            scores |= asdict(seen) | {
                "face_rate": track.rate,
                "face_score": track.score,
                "n_faces_max": track.most,
                "second_face_rate": track.second_rate,
                "face_size": track.height * scale,
                "face_ratio": track.height / part.frames.shape[1],
            }
            embedding = self._identity(part, track)
        if part.samples is not None:
            heard = asdict(sound.listen(part.samples))
            scores |= heard
            if track is not None and length >= FEWEST_FRAMES and heard["voice_rate"] > 0:
                scores |= self._sync(part.frames, part.samples, track)
        store_track(item, number, part, track, mesh)
        segment = Segment(
            tidy(scores),
            fingerprint.picture_print(part.frames),
            fingerprint.sound_print(part.samples),
            embedding,
        )
        self._package_if_kept(item, number, part, track, mesh, segment)
        return segment

    def _person_share(self, part: Stretch) -> float:
        import numpy as np

        looks = np.linspace(0, len(part.frames) - 1, PERSON_LOOKS + 2).round().astype(int)[1:-1]
        return float(np.median([self.models.persons.share(part.frames[index]) for index in looks]))

    def _mesh(self, part: Stretch, track: Track | None) -> dict[int, NDArray[np.float32]]:
        """Landmarks (478,3) by frame, for every n-th frame where the mesh fits."""
        if track is None:
            return {}
        found = {}
        for index in range(0, len(part.frames), self.params.mesh_every):
            points = self.models.mesh.landmarks(part.frames[index], track.face(index))
            if points is not None:
                found[index] = points
        return found

    def _identity(self, part: Stretch, track: Track) -> bytes:
        """The mean embedding of a few face crops, of unit length, as float32 bytes."""
        import numpy as np

        places = np.linspace(0, len(part.frames) - 1, IDENTITY_LOOKS + 2).round().astype(int)[1:-1]
        looks = [part.frames[place] for place in places], [track.face(place) for place in places]
        mean = np.asarray(self.models.identity.embed(*looks), np.float64).mean(axis=0)
        return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32).tobytes()

    def _sync(self, frames: NDArray[np.uint8], samples: NDArray[np.float32], track: Track) -> dict[str, Any]:
        faces = [track.face(index) for index in range(len(frames))]
        score = self.models.sync.score(frames, faces, samples)
        return {
            "sync_offset": score.offset,
            "sync_confidence": score.confidence,
            "sync_distance": score.distance,
        }

    def _finish(self, item: Item, decoder: Decoder, found: list[Segment], shots: int) -> list[Segment]:
        """Adds to each segment what is known of the whole file."""
        problem = decoder.problem
        if not found:
            problem = problem or "corrupt: no picture could be decoded"
            write_bytes(item.work / "0.jpg", blank_thumbnail())
            found = [Segment({})]
        if problem is not None and is_cut_short(item.path):
            problem = problem.replace("corrupt", "truncated", 1)
        claimed = (item.end if item.end is not None else item.claimed or 0.0) - item.start
        whole = {
            "problem": problem,
            "fps": decoder.fps,
            "jitter": decoder.jitter,
            "decoded_seconds": decoder.seconds,
            "decoded_rate": min(1.0, decoder.seconds / claimed) if claimed > 0 else None,
            "error_rate": decoder.errors / max(1, decoder.packets),
            "shots": shots,
            "segments": len(found),
            "width": item.width,
            "height": item.height,
        }
        return [replace(segment, scores=segment.scores | whole) for segment in found]

    def _package_if_kept(
        self,
        item: Item,
        number: int,
        part: Stretch,
        track: Track | None,
        mesh: dict[int, NDArray[np.float32]],
        segment: Segment,
    ) -> None:
        """Writes the package now, while the frames are at hand, if what is known so far says keep."""
        import pandas as pd

        row = pd.DataFrame([tidy(segment.scores) | {"audio": item.audio}])
        verdict = decide(row, self.params.limits).iloc[0]
        if verdict["decision"] == "keep" and track is not None:
            label = framing(row["face_ratio"], self.params.close_up_ratio, self.params.upper_body_ratio)[0]
            how = Form(int(verdict["shift"]), label == FRAMINGS[0])
            write_package(item, number, part, track, mesh, how, self.params)


class Worker:
    """A worker's tool: measures an `Item`, or writes missing packages for a `Repackaging`."""

    def __init__(self, settings: Settings) -> None:
        self._params = settings.params
        self._measure = Measurer(settings)

    def __call__(self, job: Item | Repackaging) -> list[Segment] | None:
        if isinstance(job, Repackaging):
            repackage(self._params, job)
            return None
        return self._measure(job)
