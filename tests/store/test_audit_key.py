"""The key that signs the audit chain."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from swarm.core.errors import ConfigError
from swarm.store.audit_key import AuditKey, is_signed, key_id


def test_the_key_is_made_once_for_its_owners_eyes_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    first, again = AuditKey.load_or_create(path), AuditKey.load_or_create(path)
    assert first.public_key == again.public_key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_many_that_make_the_key_at_once_end_with_the_same(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: AuditKey.load_or_create(path).public_key, range(32)))
    assert len(set(keys)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_other_programs_read_the_file_as_an_ed25519_key(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    key = AuditKey.load_or_create(path)
    read = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(read, Ed25519PrivateKey)
    assert read.public_key().public_bytes_raw() == key.public_key


def test_a_signature_holds_for_its_message_and_its_key_alone(tmp_path: Path) -> None:
    key, other = AuditKey(bytes(32)), AuditKey(bytes([1] * 32))
    signature = key.sign(b"5:ab")
    assert is_signed(b"5:ab", signature, key.public_key)
    assert not is_signed(b"6:ab", signature, key.public_key)
    assert not is_signed(b"5:ab", signature, other.public_key)
    assert not is_signed(b"5:ab", b"", key.public_key)
    assert not is_signed(b"5:ab", signature, b"short")
    assert key_id(key.public_key) == key.id != other.id


def test_a_key_that_everybody_may_read_is_refused_with_the_command_that_helps(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.key"
    AuditKey.load_or_create(path)
    path.chmod(0o604)
    with pytest.raises(ConfigError, match="chmod 600"):
        AuditKey.load_or_create(path)
    path.chmod(0o660)
    AuditKey.load_or_create(path)


@pytest.mark.parametrize(
    "content",
    ["", "\n", "\0\xff", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x" * 9_000],
)  # fmt: skip
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "audit.key"
    path.write_text(content, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="restore it from a backup"):
        AuditKey.load_or_create(path)
    assert path.read_text(encoding="latin-1") == content


def test_a_folder_that_cannot_hold_the_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        AuditKey.load_or_create(tmp_path / "nowhere" / "audit.key")
    (tmp_path / "audit.key").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        AuditKey.load_or_create(tmp_path / "audit.key")


def test_a_key_never_shows_itself(tmp_path: Path) -> None:
    key = AuditKey(b"s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr")
    assert "s3cr3t" not in repr(key) + str(key)
    with pytest.raises(ValueError, match="32 bytes"):
        AuditKey(b"short")
