"""Official columns of a leaderboard: beside the stand-ins', measured once, missing where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.core.files import read_json, read_parquet
from components.core.media import write_image, write_video, write_wav
from components.core.paths import Workspace
from components.evaluation.comparison import compare as comparing
from components.evaluation.comparison import official, page, table
from components.evaluation.comparison.catalogue import OFFICIAL_FIGURES, entry_of
from components.evaluation.comparison.measures import standard
from components.evaluation.comparison.scoring import Scored
from components.evaluation.comparison.systems import reference_rows
from components.evaluation.metrics.functional import frechet_distance_from_features
from components.evaluation.panel import Bootstrap
from components.evaluation.panel.measures import EACH, network_measures
from components.evaluation.peers.runner import Made
from components.evaluation.suites.case import Case
from components.evaluation.suites.declaration import Suite

FRAMES = 20
BOOTSTRAP = Bootstrap(seed=1, resamples=200)


class Features:
    """A network of mean and spread; counts the pictures or windows it is asked for."""

    def __init__(self, name: str, state: str = "official") -> None:
        self.name, self.digest, self.state, self.sha256 = name, "abc", state, "abc" * 20
        self.asked = 0

    def features(self, pictures: torch.Tensor, inside: bool | None = None) -> torch.Tensor:
        self.asked += len(pictures)
        flat = pictures.float().flatten(1)
        return torch.stack([flat.mean(1), flat.std(1)], 1)


class Ear:
    """SyncNet's part: hears a shift between the pictures' brightness and the loudness of the sound."""

    name, digest, state, sha256 = "syncnet_v2", "def", "official", "def" * 20

    def embeddings(self, faces: np.ndarray, samples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        loud = np.abs(samples[: len(faces) * 640]).reshape(len(faces), -1).mean(1)
        seen = np.linspace(0, 1, len(faces))
        return tuple(torch.tensor(np.stack([x, np.ones_like(x)], 1)) for x in (seen, loud))  # type: ignore


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    made = []
    for number in range(3):
        name = f"portrait-{number:02d}"
        one = Case(name, "portrait", "p", "en", "close-up", "speech", "nod", "P.", FRAMES, tmp_path / "cases")
        rng = np.random.default_rng(number)
        write_image(one.path("image"), rng.integers(0, 256, (48, 40, 3), dtype=np.uint8))
        ramp = np.repeat(np.linspace(0.01, 0.9, FRAMES), 640).astype(np.float32)
        for sound, samples in (("audio", ramp), ("clean", ramp), ("other", ramp[::-1].copy())):
            write_wav(one.path(sound), samples)
        for kind, shade in (("truth", 200 - 20 * number), ("copy", 120)):
            noise = rng.integers(0, 30, (FRAMES, 48, 40, 3), dtype=np.uint8)
            write_video(one.path(kind), np.full_like(noise, shade) + noise, crf=6)
        made.append(one)
    return made


def videos(cases: list[Case], tmp_path: Path) -> list[Scored]:
    """Ours with two seeds (one of the third case is missing), and the reference rows."""
    made = []
    for number, one in enumerate(cases):
        for seed in (1, 2):
            path = tmp_path / "ours" / f"{one.id}-{seed}.mp4"
            noise = np.random.default_rng(10 * number + seed).integers(
                0, 60, (FRAMES, 48, 40, 3), dtype=np.uint8
            )
            write_video(path, noise + np.uint8(60 + 30 * number), crf=6)
            gone = (number, seed) == (2, 2)
            made.append(
                Made("ours", one.id, seed, None if gone else path, "out of time" if gone else "", 1.0, 2.0)
            )
    by_id = {one.id: one for one in cases}
    return [Scored(each, by_id[each.case], {}, {}) for each in made + reference_rows(cases)]


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face is followed everywhere."""
    from components.perception import faces, sync

    monkeypatch.setattr(faces, "track_face", lambda frames, detector, stride: list(frames))
    monkeypatch.setattr(sync, "syncnet_crops", lambda frames, track: frames)


def board(result: official.Official) -> dict[tuple[str, str], dict]:
    return {(row["system"], row["name"]): row for row in result.rows}


