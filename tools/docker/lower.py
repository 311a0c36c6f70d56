"""Where no daemon can run: the same Dockerfile built by buildah, and run in a chroot."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.docker import base
from tools.docker.engine import PROGRAMS, ROOT


class NoBuilderError(Exception):
    """buildah is missing or cannot work here; the text says why."""


class Builder:
    """Speak to buildah, with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = shutil.which("buildah", path=PROGRAMS)
        if self._program is None:
            raise NoBuilderError("buildah is not installed: apt-get install buildah")

    def words(self, *words: str) -> list[str]:
        """Return the whole command line of one command."""
        assert self._program is not None
        store = ["--root", str(self._folder / "root"), "--runroot", str(self._folder / "run")]
        return [self._program, *store, "--storage-driver", "vfs", *words]

    def call(self, *words: str) -> str:
        """Run one command and return its output.

        Raises:
            NoBuilderError: It failed; its last words are in the text.
        """
        done = subprocess.run(  # noqa: S603  # our own words
            self.words(*words), env={"PATH": PROGRAMS, "HOME": str(self._folder)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-800:]
            raise NoBuilderError(f"buildah {words[0]} failed: {said}")
        return done.stdout.strip()

    def running(self, container: str, home: Path, *command: str) -> list[str]:
        """Return the command line that runs a command in a built container, with a home."""
        return self.words(
            "run", "--isolation", "chroot", "--user", "10001:10001",
            "--volume", f"{home}:/data", container, "--", *command,
        )  # fmt: skip


@contextmanager
def built(tag: str, *, cache: Path | None) -> Iterator[tuple[Builder, str]]:
    """Build the image, and give the builder and the name of a container of it.

    Raises:
        NoBuilderError: buildah is missing, or failed.
        BaseFailedError: No base could be made.
    """
    subprocess.run(["sh", str(ROOT / "tools" / "setup.sh"), "buildah"], check=False)  # noqa: S603, S607  # our own
    with tempfile.TemporaryDirectory(prefix="swarm-buildah-") as folder:
        builder = Builder(Path(folder))
        python = base.movable_python()
        name = f"localhost/python:{base.version(python)}-slim-{base.SUITE}"
        files = base.archive(python, cache=cache)
        try:
            made = builder.call("from", "scratch")
            builder.call("add", made, str(files), "/")
            for line in base.changes():
                _, _, setting = line.partition(" ")
                words = ("--env", setting) if line.startswith("ENV ") else ("--cmd", "python3")
                builder.call("config", *words, made)
            builder.call("commit", "--quiet", made, name)
        finally:
            if cache is None:
                shutil.rmtree(files.parent, ignore_errors=True)
        builder.call(
            "bud", "--isolation", "chroot", "--network", "host", "--format", "docker", "--quiet",
            "--build-arg", f"BASE={name}", "--tag", tag, str(ROOT),
        )  # fmt: skip
        container = builder.call("from", tag)
        yield builder, container
        builder.call("rm", "--all")
