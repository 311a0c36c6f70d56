"""A small internet on loopback: sites, the names and addresses they have, and an inside to reach."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpcore

from swarm.core.errors import ToolError
from swarm.tools.http import Page, WebClient, WebConfig
from tests.tools.hosts import PUBLIC

Writer = asyncio.StreamWriter
Reply = bytes | Callable[[Writer], Awaitable[None]]


def answer(
    body: bytes = b"hello", *, status: int = 200, length: int | None = None, **headers: str
) -> bytes:
    """Return a whole answer; underscores in the names of headers stand for dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Site:
    """One server; `heads` are the requests as they came, `hits` counts connections."""

    replies: dict[str, Reply] = field(default_factory=dict)
    """By path; any other path gets `hello`."""
    port: int = 0
    hits: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.hits += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            sizes = [x.split(":")[1] for x in head.lower().split("\r\n") if "content-length" in x]
            self.bodies.append(await reader.readexactly(int(sizes[0])) if sizes else b"")
            reply = self.replies.get(head.split(" ")[1], answer())
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
            else:
                await reply(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(site: Site, tls: Any = None) -> AsyncIterator[Site]:
    """Serve on a port of loopback until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await site.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class Names:
    """A resolver that flips: the n-th question about a host gets its n-th answer, then the last."""

    def __init__(
        self, known: Mapping[str, Sequence[Sequence[str]]] | None = None, *rest: Sequence[str]
    ) -> None:
        """Take the answers by host; `rest` are those of any other host."""
        self._known = known or {}
        self._rest = rest or ((PUBLIC,),)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Iterable[str]:
        answers = self._known.get(host, self._rest)
        self.asked.append(host)
        return answers[min(self.asked.count(host), len(answers)) - 1]


class World:
    """Lead public addresses to their sites, and every other address to the inside.

    A name is looked up once more, as a client does that does not connect to what was checked.
    """

    def __init__(self, inside: Site, sites: dict[str, Site], names: Names) -> None:
        self._inside = inside
        self._sites = sites
        self._names = names
        self._real = httpcore.AnyIOBackend()
        self.dialled: list[str] = []

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        self.dialled.append(host)
        try:
            ip_address(host)
        except ValueError:
            host = next(iter(await self._names(host)))
        site = self._sites.get(host, self._inside)
        if site.port == 0:
            raise httpcore.ConnectError("nobody answers")
        return await self._real.connect_tcp("127.0.0.1", site.port, **options)


@dataclass
class Net:
    """A client in a small internet."""

    client: WebClient
    inside: Site
    outside: Site
    world: World
    names: Names


@asynccontextmanager
async def small_net(
    names: Names | None = None,
    *,
    others: dict[str, Site] | None = None,
    tls: Any = None,
    server_tls: Any = None,
    **config: Any,
) -> AsyncIterator[Net]:
    """Serve an inside and an outside; `others` are further public addresses."""
    names = names or Names()
    inside, outside = Site(), Site()
    async with serving(inside), serving(outside, server_tls):
        world = World(inside, {PUBLIC: outside} | (others or {}), names)
        client = WebClient(WebConfig(**config), resolver=names, dialler=world, tls=tls)
        yield Net(client, inside, outside, world, names)


async def visit(net: Net, url: str, **options: Any) -> Page | None:
    """Fetch and return the page, or None where that was refused."""
    with suppress(ToolError):
        return await net.client.fetch(url, **options)
    return None
