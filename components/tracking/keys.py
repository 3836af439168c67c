"""The key that generated videos are signed with, and the certificates made for it.

SYNCDREAMER_SIGNING_KEY: an Ed25519 private key (PEM text, or the path of a PEM file). Without it a key is
made once in state/keys/signing.pem, readable by its owner alone. SYNCDREAMER_TRUSTED_KEYS: folder with the
PEM public keys (`*.pem`, for sidecars) and root certificates (`*.crt`, for C2PA) of other signers to trust.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.paths import Workspace

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_VARIABLE = "SYNCDREAMER_SIGNING_KEY"
TRUSTED_VARIABLE = "SYNCDREAMER_TRUSTED_KEYS"
ORGANISATION = "SyncDreamer Platform"


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key; its certificates are a function of it, so that a key alone is to be kept."""

    private: Ed25519PrivateKey

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the public key (16 hex digits)."""
        return fingerprint(self.private.public_key())

    @cached_property
    def root(self) -> Ed25519PrivateKey:
        """The key of the certificate authority that only this signer has, derived from it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        seed = self.private.private_bytes_raw()
        return Ed25519PrivateKey.from_private_bytes(
            HKDF(SHA256(), 32, None, b"syncdreamer root").derive(seed)
        )

    @cached_property
    def certificates(self) -> tuple[str, str]:
        """(signer, root) as PEM. The root may be given to whoever is to trust this signer's videos."""
        return _certificates(self)

    def pem(self) -> bytes:
        """The private key as unencrypted PKCS #8."""
        from cryptography.hazmat.primitives import serialization as form

        return self.private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def fingerprint(public: Ed25519PublicKey) -> str:
    """SHA-256 of a public key (16 hex digits)."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def signing_key(workspace: Workspace | None) -> SigningKey:
    """The environment's key, else the workspace's (made if it is not there), else one for this process only.

    Raises:
        InputError: what the environment names is no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    named = os.environ.get(KEY_VARIABLE, "").strip()
    if named:
        text = named.encode() if "BEGIN" in named else _file(Path(named))
        return SigningKey(_private(text, KEY_VARIABLE))
    if workspace is None:
        return SigningKey(Ed25519PrivateKey.generate())
    path = workspace.state("keys") / "signing.pem"
    if not path.exists():
        _keep(path, SigningKey(Ed25519PrivateKey.generate()).pem())
    return SigningKey(_private(path.read_bytes(), str(path)))


def _keep(path: Path, text: bytes) -> None:
    """Writes a secret once, 0600 from its first byte on; of two processes the first one's stays."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{KEY_VARIABLE}: {path} cannot be read ({error.strerror})") from error


def _private(text: bytes, where: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text, None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not an unencrypted PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{where}: not an Ed25519 key (`openssl genpkey -algorithm ed25519` makes one)")
    return key


def trusted(workspace: Workspace | None) -> dict[str, Ed25519PublicKey]:
    """fingerprint → public key of every signer to trust: the own one, and those of the trusted folder.

    Raises:
        InputError: a file there is no public key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = {}
    if workspace is not None or os.environ.get(KEY_VARIABLE):
        own = signing_key(workspace).private.public_key()
        keys[fingerprint(own)] = own
    folder = os.environ.get(TRUSTED_VARIABLE, "").strip()
    for path in sorted(Path(folder).glob("*.pem")) if folder else ():
        try:
            key: Any = load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{path}: not a PEM public key") from error
        if isinstance(key, Ed25519PublicKey):
            keys[fingerprint(key)] = key
    return keys


def _certificates(key: SigningKey) -> tuple[str, str]:
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(common: str) -> x509.Name:
        parts = ((NameOID.ORGANIZATION_NAME, ORGANISATION), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    def usage(*, signs: bool) -> x509.KeyUsage:
        rest = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, **rest)

    # Fixed dates and numbers: the certificates depend on the key alone.
    begin, end = datetime(2025, 1, 1), datetime(2045, 1, 1)
    issuer = name(f"root of {key.fingerprint}")
    public, above = key.private.public_key(), key.root.public_key()

    def build(subject: x509.Name, of: Ed25519PublicKey, serial: int, *, authority: bool) -> Any:
        made = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(of)
            .serial_number(serial).not_valid_before(begin).not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(usage(signs=authority), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(of), False)
        )  # fmt: skip
        if not authority:
            made = made.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False
            ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), False)
        return made.sign(key.root, None)

    serial = int(key.fingerprint, 16)
    signer = build(name(f"signer {key.fingerprint}"), public, serial, authority=False)
    root = build(issuer, above, serial ^ 1, authority=True)
    return tuple(each.public_bytes(Encoding.PEM).decode() for each in (signer, root))  # type: ignore[return-value]
