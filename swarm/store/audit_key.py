"""The key that signs the heads of the audit chain."""

import base64
import binascii
import hashlib
import os
import secrets
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.core.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "audit.key"
"""Its name in the company's folder."""
# What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
_SEED_BYTES = 32
_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


class AuditKey:
    """An Ed25519 key pair. `cryptography` is imported when it first signs."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise ValueError(f"an Ed25519 key has {_SEED_BYTES} bytes, not {len(seed)}")
        self._seed = seed

    @classmethod
    def load_or_create(cls, path: Path) -> "AuditKey":
        """Read the key of a company, or make it where there is none yet.

        Several processes may do so at once: all end with the same key. The file is PKCS #8 in PEM,
        which other programs read too, and is for its owner's eyes only.

        Raises:
            ConfigError: It cannot be read or written, is no such key, or everybody may read it.
        """
        try:
            return cls.load(path)
        except FileNotFoundError:
            pass
        try:
            _create(path, _as_pem(secrets.token_bytes(_SEED_BYTES)))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "AuditKey":
        """Read the key of a company.

        Raises:
            FileNotFoundError: There is none.
            ConfigError: It cannot be read, is no such key, or everybody may read it.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(4096)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
        # The group is let pass: Kubernetes adds it to every file of a volume with an fsGroup.
        if mode & 0o007:
            raise ConfigError(
                f"Everybody on this machine can use {path}, which signs the audit chain: "
                f"run `chmod 600 {path}`."
            )
        return cls(_from_pem(text, path))

    @cached_property
    def public_key(self) -> bytes:
        """The 32 bytes that others need to check signatures."""
        return self._private.public_key().public_bytes_raw()

    @cached_property
    def id(self) -> str:
        """The name of the public key: its SHA-256, in hexadecimal."""
        return key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        return self._private.sign(message)

    @cached_property
    def _private(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)


def key_id(public_key: bytes) -> str:
    """Return the name of a public key: its SHA-256, in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()


def is_signed(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Say whether a signature was made with the other half of a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _create(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, unless another process was first."""
    # Made with mode 0600 from its first moment.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link fails where another process was first, a rename would not.
        path.hardlink_to(temporary)
        _sync_folder(path.parent)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _sync_folder(path: Path) -> None:
    """Put the name of a new file on disk too; without it a power cut loses the key, not the chain."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_pem(seed: bytes) -> bytes:
    middle = base64.b64encode(_PKCS8 + seed).decode()
    return f"{_BEGIN}\n{middle}\n{_END}\n".encode()


def _from_pem(text: bytes, path: Path) -> bytes:
    try:
        first, *middle, last = text.decode("ascii").split("\n")[:-1]
        decoded = base64.b64decode("".join(middle), validate=True)
        is_ours = (first, last) == (_BEGIN, _END) and decoded.startswith(_PKCS8)
    except (ValueError, binascii.Error):
        is_ours, decoded = False, b""
    if not is_ours or len(decoded) != len(_PKCS8) + _SEED_BYTES:
        raise ConfigError(
            f"{path} is no Ed25519 key in PEM: restore it from a backup. Without one, move it "
            "away: a new key is made, and `swarm audit verify` then needs both public keys."
        )
    return decoded.removeprefix(_PKCS8)
