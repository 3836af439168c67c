"""What is measured on one video of a case, whoever made it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from components.core.media import FPS, read_audio, read_image, read_video
from components.core.paths import Workspace, require
from components.core.pictures import Square, face_square, resized
from components.core.vocabulary import HAND_ACTIONS
from components.evaluation.peers.declaration import Output
from components.evaluation.statistics import correlation
from components.evaluation.suites.case import Case
from components.evaluation.suites.footage import at_25, fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.evaluation.instruments import Instruments, Seen

Crop = Literal["independent", "shared"]
FACE_SCALE = 1.8
"""Side of the measured square in face heights."""
SAMPLED = 10
"""Every n-th frame is read for attributes."""
STILL_MOUTH = 2e-3
"""Spread of the lips' opening, face heights, up to which a mouth stands still (what is left is noise)."""
LOOK = 5
"""Every n-th frame is looked at for actions: five a second."""


@dataclass(frozen=True)
class Options:
    """size: side of the measured square, px. crop: `independent`, every video's own median face, for systems
    that frame differently; `shared`, the real clip's square in all of them. stride: of the identity model."""

    size: int = 128
    crop: Crop = "independent"
    stride: int = 5


@dataclass(frozen=True)
class Measured:
    """figures: name → value, NaN where it is undefined. arrays: embeddings (K,D), aperture, energy and sound
    over time (T,)."""

    figures: dict[str, float]
    arrays: dict[str, NDArray]


