"""Content credentials of generated videos: who made it, with what, from what, and that it is AI-generated.

Embedded in the mp4 as a signed C2PA manifest where c2pa-python is installed, else in a signed sidecar
`<file>.credentials.json`. Both bear the same facts and the same key. `verify` finds a changed file, changed
facts, a foreign signer, and a file without credentials.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from components.core.errors import InputError
from components.core.files import digest_file, to_json, write_bytes, write_text
from components.core.paths import Workspace
from components.tracking.keys import (
    KEY_VARIABLE,
    ORGANISATION,
    TRUSTED_VARIABLE,
    SigningKey,
    signing_key,
    trusted,
)

SIDECAR = ".credentials.json"
LABEL = "org.syncdreamer.generation"
AI_GENERATED = "AI-generated"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's name for media made by a trained model."""
OFF_VARIABLE = "SYNCDREAMER_NO_C2PA"
"""Set to 1 to write sidecars although c2pa-python is there."""
GENERATED = ("generated", "control", "side_by_side")
"""Kinds of the evaluation's videos that show generated frames."""
Status = Literal["trusted", "unknown signer", "tampered", "none"]
Kind = Literal["C2PA", "sidecar", ""]


@dataclass(frozen=True)
class Verdict:
    """What is known of a file. facts: as signed (to be believed only when the status is trusted)."""

    status: Status
    kind: Kind
    reason: str
    signer: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def generation(
    models: Mapping[str, Mapping[str, str]], inputs: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    """The facts of a generated video.

    models: avatar, enhancer → {"name", "version", "digest"}. inputs: image, audio, text → SHA-256.
    """
    return {"statement": AI_GENERATED, "generator": ORGANISATION, "models": models, "inputs": inputs, **more}


def of_pair(
    versions: Mapping[str, str], digests: Mapping[str, str], inputs: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    """The facts of a video made with these models; versions and digests by registered name."""
    models = {
        name.removeprefix("syncdreamer-"): {"name": name, "version": version, "digest": digests[name]}
        for name, version in versions.items()
    }
    return generation(models, inputs, **more)


def embeds() -> bool:
    """Whether credentials are embedded (c2pa-python is installed and not switched off)."""
    return not os.environ.get(OFF_VARIABLE) and importlib.util.find_spec("c2pa") is not None


def write_signed(path: Path, mp4: bytes, facts: Mapping[str, Any], workspace: Workspace | None) -> Path:
    """Writes a video with its credentials; returns the file that holds these (the video, or its sidecar)."""
    key = signing_key(workspace)
    if embeds():
        write_bytes(path, embed(mp4, facts, key))
        path.with_name(path.name + SIDECAR).unlink(missing_ok=True)
        return path
    write_bytes(path, mp4)
    return write_sidecar(path, facts, key)


def signed(mp4: bytes, facts: Mapping[str, Any], workspace: Workspace | None = None) -> bytes:
    """The video with embedded credentials where that is possible, else as it is (bytes have no sidecar).

    Without a workspace and SYNCDREAMER_SIGNING_KEY (a served model) the key lives as long as the process: the
    credentials still say AI-generated and still find changes, by a signer that nobody knows.
    """
    return embed(mp4, facts, signing_key(workspace)) if embeds() else mp4


def embed(mp4: bytes, facts: Mapping[str, Any], key: SigningKey) -> bytes:
    """The video with a C2PA manifest signed by `key`."""
    import c2pa

    manifest = {
        "claim_generator_info": [{"name": ORGANISATION}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]},
            },
            {"label": LABEL, "data": json.loads(to_json(facts))},
        ],
    }
    chain = "".join(key.certificates).encode()
    info = c2pa.C2paSignerInfo(alg=b"ed25519", sign_cert=chain, private_key=key.pem(), ta_url=None)
    out = io.BytesIO()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest) as builder:
        builder.sign(signer, "video/mp4", io.BytesIO(mp4), out)
    return out.getvalue()


def sidecar(digest: str, facts: Mapping[str, Any], key: SigningKey) -> str:
    """The signed text for a file of this SHA-256."""
    body = {"facts": json.loads(to_json(facts)), "sha256": digest, "signer": key.fingerprint}
    signature = key.private.sign(_signed(body))
    return to_json(body | {"signature": base64.b64encode(signature).decode()}) + "\n"


def _signed(body: Mapping[str, Any]) -> bytes:
    text = to_json({name: body[name] for name in ("facts", "sha256", "signer")}, None)
    return b"syncdreamer credentials 1\n" + text.encode()


