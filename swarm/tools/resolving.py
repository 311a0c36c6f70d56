"""From a name to a connection: resolve once, check every answer, connect to what was checked."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from swarm.core.errors import ToolError
from swarm.tools import addresses

if TYPE_CHECKING:
    import httpcore

Resolver = Callable[[str], Awaitable[Iterable[str]]]
"""Give the addresses of a host, as texts."""

MAX_DIALS = 4
"""How many addresses of one host are tried."""


def check_addresses(host: str, answers: Iterable[str], *, is_open: bool) -> tuple[str, ...]:
    """Return the addresses to connect to; one closed address among them closes them all.

    The addresses themselves stay out of the text: a model need not learn the inside of a network.

    Raises:
        ToolError: No address, or a closed one.
    """
    found = tuple(answers)
    if not found:
        raise ToolError(f"there is no host {host}: check its spelling")
    for answer in found:
        try:
            address = ip_address(answer)
        except ValueError as error:
            raise ToolError(f"{host} is closed: its address is malformed") from error
        if addresses.address_refusal(address) is None:
            continue
        if not is_open or not addresses.is_openable(address):
            raise ToolError(f"{host} is closed: it leads to a private or reserved network")
    return found


class Dialler(Protocol):
    """What connects to an address; httpcore's own network backends do."""

    def connect_tcp(
        self, host: str, port: int, *, timeout: float | None
    ) -> "Awaitable[httpcore.AsyncNetworkStream]":
        """Connect to one address within `timeout` seconds."""


class PinnedBackend:
    """Connect to the addresses that were checked, whatever name is asked for."""

    def __init__(self, checked: tuple[str, ...], dialler: Dialler) -> None:
        self._checked = checked
        self._dialler = dialler

    async def connect_tcp(
        self, host: str, port: int, **options: Any
    ) -> "httpcore.AsyncNetworkStream":
        """Connect to the first checked address that answers; `host` is not looked at."""
        import httpcore

        limit = options.get("timeout")
        *others, last = self._checked[:MAX_DIALS]
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._dialler.connect_tcp(address, port, timeout=limit)
        return await self._dialler.connect_tcp(last, port, timeout=limit)


async def system_resolver(host: str) -> tuple[str, ...]:
    """Ask the operating system for the addresses of a name.

    Raises:
        OSError: There is no such name, or nobody to ask.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def settle(answer: tuple[str, ...] | OSError | UnicodeError) -> None:
        if done.done():
            return
        if isinstance(answer, tuple):
            done.set_result(answer)
        else:
            done.set_exception(answer)

    def ask() -> None:
        answer: tuple[str, ...] | OSError | UnicodeError
        try:
            rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answer = tuple(str(row[4][0]) for row in rows)
        except (OSError, UnicodeError) as error:
            answer = error
        # The loop may be gone by the time a slow resolver answers.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, answer)

    # A thread of its own: getaddrinfo cannot be stopped, and must hold up neither the exit of the
    # program nor the pool that files are read with.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await done
