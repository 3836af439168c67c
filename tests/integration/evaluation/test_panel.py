"""A folder of videos is scored from files: each decoded once, official names only with official weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from components.core import media
from components.core.errors import InputError
from components.evaluation.metrics.functional import psnr, ssim
from components.evaluation.panel import find_clips, score_clips
from components.evaluation.panel.measures import EACH


def footage(frames: int, seed: int) -> np.ndarray:
    """A soft pattern that moves, (T,64,64,3) uint8."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, 3)
    t, y, x = np.mgrid[0:frames, 0:64, 0:64] / 10
    return np.stack([127 + 100 * np.sin(x + p + t) * np.cos(y - p) for p in phase], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for index in range(3):
        frames = footage(20, index)
        noise = np.random.default_rng(9 + index).integers(0, 12, frames.shape, dtype=np.uint8)
        media.write_video(root / "made" / f"{index}.mp4", np.minimum(frames, 240) + noise)
        media.write_video(root / "real" / f"{index}.mp4", frames)
        media.write_image(root / "pictures" / f"{index}.png", frames[0])
    return root


class Features:
    """A network of one number a picture or window, in two features."""

    def __init__(self, name: str) -> None:
        self.name, self.digest = name, "abc"

    def features(self, pictures: torch.Tensor, inside: bool | None = None) -> torch.Tensor:
        flat = pictures.float().flatten(1)
        return torch.stack([flat.mean(1), flat.std(1)], 1)


def rows(result: dict) -> dict[str, dict]:
    return {row["name"]: row for row in result["figures"]}


def test_each_file_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = media.read_video

    def counting(path: Path, **how: object) -> media.Video:
        opened.append(f"{path.parent.name}/{path.name}")
        return plain(path, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(media, "read_video", counting)
    clips = find_clips(folder / "made", folder / "real", folder / "pictures")
    result = score_clips(
        clips, {"inception": Features("inception"), "i3d": Features("i3d"), "dino": Features("dino")}
    )
    assert sorted(opened) == sorted(f"{kind}/{i}.mp4" for kind in ("made", "real") for i in range(3))
    found = rows(result)
    wanted = []
    for index in range(3):
        a, b = (plain(folder / kind / f"{index}.mp4").frames for kind in ("made", "real"))
        a, b = (torch.from_numpy(v).permute(0, 3, 1, 2) for v in (a, b))
        wanted.append((psnr(a, b, 255.0), ssim(a, b, 255.0)))
    assert found["psnr"]["value"] == pytest.approx(float(torch.cat([w[0] for w in wanted]).mean()))
    assert found["ssim"]["value"] == pytest.approx(float(torch.cat([w[1] for w in wanted]).mean()))
    assert found["fid_pytorch-fid"]["network"] == "inception@abc"
    assert found["fvd16_styleganv"]["value"] is not None
    assert found["dino_percent"]["value"] > 90 and found["subject_consistency"]["value"] > 0.9
    # 20 frames cannot fill a window of 128: the figure is missing and says why, for each clip
    missing = found["fvd128_styleganv"]
    assert missing["value"] is None and len(missing["left_out"]) == 3
    assert "only 20" in missing["left_out"][0]
    assert result["protocol"]["clips"] == 3 and result["protocol"]["networks"]["i3d"] == "i3d@abc"
    protocol = result["protocol"]
    assert protocol["picture_networks_see_every_nth_frame"] == EACH
    assert protocol["codec"] == {"generated": ["h264 yuv420p"], "real": ["h264 yuv420p"]}
    assert protocol["frames"] == {"least": 20, "most": 20} and protocol["size"] == ["64×64"]
    assert protocol["seeds"] == "not stated" and found["psnr"]["n"] == 3 and missing["n"] == 0
    for name in ("psnr", "ssim", "csim_copula", "flicker", "dino_percent", "subject_consistency"):
        row = found[name]
        assert row["low"] <= row["value"] <= row["high"] and row["interval"] == "bootstrap over clips"
        assert row["n"] == 3
    for name in ("fid_pytorch-fid", "fvd16_styleganv", "fvd16_common_metrics"):
        assert found[name]["low"] is None and found[name]["interval"].startswith("none: a Fréchet")
    assert protocol["resamples"] == 2000 and protocol["level"] == 0.95 and protocol["bootstrap_seed"] == 0


def test_without_weights_no_official_name_appears(folder: Path) -> None:
    found = rows(score_clips(find_clips(folder / "made", None, None), {}))
    assert not any(
        name.startswith(("fid", "fvd", "sync", "csim_arcface", "dino", "lpips", "iqa")) for name in found
    )
    assert found["psnr"]["value"] is None and found["flicker"]["value"] is not None
    assert found["motion_smoothness_proxy[opencv-dis]"]["network"] == "opencv-dis"


def test_silent_and_faceless_clips_are_left_out_by_name(folder: Path) -> None:
    """The pattern has no face and no sound: Sync-C and CSIM are missing, not numbers that look fine."""
    from components.perception.faces import FaceDetector, FaceMesh

    nobody = SimpleNamespace(name="arcface", digest="abc", embed_frames=lambda f, m: _faces(f, m))
    networks = {
        "syncnet": SimpleNamespace(name="syncnet_v2", digest="abc"), "detector": FaceDetector(),
        "arcface": nobody, "mesh": FaceMesh(),
    }  # fmt: skip
    found = rows(score_clips(find_clips(folder / "made", None, folder / "pictures"), networks))
    assert found["sync"]["value"] is None and "no sound" in found["sync"]["left_out"][0]
    assert found["csim_arcface"]["value"] is None
    assert "no face in the reference" in found["csim_arcface"]["left_out"][0]


def _faces(frames: np.ndarray, meshes: list) -> np.ndarray:
    assert all(mesh is None for mesh in meshes)
    return np.full((len(frames), 4), math.nan, np.float32)


def test_missing_partners_and_empty_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no mp4"):
        find_clips(tmp_path, None, None)
    with pytest.raises(InputError, match=r"no 0.png or .jpg for 0.mp4"):
        find_clips(folder / "made", None, tmp_path)


def test_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from flows.cli import _mount, app

    _mount()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(tmp_path))
    arguments = [
        "metrics",
        str(folder / "made"),
        "--real",
        str(folder / "real"),
        "--seeds",
        "4, 5",
        "--resamples",
        "300",
        "--level",
        "0.8",
        "--bootstrap-seed",
        "9",
        "--out",
        str(tmp_path / "m.json"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "m.json").read_text())
    assert rows(written)["psnr"]["value"] > 20 and written["protocol"]["seeds"] == [4, 5]
    told = written["protocol"]
    assert (told["resamples"], told["level"], told["bootstrap_seed"]) == (300, 0.8, 9)
    wrong = CliRunner().invoke(app, ["metrics", str(folder / "made"), "--level", "95"])
    assert isinstance(wrong.exception, InputError) and "--level" in str(wrong.exception)


def test_another_file_is_refused_unless_its_hash_is_named_and_then_its_figures_say_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights of the official layout: refused by default, taken when their hash is named, never under
    the official name."""
    from components.core.files import digest_file
    from components.core.paths import Workspace
    from components.evaluation.panel import load_networks
    from components.perception.inception import FidInception
    from components.perception.syncnet import SyncNet

    torch.manual_seed(0)
    inception, syncnet = tmp_path / "inception.pth", tmp_path / "syncnet.model"
    torch.save(FidInception().state_dict(), inception)
    torch.save(SyncNet().state_dict(), syncnet)
    workspace = Workspace(tmp_path)
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_INCEPTION", str(inception))
    with pytest.raises(InputError, match=r"weights\.accept\.inception"):
        load_networks(workspace)
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_SYNCNET", str(syncnet))
    named = {"inception": digest_file(inception), "syncnet": digest_file(syncnet)}
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"weights": {"accept": named | {"inception": "0" * 64}}}))
    with pytest.raises(InputError, match="SHA-256"):
        load_networks(workspace)
    params.write_text(json.dumps({"weights": {"accept": {"incepton": "0"}}}))
    with pytest.raises(InputError, match="unknown weights 'incepton'"):
        load_networks(workspace)
    params.write_text(json.dumps({"weights": {"accept": named}}))
    networks = load_networks(workspace)
    result = score_clips(find_clips(folder / "made", folder / "real", None), networks)
    found, label = rows(result), f"inception@{named['inception'][:12]}"
    assert "fid_pytorch-fid" not in found and found[f"fid_pytorch-fid[{label}]"]["network"] == label
    assert any(name.startswith("sync") and "[syncnet_v2@" in name for name in found)
    assert result["protocol"]["weights"]["inception"] == {"state": "accepted", "sha256": named["inception"]}


def test_an_evaluation_reports_official_figures_apart(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.core.paths import Workspace
    from components.evaluation import panel
    from components.evaluation.official_rows import official_rows

    workspace = Workspace(tmp_path)
    evaluation = workspace.artifacts("evaluation")
    for index in range(2):
        for row, source in (("generated", "made"), ("control", "made"), ("ground_truth", "real")):
            target = evaluation / "videos" / f"{index:02d}_{row}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((folder / source / f"{index}.mp4").read_bytes())
        picture = media.read_image(folder / "pictures" / f"{index}.png")
        media.write_image(evaluation / "posters" / f"{index:02d}_reference.jpg", picture)
    assert official_rows(workspace) is None  # no weights, no official name
    networks = {"inception": Features("inception"), "dino": Features("dino")}
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_DINO", "named")
    monkeypatch.setattr(panel, "load_networks", lambda _, statuses=None: networks)
    found = official_rows(workspace)
    assert found is not None and found["protocol"]["networks"]["dino"] == "dino@abc"
    cells = {(row["name"], row["row"]): row["value"] for row in found["rows"]}
    assert cells["fid_pytorch-fid", "generated"] is not None
    assert cells["dino_percent", "ground_truth"] > 90
    row = next(row for row in found["rows"] if (row["name"], row["row"]) == ("dino_percent", "generated"))
    assert row["low"] <= row["value"] <= row["high"] and row["n"] == 2
    assert {name for name, _ in cells} == {"fid_pytorch-fid", "dino_percent", "subject_consistency"}
    assert not any(row == "control" for _, row in cells)  # the same pictures