def test_every_system_is_measured_once_and_compared(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, followed: None
) -> None:
    workspace, scored = Workspace(tmp_path), videos(cases, tmp_path)
    inception, i3d, dino = (Features(name) for name in ("inception", "i3d", "dino"))
    nets = {"inception": inception, "i3d": i3d, "dino": dino, "syncnet": Ear(), "detector": None}
    monkeypatch.setattr(official, "load_networks", lambda workspace, statuses: nets)
    result = official.official_board(scored, workspace, {}, "ours", BOOTSTRAP)
    found = board(result)

    def pictures(path: Path) -> torch.Tensor:
        frames = standard(path, None, FRAMES)[::EACH]
        return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)

    def features(paths: list[Path]) -> torch.Tensor:
        return Features("x").features(torch.cat([pictures(path) for path in paths])).double()

    ours = [one.made.video for one in scored if one.made.system == "ours" and one.made.video]
    wanted = frechet_distance_from_features(features([c.path("truth") for c in cases]), features(ours))
    fid = found["ours", "fid_pytorch-fid"]
    assert fid["value"] == pytest.approx(float(wanted), rel=1e-4)  # the real clip of a case counts once
    assert fid["n"] == 3 and fid["low"] is None and fid["interval"].startswith("none: a Fréchet")
    assert found["ground_truth", "fid_pytorch-fid"]["value"] is None
    assert found["ours", "fvd16_styleganv"]["value"] is not None
    short = found["ours", "fvd128_styleganv"]
    assert short["value"] is None and "only 20" in short["left_out"][0]

    own, still = found["ours", "dino_percent"], found["still", "dino_percent"]
    assert own["low"] <= own["value"] <= own["high"] and own["n"] == 3 and own["network"] == "dino@abc"
    assert still["pairs"] == 3 and still["difference"] == pytest.approx(
        still["value"] - own["value"], rel=1e-3
    )
    real, control = (
        found[name, "sync.confidence"]["value"] for name in ("ground_truth", "ground_truth_control")
    )
    assert real != control and found["ground_truth_control", "sync.confidence"]["n"] == 3
    # the real clip with another sound can differ from itself in nothing but sync
    assert {name for system, name in found if system == "ground_truth_control"} == {
        name for name in OFFICIAL_FIGURES if name.startswith("sync.")
    }
    assert result.protocol["weights"]["dino"] == {"state": "official", "sha256": "abc" * 20}

    asked = (inception.asked, i3d.asked, dino.asked)
    again = official.official_board(scored, workspace, {}, "ours", BOOTSTRAP)
    assert (inception.asked, i3d.asked, dino.asked) == asked and again.rows == result.rows
    # four pictures each of ours (5 videos), still, other footage and, once a case, the real clip
    assert inception.asked == 4 * (5 + 3 + 3 + 3)
    del nets["dino"]
    nets["dino"] = Features("dino", "accepted")
    nets["dino"].digest = "777"
    other = board(official.official_board(scored, workspace, {}, "ours", BOOTSTRAP))
    assert nets["dino"].asked and inception.asked == asked[0]  # only the new network looks
    assert ("ours", "dino_percent") not in other
    assert other["ours", "dino_percent[dino@777]"]["value"] == own["value"]
    assert entry_of("dino_percent[dino@777]").title == "DINO%"


