"""Official weights: the right file is found and vouched for, a wrong one never gets the official name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.core.errors import InputError
from components.core.paths import Workspace
from components.perception import official
from components.perception.params import WeightsParams


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return Workspace(tmp_path)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Makes some bytes the published ones of `syncnet`."""
    content = b"published"
    entry = dataclasses.replace(official.OFFICIAL["syncnet"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(official.OFFICIAL, "syncnet", entry)
    return content


def test_the_table_is_complete() -> None:
    fields = set(WeightsParams.model_fields) - {"folder", "qalign_python", "accept"}
    assert fields == set(official.OFFICIAL)
    for each in official.OFFICIAL.values():
        assert each.licence and each.source and each.enables and each.stand_in
        assert each.sha256 is None or len(bytes.fromhex(each.sha256)) == 32
    # the file names of PyTorch's hub carry the hash's first eight digits
    for name in ("inception", "alexnet"):
        entry = official.OFFICIAL[name]
        assert entry.sha256 and entry.file.rsplit("-", 1)[1].startswith(entry.sha256[:8])


def test_places_and_their_order(tmp_path: Path) -> None:
    (tmp_path / "syncnet_v2.model").write_bytes(b"x")
    params = WeightsParams(syncnet=Path("own.model"), folder=Path())
    assert official.place_of("syncnet", params, {}, tmp_path) == tmp_path / "own.model"
    own = {"SYNCDREAMER_WEIGHTS_SYNCNET": "/elsewhere/s.model"}
    assert official.place_of("syncnet", params, own, tmp_path) == Path("/elsewhere/s.model")
    assert official.place_of("syncnet", WeightsParams(folder=Path()), {}, tmp_path) == (
        tmp_path / "syncnet_v2.model"
    )
    folder = {"SYNCDREAMER_WEIGHTS": str(tmp_path)}
    assert official.place_of("syncnet", WeightsParams(), folder) == tmp_path / "syncnet_v2.model"
    assert official.place_of("i3d", WeightsParams(), folder) is None


def test_states(workspace: Workspace, real: bytes) -> None:
    path = workspace.root / "syncnet_v2.model"
    environment = {"SYNCDREAMER_WEIGHTS_SYNCNET": str(path)}
    assert official.find("syncnet", workspace, {}) is None
    with pytest.raises(InputError, match="missing; it was named"):
        official.find("syncnet", workspace, environment)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="is not syncnet_v2.model: SHA-256"):
        official.find("syncnet", workspace, environment)
    path.write_bytes(real)
    found = official.find("syncnet", workspace, environment)
    assert found is not None and found.state == "official" and found.usable
    assert found.label == f"syncnet@{hashlib.sha256(real).hexdigest()[:12]}"
    unknown_hash = official.check("dino", path)
    assert unknown_hash.state == "unverified" and unknown_hash.usable
    with pytest.raises(InputError, match="unknown weights 'vgg'"):
        official.check("vgg", path)


def test_section_of_params(workspace: Workspace, real: bytes) -> None:
    (workspace.root / "net.model").write_bytes(real)
    params = workspace.root / "params.yaml"
    params.write_text("weights:\n  syncnet: net.model\n")
    states = {each.official.name: each.state for each in official.check_all(workspace, {})}
    assert states.pop("syncnet") == "official"
    assert set(states.values()) == {"absent"}
    params.write_text("weights:\n  sincnet: net.model\n")
    with pytest.raises(InputError, match="weights.sincnet"):
        official.check_all(workspace, {})


def test_command(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, real: bytes) -> None:
    from flows.cli import _mount, app

    _mount()
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(workspace.root))
    monkeypatch.delenv("SYNCDREAMER_WEIGHTS", raising=False)
    path = workspace.root / "any.model"
    path.write_bytes(real)
    monkeypatch.setenv("SYNCDREAMER_WEIGHTS_SYNCNET", str(path))
    result = CliRunner().invoke(app, ["weights", "check", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert rows["syncnet"]["state"] == "official" and rows["inception"]["state"] == "absent"
    assert rows["arcface"]["licence"].startswith("InsightFace: non-commercial")
    text = CliRunner().invoke(app, ["weights", "check"]).output
    assert "expected SHA-256 6726825d" in text and "enables fid; without it" in text
    path.write_bytes(b"tampered")
    broken = CliRunner().invoke(app, ["weights", "check"])
    assert isinstance(broken.exception, InputError) and "syncnet (wrong" in str(broken.exception)