def write_sidecar(path: Path, facts: Mapping[str, Any], key: SigningKey) -> Path:
    """Writes `<file>.credentials.json` beside a file."""
    return write_text(path.with_name(path.name + SIDECAR), sidecar(digest_file(path), facts, key))


def keep_sidecars(workspace: Workspace, folder: Path, facts: Mapping[str, Any]) -> int:
    """Signs generated videos whose bytes must not change (the evaluation's): sidecars by content under
    state/credentials. Real clips beside them are not AI-generated and get none. Returns how many were signed.
    """
    key = signing_key(workspace)
    videos = [path for kind in GENERATED for path in sorted(folder.glob(f"*_{kind}.mp4"))]
    for path in videos:
        digest = digest_file(path)
        write_text(workspace.state("credentials") / f"{digest}.json", sidecar(digest, facts, key))
    return len(videos)


def verify(path: Path, workspace: Workspace | None = None) -> Verdict:
    """Judges a file by what is embedded, else by its sidecar, else by the sidecar kept for its content under
    state/credentials (videos whose bytes must not change).

    Raises:
        InputError: the file is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    found = _embedded(path, workspace) if importlib.util.find_spec("c2pa") else None
    if found is not None:
        return found
    beside = path.with_name(path.name + SIDECAR)
    if not beside.exists() and workspace is not None:
        beside = workspace.root / "state" / "credentials" / f"{digest_file(path)}.json"
    if beside.exists():
        return _beside(path, beside, workspace)
    unread = "" if importlib.util.find_spec("c2pa") else " (embedded ones cannot be read without c2pa-python)"
    return Verdict("none", "", f"the file bears no credentials, or they were removed{unread}")


def _embedded(path: Path, workspace: Workspace | None) -> Verdict | None:
    import c2pa

    trust: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    anchors = _anchors(workspace)
    if anchors:
        trust["trust"] = {"trust_anchors": anchors}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(trust))
        with path.open("rb") as stream:
            content = json.loads(c2pa.Reader("video/mp4", stream, context=context).json())
    except c2pa.C2paError as error:
        if str(error).startswith("ManifestNotFound"):
            return None
        return Verdict("tampered", "C2PA", f"cannot be read: {str(error).splitlines()[0]}")
    manifest = content["manifests"][content["active_manifest"]]
    facts: dict[str, Any] = next((a["data"] for a in manifest["assertions"] if a["label"] == LABEL), {})
    signer = str(manifest.get("signature_info", {}).get("common_name", "")).removeprefix("signer ")
    state = content.get("validation_state")
    problems = [row["code"] for row in content.get("validation_status") or []]
    if state == "Trusted":
        return Verdict("trusted", "C2PA", "signature and content verify", signer, facts)
    if state == "Valid":
        return Verdict(
            "unknown signer", "C2PA", "the content is unchanged, the signer unknown", signer, facts
        )
    wrong = [code for code in problems if code != "signingCredential.untrusted"]
    return Verdict("tampered", "C2PA", f"does not verify: {', '.join(wrong) or state}", signer, facts)


def _anchors(workspace: Workspace | None) -> str:
    """PEM of the certificates whose videos are trusted: the own root, and `*.crt` of the trusted folder."""
    parts = []
    if workspace is not None or os.environ.get(KEY_VARIABLE):
        parts.append(signing_key(workspace).certificates[1])
    folder = os.environ.get(TRUSTED_VARIABLE, "").strip()
    parts += [p.read_text(encoding="utf-8") for p in sorted(Path(folder).glob("*.crt"))] if folder else []
    return "\n".join(parts)


def _beside(path: Path, beside: Path, workspace: Workspace | None) -> Verdict:
    from cryptography.exceptions import InvalidSignature

    try:
        body = json.loads(beside.read_text(encoding="utf-8"))
        signature = base64.b64decode(body["signature"], validate=True)
        text, signer, digest = _signed(body), str(body["signer"]), str(body["sha256"])
        facts = dict(body["facts"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        return Verdict("tampered", "sidecar", f"{beside.name} is not a sidecar ({type(error).__name__})")
    if digest_file(path) != digest:
        return Verdict("tampered", "sidecar", "the file is not the one that was signed", signer, facts)
    key = trusted(workspace).get(signer)
    if key is None:
        return Verdict("unknown signer", "sidecar", f"signer {signer} is not trusted here", signer, facts)
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return Verdict(
            "tampered", "sidecar", "the signature does not fit: the facts were changed", signer, facts
        )
    return Verdict("trusted", "sidecar", "signature and content verify", signer, facts)


def text_digest(text: str) -> str:
    """SHA-256 of a text input: credentials name it without repeating what a person typed."""
    return hashlib.sha256(text.encode()).hexdigest()
