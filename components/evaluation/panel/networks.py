"""Which official networks this machine has: verified, loaded, and how their figures are labelled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.core.paths import Workspace
    from components.perception.official import Status

FID_CONVENTION = "pytorch-fid"


def given(workspace: Workspace) -> dict[str, Status]:
    """The official weights that are there and may be used, by name; nothing is loaded.

    Raises:
        InputError: a place is named for weights that are not there or not the published ones.
    """
    from components.perception import official

    found = {name: official.find(name, workspace) for name in official.OFFICIAL}
    return {name: status for name, status in found.items() if status is not None}


def load_networks(workspace: Workspace, statuses: Mapping[str, Status] | None = None) -> dict[str, Any]:
    """The official networks, by name of `official.OFFICIAL`, and the finders of faces that they need.

    Args:
        statuses: what `given` said, if it was asked before (hashing large weights takes a while).

    Raises:
        InputError: as `given`; or a file does not hold exactly its network's tensors.
    """
    networks: dict[str, Any] = {}
    for name, status in (given(workspace) if statuses is None else statuses).items():
        assert status.path is not None
        if name == "inception":
            from components.perception.inception import InceptionFeatures

            networks[name] = InceptionFeatures.official(status, FID_CONVENTION)
        elif name == "i3d":
            from components.perception.video_features import VideoFeatures

            networks[name] = VideoFeatures.official(status)
        elif name == "syncnet":
            from components.perception.faces import FaceDetector
            from components.perception.sync import OfficialSync

            networks[name] = OfficialSync(status.path)
            networks["detector"] = FaceDetector()
        elif name == "arcface":
            from components.perception.arcface import ArcFace
            from components.perception.faces import FaceMesh

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

            networks[name] = QAlign.official(status, _interpreter(workspace))
        networks[name].state, networks[name].sha256 = status.state, status.digest
    return networks


def _interpreter(workspace: Workspace) -> Path | None:
    from components.perception.official import configured

    python = configured(workspace).qalign_python
    return None if python is None else workspace.root / python


def network_labels(networks: Mapping[str, Any]) -> dict[str, str]:
    """name@digest of each measuring network (a finder of faces carries none)."""
    return {name: f"{n.name}@{n.digest}" for name, n in networks.items() if hasattr(n, "digest")}


def accepted_labels(networks: Mapping[str, Any]) -> set[str]:
    """Labels of networks whose file is not the published one but was named by its hash."""
    labels = network_labels(networks)
    return {label for name, label in labels.items() if getattr(networks[name], "state", "") == "accepted"}


def network_protocol(networks: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader must know of the networks' inputs, and which files measured."""
    from components.evaluation.panel.measures import EACH

    labels = network_labels(networks)
    return {
        "picture_networks_see_every_nth_frame": EACH, "fid_input": FID_CONVENTION,
        "fvd_window": "the first 16 or 128 frames", "csim_alignment": "mediapipe mesh, 5 points",
        "networks": labels,
        "weights": {
            name: {what: getattr(networks[name], what, "") for what in ("state", "sha256")} for name in labels
        },
    }  # fmt: skip
