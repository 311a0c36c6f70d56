"""Speak to a Docker engine through its client, by lists of words."""

import asyncio
import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from swarm.core.errors import InvalidInput, NotFound
from swarm.core.text import shorten
from swarm.farm.base import NoPlace, PlaceError, PlaceRefused, Ran
from swarm.farm.docker.config import DockerConfig

TIMEOUT_S = 60.0
_SHOWN = 300
_LOCAL = ("unix", "npipe", "fd")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOT_THERE = (
    "no such container", "no such object", "no such network", "no such volume", "no such image",
    "not found",
)  # fmt: skip
_UNREACHABLE = (
    "cannot connect to the docker daemon", "is the docker daemon running", "connection refused",
    "error during connect", "connection reset", "eof", "broken pipe", "server closed",
)  # fmt: skip


class TakenError(PlaceRefused):
    """A name or a port that was asked for is in use."""


class DockerClient:
    """Run commands of the client. Nothing it is given appears in an error but the command's name."""

    def __init__(self, config: DockerConfig) -> None:
        self._config = config
        self._is_checked = False

    async def run(
        self, *words: str, stdin: bytes | None = None, stdout: IO[bytes] | None = None,
        source: IO[bytes] | None = None, timeout_s: float = TIMEOUT_S,
    ) -> Ran:  # fmt: skip
        """Run one command to its end and return what it printed, whatever came of it.

        Args:
            words: The command, such as `ps`, `--all`.
            stdin: What it reads.
            stdout: Where its output goes instead of into the result.
            source: A file that it reads instead of `stdin`.
            timeout_s: After so long it is ended.

        Raises:
            NoPlace: There is no client, or it does not end in time.
        """
        head = ["--host", self._config.host] if self._config.host else []
        fed: Any = subprocess.PIPE if stdin is not None else source or subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                self._config.program, *head, *words,
                stdin=fed, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
                # A Ctrl-C at the terminal is for us: what runs is ended, or finished, in order.
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NoPlace(
                f"Docker's client {self._config.program!r} cannot be started ({error.strerror}): "
                "install Docker (https://docs.docker.com/engine/install/), or set "
                "SWARM_FARM__DOCKER__PROGRAM."
            ) from error
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate(stdin)
        except TimeoutError as error:
            raise NoPlace(
                f"Docker did not answer `docker {words[0]}` within {timeout_s:g} s: see whether its "
                "daemon is well (`docker info`), and run the command again."
            ) from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        assert process.returncode is not None
        text = out.decode(errors="replace") if out else ""
        return Ran(process.returncode, text, err.decode(errors="replace"))

    async def do(
        self, *words: str, stdin: bytes | None = None, stdout: IO[bytes] | None = None,
        source: IO[bytes] | None = None, timeout_s: float = TIMEOUT_S,
    ) -> str:  # fmt: skip
        """Run one command that must succeed, and return its output without the end.

        Raises:
            NotFound: What it names is not there.
            TakenError: A name or port is in use.
            NoPlace: The daemon cannot be reached.
            PlaceRefused: It refused.
        """
        await self.check_local()
        ran = await self.run(*words, stdin=stdin, stdout=stdout, source=source, timeout_s=timeout_s)
        if ran.code != 0:
            raise explained(words, ran.stderr or ran.stdout)
        return ran.stdout.strip()

    async def inspect(self, kind: str, *names: str) -> list[dict[str, Any]]:
        """Return what the daemon says of those of the named things that are there."""
        if not names:
            return []
        await self.check_local()
        ran = await self.run(kind, "inspect", *names)
        if ran.code != 0 and not _says(ran.stderr, _NOT_THERE):
            raise explained((kind, "inspect"), ran.stderr)
        found: list[dict[str, Any]] = json.loads(ran.stdout or "[]")
        return found

    async def check_local(self) -> None:
        """Refuse an engine on another machine, unless the settings allow it.

        Raises:
            PlaceRefused: It is on another machine.
        """
        if self._is_checked or self._config.allow_remote:
            return
        address = self._config.host
        if address is None:
            ran = await self.run(
                "context", "inspect", "--format", "{{.Endpoints.docker.Host}}", timeout_s=10
            )
            if ran.code != 0:
                raise explained(("context", "inspect"), ran.stderr)
            address = ran.stdout.strip()
        if not is_local(address):
            raise PlaceRefused(
                f"Docker's client speaks to {address!r}, another machine: whoever holds that engine "
                "can read every secret of every instance. Unset DOCKER_HOST (or `docker context use "
                "default`), or set SWARM_FARM__DOCKER__ALLOW_REMOTE=true if that is what you want."
            )
        self._is_checked = True


def is_local(address: str) -> bool:
    """Say whether an engine's address is on this machine; an empty one is the client's default."""
    if not address:
        return True
    parts = urlsplit(address)
    if parts.scheme in _LOCAL:
        return True
    return parts.scheme in ("tcp", "http", "https") and parts.hostname in _LOOPBACK


def _says(text: str, phrases: Sequence[str]) -> bool:
    lowered = text.lower()
    return any(phrase in lowered for phrase in phrases)


def explained(words: Sequence[str], stderr: str) -> Exception:
    """Turn what the client complained of into a sentence for the operator."""
    said = " ".join(stderr.split()).removeprefix("Error response from daemon: ")
    if _says(said, ("permission denied while trying to connect", "dial unix")) and _says(
        said, ("permission denied",)
    ):
        return PlaceRefused(
            "Docker's daemon does not let this user in: add it to the group `docker` (and log in "
            "again), or run the command as root."
        )
    if _says(said, _UNREACHABLE):
        return NoPlace(
            "Docker's daemon cannot be reached: start it (`sudo systemctl start docker`, or Docker "
            "Desktop), and run the command again; it goes on where it stopped."
        )
    if _says(said, ("already in use by container", "already exists")):
        return TakenError(f"Docker has that name already: {shorten(said, _SHOWN)}.")
    if _says(said, ("port is already allocated", "address already in use")):
        return TakenError(f"The port is taken: {shorten(said, _SHOWN)}.")
    if _says(said, ("no space left",)):
        return PlaceError(
            "Docker's disk is full: `docker system df` shows by what; free some space."
        )
    if _says(said, ("invalid reference format",)):
        return InvalidInput(f"That is no image's name: {shorten(said, _SHOWN)}.")
    if _says(said, _NOT_THERE):
        return NotFound(f"Docker does not find it: {shorten(said, _SHOWN)}.")
    return PlaceRefused(
        f"`docker {' '.join(words[:2])}` failed: {shorten(said, _SHOWN) or 'it said nothing'}."
    )


def open_target(path: Path) -> IO[bytes]:
    """Open a new file for its owner's eyes alone."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path.open("wb")
