"""The metrics of a set of clips without stand-ins: what needs no network, and what official weights allow.

Every clip is decoded once; all metrics see the same frames. A metric whose weights are not on this machine is
listed as missing with the reason, it never falls back to another network under the same name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from components.core.media import Video
    from components.core.paths import Workspace

WINDOWS = (16, 128)
FVD_CONVENTIONS = ("styleganv", "common_metrics")
FID_CONVENTION = "pytorch-fid"
EACH = 5
"""Every n-th frame goes to the networks that look at single pictures."""


@dataclass(frozen=True)
class Clip:
    """A clip to score: the generated file and, where there are, the real one and the reference picture."""

    name: str
    generated: Path
    real: Path | None = None
    reference: Path | None = None


@dataclass
class Panel:
    """Accumulates clips; `compute` gives one row a metric.

    Args:
        networks: what `load_networks` found. fps: of all clips.
    """

    networks: Mapping[str, Any]
    fps: float = 25.0
    metrics: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from components.evaluation import metrics as m
        from components.perception.flow import NAME

        self.metrics = {
            "psnr": m.PeakSignalNoiseRatio(255.0),
            "ssim": m.StructuralSimilarity(255.0),
            "csim_copula": m.CopulaSimilarity(),
            "flicker": m.TemporalFlicker(),
            f"motion_smoothness_proxy[{NAME}]": m.MotionSmoothness(NAME),
            f"dynamic_degree_proxy[{NAME}]": m.DynamicDegree(NAME),
        }
        labels = network_labels(self.networks)
        if "inception" in self.networks:
            self.metrics[f"fid_{FID_CONVENTION}"] = m.FrechetDistance(labels["inception"])
        if "i3d" in self.networks:
            for frames in WINDOWS:
                for convention in FVD_CONVENTIONS:
                    key = f"fvd{frames}_{convention}"
                    self.metrics[key] = m.FrechetVideoDistance(labels["i3d"], convention, frames)
        if "syncnet" in self.networks:
            self.metrics["sync"] = m.SyncScore(labels["syncnet"])
        if "arcface" in self.networks:
            self.metrics["csim_arcface"] = m.ArcFaceSimilarity(labels["arcface"])
            self.metrics["face_similarity"] = m.FaceSimilarity(labels["arcface"])
            self.metrics["identity_drift"] = m.IdentityDrift(labels["arcface"], self.fps / EACH)
        if "dino" in self.networks:
            self.metrics["dino_percent"] = m.DinoPercent(labels["dino"])
            self.metrics["subject_consistency"] = m.SubjectConsistency(labels["dino"])
        if "alexnet" in self.networks:
            self.metrics["lpips"] = m.LearnedPerceptualSimilarity(self.networks["alexnet"])
        if "qalign" in self.networks:
            self.metrics["iqa"] = m.PictureQuality(labels["qalign"])

    def add(
        self, name: str, made: Video, real: Video | None = None, reference: NDArray[np.uint8] | None = None
    ) -> None:
        """Adds a clip by its decoded video, the real one and the reference picture (H,W,3), if any.

        What a metric cannot measure on this clip is kept as a reason; the others still count it.
        """
        for metric, measure in self._measures(made, real, reference).items():
            try:
                measure()
                self.counts[metric] = self.counts.get(metric, 0) + 1
            except InputError as error:
                self.reasons.setdefault(metric, []).append(f"{name}: {error}")

    def _measures(
        self, made: Video, real: Video | None, reference: NDArray[np.uint8] | None
    ) -> dict[str, Any]:
        """What each metric does with a clip."""
        from components.evaluation.metrics.functional import fvd_input, video_window
        from components.perception import flow

        frames, few = _tensor(made.frames), made.frames[::EACH]
        m, nets = self.metrics, self.networks
        smooth, dynamic = (f"{kind}_proxy[{flow.NAME}]" for kind in ("motion_smoothness", "dynamic_degree"))
        todo: dict[str, Any] = {
            "flicker": lambda: m["flicker"].update(frames),
            smooth: lambda: m[smooth].update(frames, _tensor(flow.in_between(made.frames))),
            dynamic: lambda: m[dynamic].update(
                _torch(flow.flow(flow.sampled(made.frames, self.fps))), self.fps
            ),
        }
        if real is not None:
            truth = _tensor(real.frames)
            todo["psnr"] = lambda: m["psnr"].update(*_same(frames, truth))
            todo["ssim"] = lambda: m["ssim"].update(*_same(frames, truth))
            if "lpips" in m:
                todo["lpips"] = lambda: m["lpips"].update(*(x[::EACH] / 255 for x in _same(frames, truth)))
            fid = f"fid_{FID_CONVENTION}"
            if fid in m:
                todo[fid] = lambda: [
                    m[fid].update(nets["inception"].features(part[::EACH]), real=side)
                    for part, side in ((frames, False), (truth, True))
                ]

            def video(metric: Any) -> None:
                inside = metric.convention == "styleganv"
                both = [
                    fvd_input(video_window(part, metric.frames), metric.convention)[None]
                    for part in (frames, truth)
                ]  # both sides are checked before either is added
                for part, side in zip(both, (False, True), strict=True):
                    metric.update(nets["i3d"].features(part, inside), real=side)

            for key in [key for key in m if key.startswith("fvd")]:
                todo[key] = lambda key=key: video(m[key])
        if "sync" in m:
            todo["sync"] = lambda: self._sync(made)
        if reference is not None:
            todo |= self._likeness(made, few, reference)
        elif "subject_consistency" in m:
            todo["subject_consistency"] = lambda: m["subject_consistency"].update(
                nets["dino"].features(_tensor(few))
            )
        if "iqa" in m:
            todo["iqa"] = lambda: m["iqa"].update(_torch(nets["qalign"].logits(few)))
        return todo

    def _likeness(self, made: Video, few: NDArray[np.uint8], reference: NDArray[np.uint8]) -> dict[str, Any]:
        m, nets = self.metrics, self.networks

        def copula() -> None:
            if reference.shape != few.shape[1:]:
                raise InputError(f"reference {reference.shape} and frames {few.shape[1:]} differ in size")
            m["csim_copula"].update(_tensor(few), _tensor(np.repeat(reference[None], len(few), 0)))

        todo: dict[str, Any] = {"csim_copula": copula}
        if "arcface" in nets:
            faces: list[torch.Tensor] = []

            def face(metric: str) -> None:
                if not faces:
                    faces.extend(self._faces(part) for part in (few, reference[None]))
                m[metric].update(faces[0], faces[1][0])

            for key in ("csim_arcface", "face_similarity", "identity_drift"):
                todo[key] = lambda key=key: face(key)
        if "dino" in nets:

            def dino() -> None:
                tokens = nets["dino"].features(_tensor(few))
                m["dino_percent"].update(tokens, nets["dino"].features(_tensor(reference[None]))[0])
                m["subject_consistency"].update(tokens)

            todo["dino_percent"] = dino
        return todo

    def _faces(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        meshes = [self.networks["mesh"].landmarks(picture) for picture in pictures]
        return _torch(self.networks["arcface"].embed_frames(pictures, meshes))

    def _sync(self, made: Video) -> None:
        from components.perception.faces import track_face
        from components.perception.sync import syncnet_crops

        if made.samples is None:
            raise InputError("no sound")
        if abs(self.fps - 25) > 0.01:
            raise InputError(f"SyncNet takes 25 frames a second, the clip has {self.fps:g}")
        track = track_face(made.frames, self.networks["detector"], stride=3)
        if track is None:
            raise InputError("no face can be followed")
        net = self.networks["syncnet"]
        self.metrics["sync"].update(*net.embeddings(syncnet_crops(made.frames, track), made.samples))

    def compute(self) -> list[dict[str, Any]]:
        """One row a figure: name, value (null where it is missing), n (clips that count), network, and why
        clips are left out."""
        rows = []
        own = {label: f"[{label}]" for label in accepted_labels(self.networks)}
        for name, metric in self.metrics.items():
            reasons = self.reasons.get(name, [])
            try:
                value = metric.compute() if metric.update_called else {}
            except InputError as error:
                value, reasons = {}, [*reasons, str(error)]
            figures = value if isinstance(value, dict) else {"": value}
            for key, each in (figures or {"": math.nan}).items():
                number = float(each)
                rows.append(
                    {
                        "name": (f"{name}.{key}" if key else name)
                        + own.get(getattr(metric, "network", None) or "", ""),
                        "value": number if math.isfinite(number) else None,
                        "infinite": math.isinf(number),
                        "n": self.counts.get(name, 0),
                        "network": getattr(metric, "network", None),
                        "left_out": reasons,
                    }
                )
        return rows


def network_labels(networks: Mapping[str, Any]) -> dict[str, str]:
    """name@digest of each measuring network (a finder of faces carries none)."""
    return {name: f"{n.name}@{n.digest}" for name, n in networks.items() if hasattr(n, "digest")}


def accepted_labels(networks: Mapping[str, Any]) -> set[str]:
    """Labels of networks whose file is not the published one but was named by its hash."""
    labels = network_labels(networks)
    return {label for name, label in labels.items() if getattr(networks[name], "state", "") == "accepted"}


def _torch(array: NDArray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(array))


def _tensor(frames: NDArray[np.uint8]) -> torch.Tensor:
    """(T,H,W,3) uint8 → (T,3,H,W) uint8."""
    return _torch(frames).permute(0, 3, 1, 2)


def _same(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both cut to the shorter one.

    Raises:
        InputError: the pictures differ in size.
    """
    if a.shape[1:] != b.shape[1:]:
        raise InputError(f"pictures of different sizes: {tuple(a.shape[1:])} and {tuple(b.shape[1:])}")
    count = min(len(a), len(b))
    return a[:count], b[:count]