def test_what_cannot_be_measured_is_missing_with_its_reason(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No face anywhere: Sync-C is missing, and a network of another program is asked again."""
    from components.perception.faces import FaceDetector

    class Judge:
        name, digest, fails = "qalign", "1", True

        def logits(self, pictures: np.ndarray) -> np.ndarray:
            if self.fails:
                raise InputError("qalign_worker.py failed with status 1: out of memory")
            return np.tile([1.0, 0, 0, 0, 0], (len(pictures), 1))

    judge = Judge()
    nets = {"syncnet": Ear(), "detector": FaceDetector(), "qalign": judge}
    monkeypatch.setattr(official, "load_networks", lambda workspace, statuses: nets)
    workspace, scored = Workspace(tmp_path), videos(cases, tmp_path)
    found = board(official.official_board(scored, workspace, {}, "ours", BOOTSTRAP))
    sync = found["ours", "sync.confidence"]
    assert sync["value"] is None and sync["n"] == 0 and "no face can be followed" in sync["left_out"][0]
    assert "out of memory" in found["ours", "iqa"]["left_out"][0]
    judge.fails = False
    found = board(official.official_board(scored, workspace, {}, "ours", BOOTSTRAP))
    assert found["ours", "iqa"]["value"] == pytest.approx((np.e + 1.5) / (np.e + 4))


def test_every_figure_of_the_networks_has_a_place(cases: list[Case]) -> None:
    from components.perception.perceptual import AlexNetFeatures, Perceptual, channel_weights

    nets = {name: Features(name) for name in ("inception", "i3d", "syncnet", "arcface", "dino", "qalign")}
    nets["alexnet"] = Perceptual(AlexNetFeatures(), channel_weights(), "1")  # type: ignore[assignment]
    measured = {each.name for each in network_measures(nets, 25.0)}
    assert measured == {name.partition(".")[0] for name in OFFICIAL_FIGURES}


def test_the_page_shows_them_in_tables_of_their_own() -> None:
    case = Case("a", "portrait", "p", "en", "close-up", "speech", "nod", "P.", 10, Path())
    scored = [Scored(Made("ours", "a", 1, Path("v.mp4"), "", 1.0, 1.0), case, {"sync_confidence": 3.0}, {})]
    rows = table.leaderboard(scored, 0, 100, 0.95, "ours")
    label = "syncnet_v2@abc"
    mine = {"system": "ours", "value": 7.0, "low": None, "high": None, "n": 1, "network": label}
    official_rows = [mine | {"name": name} for name in ("sync.confidence", f"sync.distance[{label}]")]
    standing, measured = page.tables(rows, {"ours": "Ours"}, official_rows)[:2]
    assert (standing["title"], measured["title"]) == ("Lips and sound", "Lips and sound, official networks")
    assert [column["title"] for column in standing["columns"]] == ["Sync confidence"]
    assert [(column["title"], column["network"]) for column in measured["columns"]] == [
        ("Sync-C", label), ("Sync-D", f"not the published file: {label}"),
    ]  # fmt: skip
    assert [each["lines"][0]["cells"][0]["value"] for each in (standing, measured)] == ["3", "7"]
    without = page.tables(rows, {"ours": "Ours"})
    assert all("official" not in each["title"] for each in without)
    assert all(column["network"] is None for each in without for column in each["columns"])


def test_compare_writes_them_and_refuses_a_wrong_file_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, data, given = Workspace(tmp_path / "work"), tmp_path / "data", tmp_path / "given"
    for name in "ab":
        noise = (0.1 * np.random.default_rng(1).standard_normal(40 * 640)).astype(np.float32)
        write_video(data / f"{name}.mp4", np.full((40, 32, 32, 3), 90, np.uint8), noise)
        write_video(given / f"portrait-{'ab'.index(name):02d}.mp4", np.full((40, 32, 32, 3), 50, np.uint8))
    suite = Suite.model_validate(
        {"title": "Two", "name": "two", "seeds": [4], "groups": [{"kind": "portrait", "clips": [
            {"video": f"{name}.mp4", "prompt": "P."} for name in "ab"]}]}
    )  # fmt: skip
    request = comparing.Request(suite, videos={"theirs": given}, data=data, ours=False, resamples=200)
    (tmp_path / "net.pth").write_bytes(b"another file")
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_DINO", str(tmp_path / "net.pth"))
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_INCEPTION", str(tmp_path / "net.pth"))
    with pytest.raises(InputError, match=r"SHA-256 .* weights\.accept\.inception"):
        comparing.compare(request, workspace, tmp_path / "out")
    assert not (workspace.root / "state" / "compare").exists()

    monkeypatch.delenv("SYNCDREAMER_WEIGHTS_INCEPTION")
    monkeypatch.setattr(official, "load_networks", lambda workspace, statuses: {
        name: Features(name, status.state) for name, status in statuses.items()})  # fmt: skip
    nets = {
        "mesh": "m",
        "sync": "small-sync@1",
        "identity": "small-identity@1",
        "attributes": "a@1",
        "faces": "f",
    }
    monkeypatch.setattr(comparing, "networks", lambda workspace: nets)
    monkeypatch.setattr(
        comparing, "score",
        lambda made, cases, w, options, workers: [
            Scored(one, case, {"dino_proxy": 40.0, "sync_confidence": 5.0}, {})
            for one in made for case in cases if case.id == one.case],
    )  # fmt: skip
    result = comparing.compare(request, workspace, tmp_path / "out")
    assert result["official"]["protocol"]["weights"]["dino"]["state"] == "unverified"
    names = {row["name"] for row in result["official"]["rows"]}
    assert names == {"dino_percent", "subject_consistency"}
    assert not names & {row["name"] for row in result["rows"]}  # never merged
    assert read_json(tmp_path / "out" / "leaderboard.json")["official"] == result["official"]
    items = read_parquet(tmp_path / "out" / "items.parquet")
    control = items["system"] == "ground_truth_control"
    assert (items["official.dino_percent"].notna() == ~control).all() and (items["dino_proxy"] == 40).all()
    text = (tmp_path / "out" / "index.html").read_text()
    assert "dino@abc" in text and "DINO%, stand-in" in text and "unverified" in text
