"""Signed videos: what is changed, forged, foreign or stripped is found, embedded or beside the file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.media import encode_video, read_video
from components.core.paths import Workspace
from components.core.visible_mark import mark_frames
from components.tracking import credentials
from components.tracking.credentials import OFF_VARIABLE, SIDECAR, verify, write_signed
from components.tracking.keys import KEY_VARIABLE, TRUSTED_VARIABLE, signing_key

FACTS = credentials.generation(
    {"avatar": {"name": "syncdreamer-avatar", "version": "3", "digest": "ab" * 32}},
    {"image": "cd" * 32, "audio": "ef" * 32, "text": credentials.text_digest("nod")},
    seed=7,
)


@pytest.fixture(scope="module")
def mp4() -> bytes:
    frames = np.random.default_rng(1).integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)
    return encode_video(frames, np.zeros(6400, np.float32))


@pytest.fixture(params=["C2PA", "sidecar"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in (KEY_VARIABLE, TRUSTED_VARIABLE, OFF_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    if request.param == "sidecar":
        monkeypatch.setenv(OFF_VARIABLE, "1")
    return request.param


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "mine")


def signed(folder: Path, mp4: bytes, workspace: Workspace) -> Path:
    write_signed(folder / "talk.mp4", mp4, FACTS, workspace)
    return folder / "talk.mp4"


def test_a_signed_video_verifies_says_what_made_it_and_still_plays(
    tmp_path: Path, mp4: bytes, kind: str, workspace: Workspace
) -> None:
    path = signed(tmp_path, mp4, workspace)
    verdict = verify(path, workspace)
    assert (verdict.status, verdict.kind) == ("trusted", kind)
    assert verdict.signer == signing_key(workspace).fingerprint
    assert verdict.facts == json.loads(json.dumps(FACTS))
    assert verdict.facts["statement"] == "AI-generated"
    assert verdict.facts["models"]["avatar"]["version"] == "3"
    assert path.with_name(path.name + SIDECAR).exists() == (kind == "sidecar")
    assert read_video(path).frames.shape == (10, 32, 32, 3)


def test_a_changed_picture_is_found(tmp_path: Path, mp4: bytes, kind: str, workspace: Workspace) -> None:
    path = signed(tmp_path, mp4, workspace)
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 200] ^= 1
    path.write_bytes(content)
    assert verify(path, workspace).status == "tampered"


def test_changed_facts_are_found(tmp_path: Path, mp4: bytes, kind: str, workspace: Workspace) -> None:
    path = signed(tmp_path, mp4, workspace)
    holder = path if kind == "C2PA" else path.with_name(path.name + SIDECAR)
    content = holder.read_bytes()
    assert content.count(b"AI-generated") == 1
    holder.write_bytes(content.replace(b"AI-generated", b"hand-painted"))
    assert verify(path, workspace).status == "tampered"


def test_a_foreign_signer_is_told_and_may_be_trusted(
    tmp_path: Path, mp4: bytes, kind: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace(tmp_path / "other")
    path = signed(tmp_path, mp4, other)
    assert verify(path, workspace).status == "unknown signer"
    folder = tmp_path / "keys"
    folder.mkdir()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = signing_key(other)
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "other.pem").write_bytes(public)
    (folder / "other.crt").write_text(key.certificates[1])
    monkeypatch.setenv(TRUSTED_VARIABLE, str(folder))
    assert verify(path, workspace).status == "trusted"
    assert verify(path, None).status == "trusted"


def test_removed_credentials_are_told(tmp_path: Path, mp4: bytes, workspace: Workspace) -> None:
    path = tmp_path / "plain.mp4"
    path.write_bytes(mp4)
    assert verify(path, workspace).status == "none"
    with pytest.raises(InputError, match="is missing"):
        verify(tmp_path / "absent.mp4", workspace)


def test_a_sidecar_is_bound_to_its_file(
    tmp_path: Path, mp4: bytes, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFF_VARIABLE, "1")
    path = signed(tmp_path, mp4, workspace)
    other = tmp_path / "other.mp4"
    other.write_bytes(encode_video(np.zeros((4, 32, 32, 3), np.uint8)))
    path.with_name(path.name + SIDECAR).rename(other.with_name(other.name + SIDECAR))
    assert verify(other, workspace).reason == "the file is not the one that was signed"
    other.with_name(other.name + SIDECAR).write_text("[]")
    assert verify(other, workspace).status == "tampered"


def test_the_key_is_made_once_for_its_owner_alone(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    first = signing_key(workspace)
    path = workspace.root / "state" / "keys" / "signing.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["signing.pem"]
    assert signing_key(workspace).fingerprint == first.fingerprint
    assert signing_key(workspace).certificates == first.certificates
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    assert signing_key(None).fingerprint == first.fingerprint
    monkeypatch.setenv(KEY_VARIABLE, first.pem().decode())
    assert signing_key(Workspace(tmp_path / "elsewhere")).fingerprint == first.fingerprint
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "absent.pem"))
    with pytest.raises(InputError, match="cannot be read"):
        signing_key(None)
    (tmp_path / "bad.pem").write_text("nonsense")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "bad.pem"))
    with pytest.raises(InputError, match="not an unencrypted PEM private key"):
        signing_key(None)


@pytest.mark.parametrize("side", [32, 64, 256])
def test_the_visible_mark_changes_its_corner_alone(side: int) -> None:
    frames = np.full((2, side, side, 3), 128, np.uint8)
    marked = mark_frames(frames)
    changed = np.argwhere((marked != frames).any((0, 3)))
    assert len(changed) > 20
    assert changed.min() >= side // 3
    assert changed.max() == side - 1
    assert marked.max() > 200 > 100 > marked.min()
    assert (frames == 128).all()
