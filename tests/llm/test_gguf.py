"""The model's file is put together once, whole or not at all."""

import hashlib
import importlib.util
import os
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.llm.gguf import Parts, installed_parts, model_file

PIECES = (b"first " * 100, b"second " * 100)
WHOLE = b"".join(PIECES)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    chunks = tuple(tmp_path / f"part{index}" for index in range(len(PIECES)))
    for chunk, piece in zip(chunks, PIECES, strict=True):
        chunk.write_bytes(piece)
    return Parts("model.gguf", hashlib.sha256(WHOLE).hexdigest(), chunks)


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_pieces_are_joined_in_the_cache(parts: Parts, tmp_path: Path) -> None:
    target = model_file(parts, tmp_path / "deep" / "cache")
    assert target == tmp_path / "deep" / "cache" / "model.gguf"
    assert target.read_bytes() == WHOLE
    assert files_of(target.parent) == ["model.gguf", "model.gguf.verified.json"]


def test_a_second_start_trusts_the_marker_and_reads_nothing(parts: Parts, tmp_path: Path) -> None:
    target = model_file(parts, tmp_path / "cache")
    stat = target.stat()
    # Other bytes of the same size and age: only a start that hashes would see them.
    target.write_bytes(b"x" * len(WHOLE))
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for chunk in parts.chunks:
        chunk.unlink()
    assert model_file(parts, tmp_path / "cache").read_bytes() == b"x" * len(WHOLE)


@pytest.mark.parametrize("content", [b"x" * len(WHOLE), WHOLE[:-1], b""])
def test_a_changed_file_is_put_together_again(parts: Parts, tmp_path: Path, content: bytes) -> None:
    target = model_file(parts, tmp_path / "cache")
    target.write_bytes(content)
    os.utime(target, ns=(1, 1))
    assert model_file(parts, tmp_path / "cache").read_bytes() == WHOLE


def test_a_whole_file_without_a_marker_is_kept(parts: Parts, tmp_path: Path) -> None:
    target = model_file(parts, tmp_path / "cache")
    inode = target.stat().st_ino
    target.with_name("model.gguf.verified.json").write_text("not json")
    for chunk in parts.chunks:
        chunk.unlink()
    assert model_file(parts, tmp_path / "cache").stat().st_ino == inode


def test_another_model_under_the_same_name_is_not_trusted(parts: Parts, tmp_path: Path) -> None:
    model_file(parts, tmp_path / "cache")
    parts.chunks[0].write_bytes(b"newer ")
    newer = b"newer " + PIECES[1]
    parts = Parts(parts.name, hashlib.sha256(newer).hexdigest(), parts.chunks)
    assert model_file(parts, tmp_path / "cache").read_bytes() == newer


def test_damaged_packages_leave_no_file_behind(parts: Parts, tmp_path: Path) -> None:
    parts.chunks[1].write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="force-reinstall"):
        model_file(parts, tmp_path / "cache")
    assert files_of(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_named(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cache"):
        model_file(parts, tmp_path / "cache")


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        installed_parts()
    assert str(error.value).endswith("pip install 'swarm[local]'")