def load_networks(workspace: Workspace) -> dict[str, Any]:
    """The official networks whose weights this machine has, by name of `official.OFFICIAL`, and helpers.

    Raises:
        InputError: a place is named for weights that are not there or not the published ones.
    """
    from components.perception import official
    from components.perception.faces import FaceDetector, FaceMesh

    networks: dict[str, Any] = {}
    for name in official.OFFICIAL:
        status = official.find(name, workspace)
        if status is None:
            continue
        if name == "inception":
            from components.perception.inception import InceptionFeatures

            networks[name] = InceptionFeatures.official(status, FID_CONVENTION)
        elif name == "i3d":
            from components.perception.video_features import VideoFeatures

            networks[name] = VideoFeatures.official(status)
        elif name == "syncnet":
            from components.perception.sync import OfficialSync

            assert status.path is not None
            networks[name] = OfficialSync(status.path)
            networks["detector"] = FaceDetector()
        elif name == "arcface":
            from components.perception.arcface import ArcFace

            networks[name] = ArcFace.official(status)
            networks["mesh"] = FaceMesh()
        elif name == "dino":
            from components.perception.dino import DinoFeatures

            networks[name] = DinoFeatures.official(status)
        elif name == "alexnet":
            from components.perception.perceptual import Perceptual

            networks[name] = Perceptual.official(status)
        elif name == "qalign":
            from components.perception.qalign import QAlign

            python = official.configured(workspace).qalign_python
            networks[name] = QAlign.official(status, None if python is None else workspace.root / python)
        networks[name].state, networks[name].sha256 = status.state, status.digest
    return networks


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
    clips: Sequence[Clip], networks: Mapping[str, Any], seeds: Sequence[int] = ()
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
    panel: Panel | None = None
    decoded: dict[Path, Video] = {}
    codecs: dict[str, set[str]] = {"generated": set(), "real": set()}
    sizes: set[str] = set()
    lengths: list[int] = []
    for clip in clips:
        made = read_video(clip.generated)
        codecs["generated"].add(made.codec)
        sizes.add(f"{made.frames.shape[2]}×{made.frames.shape[1]}")
        lengths.append(len(made.frames))
        panel = panel or Panel(networks, made.fps)
        if abs(made.fps - panel.fps) > 0.01:
            raise InputError(f"{clip.generated}: {made.fps:g} frames a second, the others have {panel.fps:g}")
        if clip.real is not None and clip.real not in decoded:
            decoded = {clip.real: read_video(clip.real, audio=False)}  # the last one: roles may share it
        real = decoded[clip.real] if clip.real is not None else None
        if real is not None:
            codecs["real"].add(real.codec)
        panel.add(clip.name, made, real, None if clip.reference is None else read_image(clip.reference))
    assert panel is not None
    protocol = {
        "clips": len(clips), "fps": panel.fps, "frames": {"least": min(lengths), "most": max(lengths)},
        "crop": "none: whole frames as they are, generated and real alike", "size": sorted(sizes),
        "codec": {side: sorted(names) for side, names in codecs.items() if names},
        "seeds": list(seeds) or "not stated",
        "picture_networks_see_every_nth_frame": EACH, "fid_input": FID_CONVENTION,
        "fvd_window": "the first 16 or 128 frames", "csim_alignment": "mediapipe mesh, 5 points",
        "networks": network_labels(networks),
        "weights": {
            name: {what: getattr(networks[name], what, "") for what in ("state", "sha256")}
            for name in network_labels(networks)
        },
    }  # fmt: skip
    return {"protocol": protocol, "figures": panel.compute()}
