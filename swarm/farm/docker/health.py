"""Wait until a seat is well, as the image's own check says, and find a free port."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any

from swarm.core.errors import NotFound
from swarm.core.text import shorten
from swarm.farm.base import NotHealthy, Secrets, Site
from swarm.farm.docker.client import DockerClient
from swarm.farm.docker.words import Image
from swarm.farm.watching import WATCH

PAUSE_S = 0.2
MOST_RESTARTS = 2
"""A seat that ended by itself so often does not get well by waiting."""
LINES = 15
_SHOWN = 300


async def until_well(
    client: DockerClient, site: Site, seat: str, image: Image, *, within_s: float, secrets: Secrets
) -> None:
    """Wait for a seat's first sign of life.

    The image's check is run by us, since the engine's own runs once in half a minute.

    Raises:
        NotHealthy: It ended, ends again and again, or gave no sign in time.
        NotFound: It is not there any more.
    """
    began, restarts = site.clock.monotonic(), None
    while True:
        found = await client.inspect("container", seat)
        if not found:
            raise NotFound(f"The container {seat} is gone.")
        count = int(found[0].get("RestartCount") or 0)
        restarts = count if restarts is None else restarts
        why = why_not(found[0]["State"], count - restarts)
        if why is None and await _is_well(client, seat, image):
            return
        took_s = site.clock.monotonic() - began
        if why is None and took_s > within_s:
            why = f"it gave no sign of life within {within_s:g} s"
        if why is not None:
            raise await _unwell(client, seat, why, secrets)
        await asyncio.sleep(PAUSE_S)


def why_not(state: Mapping[str, Any], restarts: int) -> str | None:
    """Say why waiting is useless; None where it is not."""
    if state.get("OOMKilled"):
        return "it ran out of memory: give it more with --memory"
    if restarts >= MOST_RESTARTS:
        return f"it ended by itself again and again, with code {state.get('ExitCode')}"
    if state.get("Status") in ("exited", "dead"):
        return f"it ended with code {state.get('ExitCode')}"
    return None


async def _is_well(client: DockerClient, seat: str, image: Image) -> bool:
    seen = await client.run("exec", seat, "python3", "-I", "-S", "-c", WATCH)
    # Other codes: it could not be looked for, and the image's own check alone decides.
    if seen.code == 1:
        return False
    return (await client.run("exec", seat, *image.health)).code == 0


async def _unwell(client: DockerClient, seat: str, why: str, secrets: Secrets) -> NotHealthy:
    ran = await client.run("logs", "--tail", str(LINES), seat)
    lines = without(secrets, "\n".join(filter(None, (ran.stdout.strip(), ran.stderr.strip()))))
    return NotHealthy(f"It did not get well: {why}. {last_word(lines)}", lines=lines)


def last_word(lines: str) -> str:
    """Quote the last line of what an instance wrote, as a sentence."""
    last = lines.strip().splitlines()[-1] if lines.strip() else ""
    return f"It said last: “{shorten(last, _SHOWN)}”." if last else "It said nothing."


def without(secrets: Secrets, text: str) -> str:
    """Take the values of secrets out of a text."""
    for name, value in secrets.items():
        if word := value.get_secret_value().strip():
            text = text.replace(word, f"[{name}]")
    return text


def free_port() -> int:
    """Return a port of this machine's loopback that nobody listens on now."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Say whether a port of this machine's loopback can be listened on."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
