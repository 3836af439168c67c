"""What each metric asks of one clip: pictures and sound go in, the state of a torchmetrics metric comes out.

Networks see a video once, however many metrics read their features. A metric that cannot measure a clip says
why; the others still count it. A metric whose weights are not on this machine does not exist here: it never
falls back to another network under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.evaluation.panel.networks import FID_CONVENTION, network_labels
from components.evaluation.panel.states import State, state_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

WINDOWS = (16, 128)
FVD_CONVENTIONS = ("styleganv", "common_metrics")
EACH = 5
"""Every n-th frame goes to the networks that look at single pictures."""


class View:
    """A video (T,H,W,3) uint8, its sound (N,) at 16 kHz if any, and what networks said of it, asked once."""

    def __init__(self, frames: NDArray[np.uint8], samples: NDArray[np.float32] | None = None) -> None:
        self.frames = frames
        self.samples = samples
        self.few = frames[::EACH]
        self._known: dict[str, Any] = {}

    def once(self, key: str, make: Callable[[View], Any]) -> Any:
        """What `make` gives for this view, made at the first call with this key."""
        if key not in self._known:
            self._known[key] = make(self)
        return self._known[key]


@dataclass(frozen=True)
class Scene:
    """A clip to measure: the made video and, where there are, the real one and the reference picture."""

    made: View
    real: View | None = None
    reference: View | None = None


@dataclass(frozen=True)
class Measure:
    """A metric and how it is fed with one clip.

    network: key of the networks that measure, None where none does. needs: what a scene must have, else the
    metric says nothing of it. of_set: a distance of sets, which one clip has no figure of.
    """

    name: str
    metric: Any
    add: Callable[[Scene], None]
    network: str | None = None
    needs: tuple[str, ...] = ()
    of_set: bool = False


@dataclass(frozen=True)
class Parts:
    """Of one clip: metric → its state after this clip alone, and metric → why it could not measure it."""

    states: dict[str, State] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def measure(scene: Scene, wanted: Iterable[Measure]) -> Parts:
    """What a clip adds to each metric."""
    parts = Parts()
    for each in wanted:
        if any(getattr(scene, need) is None for need in each.needs):
            continue
        each.metric.reset()
        try:
            each.add(scene)
        except InputError as error:
            parts.reasons[each.name] = str(error)
        else:
            parts.states[each.name] = state_of(each.metric)
    return parts


def plain_measures(fps: float) -> list[Measure]:
    """Metrics that need no network."""
    from components.evaluation import metrics as m
    from components.perception import flow

    smooth, dynamic = m.MotionSmoothness(flow.NAME), m.DynamicDegree(flow.NAME)
    psnr, ssim = m.PeakSignalNoiseRatio(255.0), m.StructuralSimilarity(255.0)
    copula, flicker = m.CopulaSimilarity(), m.TemporalFlicker()

    def alike(scene: Scene) -> None:
        few, picture = scene.made.few, _reference(scene).frames
        if picture.shape[1:] != few.shape[1:]:
            raise InputError(f"reference {picture.shape[1:]} and frames {few.shape[1:]} differ in size")
        copula.update(_tensor(few), _tensor(np.repeat(picture, len(few), 0)))

    def moving(scene: Scene) -> None:
        dynamic.update(_torch(flow.flow(flow.sampled(scene.made.frames, fps))), fps)

    def even(scene: Scene) -> None:
        smooth.update(_tensor(scene.made.frames), _tensor(flow.in_between(scene.made.frames)))

    return [
        Measure("psnr", psnr, lambda scene: psnr.update(*_pairs(scene)), needs=("real",)),
        Measure("ssim", ssim, lambda scene: ssim.update(*_pairs(scene)), needs=("real",)),
        Measure("csim_copula", copula, alike, needs=("reference",)),
        Measure("flicker", flicker, lambda scene: flicker.update(_tensor(scene.made.frames))),
        Measure(f"motion_smoothness_proxy[{flow.NAME}]", smooth, even),
        Measure(f"dynamic_degree_proxy[{flow.NAME}]", dynamic, moving),
    ]


def network_measures(networks: Mapping[str, Any], fps: float) -> list[Measure]:
    """Metrics of the networks that are there (`load_networks`)."""
    labels = network_labels(networks)
    builders: dict[str, Callable[[Mapping[str, Any], str, float], list[Measure]]] = {
        "inception": _fid, "i3d": _fvd, "syncnet": _sync, "arcface": _faces, "dino": _dino,
        "alexnet": _lpips, "qalign": _quality,
    }  # fmt: skip
    return [
        each
        for name, build in builders.items()
        if name in networks
        for each in build(networks, labels[name], fps)
    ]


def _fid(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import FrechetDistance

    metric, net = FrechetDistance(label), networks["inception"]

    def add(scene: Scene) -> None:
        for view, side in ((scene.made, False), (_real(scene), True)):
            metric.update(view.once("inception", lambda v: net.features(_tensor(v.few))), real=side)

    return [Measure(f"fid_{FID_CONVENTION}", metric, add, "inception", ("real",), of_set=True)]


def _fvd(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import FrechetVideoDistance
    from components.evaluation.metrics.functional import fvd_input, video_window

    def features(view: View, frames: int, convention: str) -> torch.Tensor:
        ready = fvd_input(video_window(_tensor(view.frames), frames), convention)[None]
        return networks["i3d"].features(ready, convention == "styleganv")

    def one(frames: int, convention: str) -> Measure:
        metric = FrechetVideoDistance(label, convention, frames)
        name = f"fvd{frames}_{convention}"

        def add(scene: Scene) -> None:
            for view, side in ((scene.made, False), (_real(scene), True)):
                metric.update(view.once(name, lambda v: features(v, frames, convention)), real=side)

        return Measure(name, metric, add, "i3d", ("real",), of_set=True)

    return [one(frames, convention) for frames in WINDOWS for convention in FVD_CONVENTIONS]


def _sync(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import SyncScore

    metric = SyncScore(label)

    def add(scene: Scene) -> None:
        from components.perception.faces import track_face
        from components.perception.sync import syncnet_crops

        frames, samples = scene.made.frames, scene.made.samples
        if samples is None:
            raise InputError("no sound")
        if abs(fps - 25) > 0.01:
            raise InputError(f"SyncNet takes 25 frames a second, the clip has {fps:g}")
        track = track_face(frames, networks["detector"], stride=3)
        if track is None:
            raise InputError("no face can be followed")
        metric.update(*networks["syncnet"].embeddings(syncnet_crops(frames, track), samples))

    return [Measure("sync", metric, add, "syncnet")]


def _faces(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation import metrics as m

    def embedded(view: View) -> torch.Tensor:
        meshes = [networks["mesh"].landmarks(picture) for picture in view.few]
        return _torch(networks["arcface"].embed_frames(view.few, meshes))

    def one(name: str, metric: Any) -> Measure:
        def add(scene: Scene) -> None:
            seen, own = (view.once("arcface", embedded) for view in (scene.made, _reference(scene)))
            metric.update(seen, own[0])

        return Measure(name, metric, add, "arcface", ("reference",))

    return [
        one("csim_arcface", m.ArcFaceSimilarity(label)),
        one("face_similarity", m.FaceSimilarity(label)),
        one("identity_drift", m.IdentityDrift(label, fps / EACH)),
    ]


def _dino(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import DinoPercent, SubjectConsistency

    percent, consistency = DinoPercent(label), SubjectConsistency(label)

    def tokens(view: View) -> torch.Tensor:
        return view.once("dino", lambda v: networks["dino"].features(_tensor(v.few)))

    return [
        Measure(
            "dino_percent", percent,
            lambda scene: percent.update(tokens(scene.made), tokens(_reference(scene))[0]),
            "dino", ("reference",),
        ),
        Measure(
            "subject_consistency", consistency, lambda scene: consistency.update(tokens(scene.made)), "dino"
        ),
    ]  # fmt: skip


def _lpips(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import LearnedPerceptualSimilarity

    metric = LearnedPerceptualSimilarity(networks["alexnet"])

    def add(scene: Scene) -> None:
        metric.update(*(part[::EACH] / 255 for part in _pairs(scene)))

    return [Measure("lpips", metric, add, "alexnet", ("real",))]


def _quality(networks: Mapping[str, Any], label: str, fps: float) -> list[Measure]:
    from components.evaluation.metrics import PictureQuality

    metric = PictureQuality(label)

    def add(scene: Scene) -> None:
        metric.update(_torch(networks["qalign"].logits(scene.made.few)))

    return [Measure("iqa", metric, add, "qalign")]


def _real(scene: Scene) -> View:
    assert scene.real is not None
    return scene.real


def _reference(scene: Scene) -> View:
    assert scene.reference is not None
    return scene.reference


def _torch(array: NDArray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(array))


def _tensor(frames: NDArray[np.uint8]) -> torch.Tensor:
    """(T,H,W,3) uint8 → (T,3,H,W) uint8."""
    return _torch(frames).permute(0, 3, 1, 2)


def _pairs(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    """Made and real pictures, both cut to the shorter video.

    Raises:
        InputError: the pictures differ in size.
    """
    a, b = _tensor(scene.made.frames), _tensor(_real(scene).frames)
    if a.shape[1:] != b.shape[1:]:
        raise InputError(f"pictures of different sizes: {tuple(a.shape[1:])} and {tuple(b.shape[1:])}")
    count = min(len(a), len(b))
    return a[:count], b[:count]
