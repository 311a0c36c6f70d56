"""The operator's key, and what a server is known by: files of the farm's folder, mode 0600."""

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from swarm.core.errors import ConfigError
from swarm.farm.cloud.config import CloudConfig

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pair:
    """An Ed25519 key pair in OpenSSH's form."""

    private: str
    public: str
    """Type and key, without a comment."""


@dataclass(frozen=True, slots=True)
class Papers:
    """What the operator's machine keeps of one server."""

    folder: Path

    @property
    def known_hosts(self) -> Path:
        """The host keys that are taken from it, by its name."""
        return self.folder / "known_hosts"

    @property
    def is_enrolled(self) -> bool:
        """Say whether it was enrolled from this machine."""
        return (self.folder / "enrolled").exists()

    @property
    def is_complete(self) -> bool:
        """Say whether it could be enrolled from this machine, or was."""
        return self.is_enrolled or (self.folder / "bootstrap").exists()

    @property
    def token(self) -> str:
        """The one-time token. Gone once it is enrolled."""
        return (self.folder / "token").read_text().strip()

    @property
    def bootstrap(self) -> Pair:
        """The host key that it starts with. Gone once it is enrolled."""
        return Pair(
            (self.folder / "bootstrap").read_text(),
            (self.folder / "bootstrap.pub").read_text().strip(),
        )

    @property
    def token_digest(self) -> str:
        """What the server is told of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()

    def learn(self, name: str, public: str) -> None:
        """Take another host key of its own besides the one it started with."""
        lines = [f"{name} {self.bootstrap.public}", f"{name} {public}"]
        _write(self.folder / "known_hosts", "".join(f"{line}\n" for line in lines))

    def enrolled(self, name: str, public: str) -> None:
        """Keep nothing but its own host key."""
        _write(self.folder / "known_hosts", f"{name} {public}\n")
        _write(self.folder / "enrolled", f"{name}\n")
        for file in ("bootstrap", "bootstrap.pub", "token"):
            (self.folder / file).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all of it: the server is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)


def papers_of(folder: Path, name: str) -> Papers:
    """Return where the papers of a server lie, whether there are any or not."""
    return Papers(folder / "hosts" / name)


def write_papers(folder: Path, name: str) -> Papers:
    """Return the papers of a server that is to be made; those of a dead run are taken again."""
    papers = papers_of(folder, name)
    if papers.is_enrolled:
        # The name had another server once.
        papers.forget()
    if not papers.is_complete:
        papers.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pair = new_pair()
        _write(papers.folder / "token", secrets.token_urlsafe(_TOKEN_BYTES))
        _write(papers.folder / "known_hosts", f"{name} {pair.public}\n")
        _write(papers.folder / "bootstrap.pub", pair.public)
        # Last: it says that the others are there.
        _write(papers.folder / "bootstrap", pair.private)
    return papers


def operator_key(config: CloudConfig, folder: Path) -> tuple[str, Path | None]:
    """Return the operator's public key, and the file of its private half (None: the agent has it).

    Raises:
        ConfigError: The configured file is no public key.
    """
    if config.ssh_public_key is not None:
        try:
            words = config.ssh_public_key.expanduser().read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"ssh_public_key: {config.ssh_public_key} cannot be read") from error
        if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
            raise ConfigError(
                f"ssh_public_key: {config.ssh_public_key} is no public key; it is the file that "
                "ends in .pub"
            )
        private = config.ssh_private_key
        return f"{words[0]} {words[1]}", private.expanduser() if private else None
    file = folder / "operator_ed25519"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pair = new_pair()
        _write(file.with_suffix(".pub"), pair.public)
        _write(file, pair.private)
    return file.with_suffix(".pub").read_text().strip(), file


def new_pair() -> Pair:
    """Make a key pair."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    return Pair(
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


def _write(file: Path, text: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