def standard(video: Path, output: Output | None, frames: int) -> NDArray[np.uint8]:
    """Frames (≤frames,H,W,3) at 25 fps of a system's file: its panel and its time cut out, even sides.

    Raises:
        InputError: the file cannot be read.
    """
    seen = at_25(read_video(video, audio=False))
    if output is not None:
        if output.panel is not None:
            panel = output.panel
            width = (seen.shape[2] - panel.padding * (panel.columns + 1)) // panel.columns
            left = panel.padding + panel.column * (width + panel.padding)
            bottom = seen.shape[1] - panel.padding
            seen = seen[:, panel.padding : bottom, left : left + width]
        seen = seen[round(output.lead_s * FPS) :]
    height, width = (side // 2 * 2 for side in seen.shape[1:3])
    return seen[:frames, :height, :width]


class Meter:
    """The nets, loaded once, and what they say of a video.

    Raises:
        InputError: the perception stage's models are missing.
    """

    def __init__(self, workspace: Workspace, options: Options) -> None:
        from components.evaluation.instruments import MADE_BY, Instruments
        from components.perception.attributes import AttributeModel
        from components.perception.trunk import Viewer

        self.options = options
        self.instruments: Instruments = Instruments(workspace, options.stride)
        self.attributes = AttributeModel.load(
            require(workspace.artifacts("perception", "attributes"), MADE_BY)
        )
        self.viewer = Viewer()
        self._references: dict[str, dict[str, Any]] = {}

    def frames(self, video: Path, output: Output | None, case: Case) -> NDArray[np.uint8]:
        """A system's frames (see `standard`). The real clip is decoded once for all rows it stands in.

        Raises:
            InputError: the file cannot be read.
        """
        truth = case.path("truth")
        if output is None and video == truth:
            return self._reference(case)["frames"]
        return standard(video, output, case.frames)

    def measure(self, frames: NDArray[np.uint8], case: Case, sound: str = "clean") -> Measured:
        """Measures frames (T,H,W,3) at 25 fps against a sound of the case (clean, or other: the control)."""
        reference = self._reference(case)
        cut, followed = self._cut(frames, reference.get("square"), reference.get("truth_shape"))
        seen = self.instruments.look(cut)
        samples = fitted(read_audio(case.path(sound)), len(frames))
        other = fitted(read_audio(case.path("other" if sound == "clean" else "clean")), len(frames))
        figures: dict[str, float] = {"face_rate": float(seen.found.mean()) if followed else 0.0}
        figures |= self._lips(seen, samples, other)
        figures |= _likeness(seen, reference)
        features, readings = self._read(frames[::SAMPLED])
        figures["dino_proxy"] = 100 * float((features @ reference["features"]).mean())
        figures |= _pictures(cut, reference)
        figures |= _told(case, reference, readings) | {"action_recognised": self._action(cut, case)}
        energy = motion_energy(cut)
        figures["beat_alignment"] = rhythm(energy, samples)
        return Measured(figures, {
            "embeddings": seen.embeddings, "aperture": seen.aperture, "energy": energy,
            "sound": _envelope(samples, len(frames)),
        })  # fmt: skip

    def _reference(self, case: Case) -> dict[str, Any]:
        """Of a case, once: its portrait's face, embedding, features, attributes; the real clip's square."""
        key = str(case.path("image"))
        if key in self._references:
            return self._references[key]
        picture = read_image(case.path("image"))
        cut, found = self._cut(picture[None], None, None)
        features, readings = self._read(picture[None])
        known: dict[str, Any] = {
            "picture": cut,
            "seen": self.instruments.look(cut, mouths=False) if found else None,
            "attributes": readings[0],
            "features": features[0],
        }
        if case.path("truth").exists():
            truth = known["frames"] = standard(case.path("truth"), None, case.frames)
            known["square"], known["truth_shape"] = self._square(truth), truth.shape
            known["truth"], _ = self._cut(truth, known["square"], truth.shape)
        self._references = {key: known}  # cases come one after the other: one is enough
        return known

    def _square(self, frames: NDArray[np.uint8]) -> Square | None:
        from components.perception.faces import track_face

        track = track_face(frames, self.instruments.detector, stride=5)
        if track is None:
            return None
        boxes = np.array([face.box for face in track], np.float32)
        return face_square(boxes, FACE_SCALE, *frames.shape[1:3])

    def _cut(
        self, frames: NDArray[np.uint8], shared: Square | None, shape: tuple[int, ...] | None
    ) -> tuple[NDArray[np.uint8], bool]:
        """The measured square (T,size,size,3) and whether a face was followed; without one, the centre."""
        square = None
        if self.options.crop == "shared" and shared is not None and shape is not None:
            scale = frames.shape[1] / shape[1]
            square = Square(*(round(value * scale) for value in (shared.left, shared.top, shared.side)))
            followed = True
        else:
            square = self._square(frames)
            followed = square is not None
        if square is None:
            side = min(frames.shape[1:3])
            square = Square((frames.shape[2] - side) // 2, (frames.shape[1] - side) // 2, side)
        return resized(square.cut(frames), self.options.size), followed

    def _lips(self, seen: Seen, samples: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
        count = len(seen.found)
        known = seen.aperture[np.isfinite(seen.aperture)]
        moves = len(known) > 0 and float(known.std()) > STILL_MOUTH
        figures = {
            "aperture_correlation_own": correlation(seen.aperture, _envelope(samples, count))
            if moves
            else math.nan,
            "aperture_correlation_other": correlation(seen.aperture, _envelope(other, count))
            if moves
            else math.nan,
            **dict.fromkeys(("sync_confidence", "sync_distance", "sync_offset"), math.nan),
        }
        from components.perception.sync import SHORTEST

        if seen.mouths is not None and count >= SHORTEST:
            scores = self.instruments.hear(seen.mouths, samples)
            if scores is not None:
                figures |= {
                    "sync_confidence": scores.confidence,
                    "sync_distance": scores.distance,
                    "sync_offset": float(scores.offset),
                }
        return figures

    def _read(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
        """Of whole pictures (N,H,W,3): unit-length features (N,D) of head, body and scene, and attributes."""
        import torch

        views = self.viewer.look(frames)
        with torch.no_grad():
            seen = self.attributes.net.eyes(*views.tensors())
        features = torch.nn.functional.normalize(torch.cat(list(seen), 1), dim=1)
        return features.numpy(), self.attributes.read(views)

    def _action(self, cut: NDArray[np.uint8], case: Case) -> float:
        """Whether the requested action is recognised; NaN where none is asked for or rules cannot tell it."""
        from components.enhancer.extractor import actions
        from components.perception.actions import FEWEST_LOOKS, RULES, recognise

        wanted = next(iter(actions(case.instruction)), None)
        if wanted not in RULES or wanted in HAND_ACTIONS:
            return math.nan
        places, meshes = [], []
        for index in range(0, len(cut), LOOK):
            face = next(iter(self.instruments.detector.detect(cut[index], tiles=False)), None)
            points = None if face is None else self.instruments.mesh.landmarks(cut[index], face)
            if points is not None:
                places.append(index)
                meshes.append(points)
        if len(places) < FEWEST_LOOKS:
            return math.nan
        found = recognise(np.stack(meshes), np.array(places), FPS, hands=False)
        return float(wanted in {each.name for each in found})


def _pictures(cut: NDArray[np.uint8], reference: dict[str, Any]) -> dict[str, float]:
    """Likeness of the square to the portrait's and, frame by frame, to the real clip's; steadiness."""
    import torch

    from components.evaluation.metrics.functional.copula import copula_similarity
    from components.evaluation.metrics.functional.motion import temporal_flicker
    from components.evaluation.work import compared

    def tensor(frames: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(frames).permute(0, 3, 1, 2).double()

    few = cut[::SAMPLED]
    figures = {
        "csim_copula": float(
            copula_similarity(tensor(few), tensor(np.repeat(reference["picture"], len(few), 0))).mean()
        ),
        "flicker": float(temporal_flicker(tensor(cut))) if len(cut) > 1 else math.nan,
        "psnr": math.nan,
        "ssim": math.nan,
    }
    truth = reference.get("truth")
    if truth is not None:
        count = min(len(truth), len(cut))
        psnr, ssim = compared(cut[:count], truth[:count])
        finite = psnr[np.isfinite(psnr)]
        figures |= {"psnr": float(finite.mean()) if len(finite) else math.nan, "ssim": float(ssim.mean())}
    return figures


def _told(case: Case, reference: dict[str, Any], readings: list[dict[str, Any]]) -> dict[str, float]:
    """Whether the prompt's gaze and gestures, and what the portrait holds, can be seen."""
    from components.enhancer.extractor import cues

    said = cues(case.prompt)
    held = reference["attributes"]["objects"]
    return {
        "gaze_followed": _followed(said.get("gaze", []), [each["gaze"] for each in readings]),
        "gesture_followed": _followed(
            said.get("head", []) + said.get("hands", []),
            [each[name] for each in readings for name in ("head", "hands")],
        ),
        "object_kept": float(np.mean([held[0] in each["objects"] for each in readings]))
        if held
        else math.nan,
    }


def _followed(said: list[str], seen: list[str]) -> float:
    """Share of the prompt's cues that can be seen in some frame; NaN when it says none."""
    wanted = set(said)
    return len(wanted & set(seen)) / len(wanted) if wanted else math.nan


def _likeness(seen: Seen, reference: dict[str, Any]) -> dict[str, float]:
    """Cosine of identity embeddings to the portrait's, its change over time, and steadiness of the person."""
    import torch

    from components.evaluation.metrics.functional.motion import subject_consistency

    own = reference["seen"]
    figures = dict.fromkeys(("face_sim_proxy", "identity_drift", "subject_consistency_proxy"), math.nan)
    if own is None or not len(own.embeddings) or not len(seen.embeddings):
        return figures
    cosines = seen.embeddings @ own.embeddings[0]
    figures["face_sim_proxy"] = 100 * float(cosines.mean())
    third = len(cosines) // 3
    if third:
        figures["identity_drift"] = 100 * float(cosines[-third:].mean() - cosines[:third].mean())
    if len(seen.embeddings) > 1:
        figures["subject_consistency_proxy"] = float(subject_consistency(torch.from_numpy(seen.embeddings)))
    return figures


def _envelope(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    from components.perception.voice import envelope

    return envelope(samples, frames)


def motion_energy(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(T,) mean absolute change of luminance to the frame before, 0 for the first; 0–255."""
    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    change = np.abs(np.diff(grey, axis=0)).mean((1, 2)).astype(np.float64)
    return np.concatenate([[0.0], change])


def peaks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Seconds of local maxima above the mean of a series at 25 fps, smoothed over three frames."""
    if len(values) < 5:
        return np.zeros(0)
    smooth = smoothed(values)
    inner = smooth[1:-1]
    found = np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > smooth.mean())) + 1
    return found / FPS


def smoothed(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T,) mean over three frames."""
    return np.convolve(np.pad(np.asarray(values, np.float64), 1, mode="edge"), np.ones(3) / 3, "valid")


def rhythm(energy: NDArray[np.float64], samples: NDArray[np.float32]) -> float:
    """Beat alignment (motion → sound): peaks of motion energy against onsets of loudness, σ 50 ms.

    NaN without motion or without onsets: nothing to align.
    """
    import torch

    from components.evaluation.metrics.functional.motion import beat_alignment

    loud = _envelope(samples, len(energy))
    motion, sound = peaks(energy), peaks(np.maximum(np.diff(loud, prepend=loud[:1]), 0))
    if not len(motion) or not len(sound):
        return math.nan
    return float(beat_alignment(torch.from_numpy(motion), torch.from_numpy(sound)))
