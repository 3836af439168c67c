"""Official weights: which exist, the hash each must have, its licence, and where this machine keeps them.

None of them ships with the project and none is ever downloaded by it. A path comes from the environment
(`SYNCDREAMER_WEIGHTS_INCEPTION=/path/file`), from the optional section `weights` of params.yaml, or from a
folder that holds the files under their published names (`SYNCDREAMER_WEIGHTS=/folder`, `weights.folder`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError
from components.core.paths import Workspace
from components.perception.params import WeightsParams

VARIABLE = "SYNCDREAMER_WEIGHTS"


@dataclass(frozen=True)
class Official:
    """One published set of weights.

    file: its published name (a folder for a model of many files). sha256: of that file, None where no hash
    is published; then the digest is recorded but vouched for by nobody. stand_in: what runs without it.
    """

    name: str
    file: str
    sha256: str | None
    licence: str
    source: str
    enables: tuple[str, ...]
    stand_in: str


# The hashes are those of the publishers' release files, as several independent projects pin them.
OFFICIAL: dict[str, Official] = {
    each.name: each
    for each in (
        Official(
            "inception", "pt_inception-2015-12-05-6726825d.pth",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            "Apache-2.0", "github.com/mseitzer/pytorch-fid, release fid_weights",
            ("fid",), "small-identity (fid_proxy)",
        ),
        Official(
            "i3d", "i3d_torchscript.pt",
            "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
            "not stated by its publisher (Kinetics-400 weights of DeepMind: Apache-2.0)",
            "github.com/universome/stylegan-v, frechet_video_distance.py",
            ("fvd16", "fvd128"), "none",
        ),
        Official(
            "syncnet", "syncnet_v2.model",
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            "MIT (code); of the weights not stated", "robots.ox.ac.uk/~vgg/software/lipsync",
            ("sync_c", "sync_d", "sync_offset"), "small-sync (sync_confidence, sync_distance)",
        ),
        Official(
            "arcface", "w600k_r50.onnx",
            "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
            "InsightFace: non-commercial research only", "github.com/deepinsight/insightface, buffalo_l",
            ("csim_arcface", "face_similarity", "identity_drift"), "small-identity (csim_proxy)",
        ),
        Official(
            "dino", "dino_vitbase16_pretrain.pth", None,
            "Apache-2.0", "github.com/facebookresearch/dino",
            ("dino_percent", "subject_consistency"), "small-identity (subject_consistency_proxy)",
        ),
        Official(
            "alexnet", "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            "BSD-3-Clause", "download.pytorch.org/models",
            ("lpips",), "none",
        ),
        Official(
            "qalign", "one-align", None,
            "MIT, on LLaMA-2 (community licence)", "huggingface.co/q-future/one-align",
            ("iqa",), "none",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Status:
    """What is there of one set. state: official (hash as published), unverified (no published hash to hold
    it to), accepted (another hash, which the user named), wrong (another hash), missing (a path is given,
    nothing is there) or absent (no path is given)."""

    official: Official
    state: str
    path: Path | None = None
    digest: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it may be loaded; figures of an accepted one carry its digest in their name."""
        return self.state in ("official", "unverified", "accepted")

    @property
    def label(self) -> str:
        """name@digest, for figures made with it."""
        return f"{self.official.name}@{(self.digest or '')[:12]}"


def configured(workspace: Workspace) -> WeightsParams:
    """The optional section `weights` of params.yaml.

    Raises:
        InputError: params.yaml is not YAML, or the section has an unknown or wrong key or name.
    """
    import yaml
    from pydantic import ValidationError

    path = workspace.root / "params.yaml"
    if not path.exists():
        return WeightsParams()
    try:
        section = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("weights")
        params = WeightsParams.model_validate(section or {})
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(
            f"{path.name}: weights.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        ) from error
    unknown = sorted(set(params.accept) - set(OFFICIAL))
    if unknown:
        raise InputError(
            f"{path.name}: weights.accept: unknown weights {unknown[0]!r}; known are {', '.join(OFFICIAL)}"
        )
    return params


def place_of(
    name: str,
    params: WeightsParams,
    environment: Mapping[str, str] = os.environ,
    root: Path | None = None,
) -> Path | None:
    """Where the weights are said to be (they may not be there), None when nothing names a place.

    Relative paths of params.yaml count from `root`. The environment goes before params.yaml, a path before
    a folder; a folder counts only if it holds the file.
    """
    official = OFFICIAL[name]
    own = environment.get(f"{VARIABLE}_{name.upper()}")
    if own:
        return Path(own)
    said = getattr(params, name)
    if said is not None:
        return (root or Path()) / said
    for folder in (environment.get(VARIABLE), params.folder):
        if folder:
            candidate = (root or Path()) / folder / official.file
            if candidate.exists():
                return candidate
    return None


def check(name: str, path: Path | None, accepted: str | None = None) -> Status:
    """Hashes what lies at `path` and compares it with the published hash, or with the one the user accepts.

    Raises:
        InputError: the name is unknown.
    """
    from components.core.files import digest_file, digest_tree

    if name not in OFFICIAL:
        raise InputError(f"unknown weights {name!r}; known are {', '.join(OFFICIAL)}")
    official = OFFICIAL[name]
    if path is None:
        return Status(official, "absent")
    if not path.exists():
        return Status(official, "missing", path)
    digest = digest_tree(path) if path.is_dir() else digest_file(path)
    if digest == official.sha256:
        return Status(official, "official", path, digest)
    if accepted is not None:  # an accepted hash also pins weights that nobody vouches for
        return Status(official, "accepted" if digest == accepted.lower() else "wrong", path, digest)
    return Status(official, "unverified" if official.sha256 is None else "wrong", path, digest)


def check_all(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> list[Status]:
    """Every set's status, in the order of the table. Raises as `configured`."""
    params = configured(workspace)
    return [
        check(name, place_of(name, params, environment, workspace.root), params.accept.get(name))
        for name in OFFICIAL
    ]


def find(name: str, workspace: Workspace, environment: Mapping[str, str] = os.environ) -> Status | None:
    """The set if it is there and may be used, None if no place is named for it.

    Raises:
        InputError: a place is named but empty, or holds another file than the published one: nothing is
            ever measured with it under the official name.
    """
    params = configured(workspace)
    status = check(name, place_of(name, params, environment, workspace.root), params.accept.get(name))
    if status.state == "absent":
        return None
    if status.state == "missing":
        raise InputError(f"{status.path} is missing; it was named as the weights {name!r}")
    if status.state == "wrong":
        raise InputError(
            f"{status.path} is not {status.official.file}: SHA-256 {status.digest}, published is "
            f"{status.official.sha256 or 'none'}. To measure with it all the same, name that hash in "
            f"params.yaml as weights.accept.{name}; its figures then carry it in their name"
        )
    return status
