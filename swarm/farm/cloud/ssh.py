"""A command on a server, over the system's own SSH client."""

import asyncio
import shlex
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from swarm.farm.base import NoPlace, PlaceRefused, Ran

LOST = 255
"""The exit code with which the client says that the connection, not the command, failed."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a server is, and how it is known."""

    name: str
    """Its name, under which its host key is kept: an address may belong to another one tomorrow."""
    address: str
    known_hosts: Path
    private_key: Path | None
    """None leaves it to the agent."""
    user: str = "root"
    port: int = 22


class Shell(Protocol):
    """Run commands on servers."""

    async def run(
        self, reach: Reach, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0,
        stdout: IO[bytes] | None = None, source: IO[bytes] | None = None,
    ) -> Ran:  # fmt: skip
        """Run a command to its end.

        Args:
            reach: The server.
            words: The command.
            stdin: What it reads.
            timeout_s: After so long it is given up.
            stdout: An open file that its output goes to instead of into the result.
            source: An open file that it reads instead of `stdin`.

        Raises:
            NoPlace: The server does not answer (it may still start), or the connection was lost.
            PlaceRefused: It answers with a host key that is not its own, or refuses the operator's.
        """

    async def send_image(self, reach: Reach, image: str, *, timeout_s: float) -> Ran:
        """Send an image of this machine's Docker into the server's."""

    async def image_here(self, image: str) -> str | None:
        """Return the id of an image of this machine's Docker; None where it has none."""


class SshShell:
    """Use `ssh` with exactly the keys of the farm: no configuration file, no prompt, no new key."""

    def __init__(
        self, *, program: str = "ssh", docker: str = "docker", connect_s: int = 10
    ) -> None:
        """`program` and `docker` are looked for in the operator's path."""
        self._program = program
        self._docker = docker
        self._connect_s = connect_s

    async def run(
        self, reach: Reach, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0,
        stdout: IO[bytes] | None = None, source: IO[bytes] | None = None,
    ) -> Ran:  # fmt: skip
        """Run a command to its end. Raises NoPlace, PlaceRefused."""
        fed: Any = asyncio.subprocess.PIPE if source is None else source
        process = await asyncio.create_subprocess_exec(
            *self.words(reach), shlex.join(words), stdin=fed,
            stdout=stdout or asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        fed_now = stdin if source is None else None
        return await self._ended(process, reach, process.communicate(fed_now), timeout_s=timeout_s)

    async def send_image(self, reach: Reach, image: str, *, timeout_s: float) -> Ran:
        """Send an image: `docker save` here, `docker load` there, and nothing on a disk between."""
        source = await asyncio.create_subprocess_exec(
            self._found(self._docker, "Docker's client, to send the image"), "save", image,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *self.words(reach), "-C", "docker load --quiet", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            pump = asyncio.create_task(_pump(source, process))
            ran = await self._ended(process, reach, _both(process), timeout_s=timeout_s)
            await pump
            said = await source.stderr.read() if source.stderr else b""
            if await source.wait() != 0:
                raise PlaceRefused(
                    f"the image {image!r} cannot be read here: {said.decode(errors='replace').strip()}"
                )
            return ran
        finally:
            if source.returncode is None:
                source.kill()
                await source.wait()

    async def image_here(self, image: str) -> str | None:
        """Return the id of an image of this machine's Docker; None where it has none."""
        process = await asyncio.create_subprocess_exec(
            self._found(self._docker, "Docker's client, to look at the image"), "image", "inspect",
            "--format", "{{.Id}}", image, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await process.communicate()
        return out.decode().strip() if process.returncode == 0 else None

    def words(self, reach: Reach) -> list[str]:
        """Return the client's words up to and with the server; the command follows."""
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null",
            f"UserKnownHostsFile={_quoted(reach.known_hosts)}", f"HostKeyAlias={reach.name}",
            "UpdateHostKeys=no", "CheckHostIP=no", "HostKeyAlgorithms=ssh-ed25519",
            f"ConnectTimeout={self._connect_s}", "ServerAliveInterval=15",
            "ServerAliveCountMax=3", "ForwardAgent=no", "ClearAllForwardings=yes", "PasswordAuthentication=no", "LogLevel=ERROR",
        ]  # fmt: skip
        if reach.private_key is not None:
            options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
        found = [self._found(self._program, "an SSH client"), "-F", "/dev/null", "-T"]
        for option in options:
            found += ["-o", option]
        if reach.private_key is not None:
            found += ["-i", str(reach.private_key)]
        return [*found, "-p", str(reach.port), f"{reach.user}@{reach.address}"]

    @staticmethod
    def _found(program: str, what: str) -> str:
        found = shutil.which(program)
        if found is None:
            raise NoPlace(f"{program!r} is not installed here; the farm needs {what}")
        return found

    async def _ended(
        self, process: asyncio.subprocess.Process, reach: Reach,
        talk: Awaitable[tuple[bytes | None, bytes | None]], *, timeout_s: float,
    ) -> Ran:  # fmt: skip
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await talk
        except TimeoutError as error:
            raise NoPlace(f"{reach.name} did not end a command within {timeout_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        code = process.returncode if process.returncode is not None else LOST
        ran = Ran(
            code, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")
        )
        if code == LOST:
            raise _refused(reach, ran.stderr)
        return ran


async def _both(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Read all that a process writes whose input somebody else feeds."""
    out, err = await asyncio.gather(_read(process.stdout), _read(process.stderr))
    await process.wait()
    return out, err


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


async def _pump(source: asyncio.subprocess.Process, target: asyncio.subprocess.Process) -> None:
    """Hand on the output of one process to the input of another."""
    if source.stdout is None or target.stdin is None:
        return
    try:
        while block := await source.stdout.read(1 << 16):
            target.stdin.write(block)
            await target.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        # The other end says why by its exit code.
        pass
    target.stdin.close()


def _quoted(path: Path) -> str:
    """Write a path as a value of an option, where a blank would begin another file."""
    return f'"{path}"' if " " in str(path) else str(path)


def _refused(reach: Reach, said: str) -> NoPlace | PlaceRefused:
    if "Host key verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return PlaceRefused(
            f"{reach.name} ({reach.address}) shows a host key that is not the one of the server we "
            "made; nothing was sent to it"
        )
    if "Permission denied" in said:
        return PlaceRefused(
            f"{reach.name} ({reach.address}) refuses the operator's key; set ssh_private_key, or "
            "add it to the SSH agent"
        )
    last = said.strip().splitlines()[-1] if said.strip() else "no answer"
    return NoPlace(f"{reach.name} ({reach.address}) cannot be reached by SSH: {last}")
