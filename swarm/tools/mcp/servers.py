"""The company's MCP servers, and their approved tools as tools like any other."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import ConfigDict, model_validator

from swarm.core.errors import ConfigError, ToolError
from swarm.core.registry import nearest
from swarm.tools.base import Arguments, Effect, Tool, ToolContext, ToolResult
from swarm.tools.mcp.config import McpConfig, McpServerConfig
from swarm.tools.mcp.connection import Connection, ServerLostError, ServerRefusal
from swarm.tools.mcp.pins import Listing, PinBook, ToolState, ToolText, compare, full_name
from swarm.tools.mcp.results import read_refusal, read_result
from swarm.tools.mcp.schema import Shape

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are looked for, and what servers find as PATH, unless the caller says otherwise."""
MAX_STARTS = 2
WITHIN_S = 60.0
"""A server that ends is started again once; if that happens twice in this time, it stays down."""


class McpArguments(Arguments):
    """Arguments that fit a pinned schema; each tool has a class of its own below this one."""

    model_config = ConfigDict(extra="allow")
    shape: ClassVar[Shape]

    @model_validator(mode="before")
    @classmethod
    def _fit(cls, value: Any) -> Any:
        faults = cls.shape.faults(value) if isinstance(value, dict) else []
        if faults:
            raise ValueError("; ".join(faults))
        return value

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the pinned schema, flat."""
        return cls.shape.schema

    @property
    def values(self) -> dict[str, Any]:
        """Return the arguments as the server takes them."""
        return dict(self.model_extra or {})


class McpTool:
    """One approved tool of one server. Unlike other tools it is made at run time, from its pin."""

    def __init__(self, server: str, text: ToolText, owner: "McpServers") -> None:
        self.server = server
        self.text = text
        self.name = full_name(server, text.name)
        self.description = text.description.replace("\r\n", "\n") or (
            f"Call {text.name} of the MCP server {server}; it says nothing more about itself."
        )
        self.effect: Effect = owner.config.servers[server].effect_of(text.name)
        self.Args: type[McpArguments] = type(
            "PinnedArguments", (McpArguments,), {"shape": Shape(text.input_schema)}
        )
        self._owner = owner

    def reads(self, args: McpArguments) -> tuple[str, ...]:
        """Return no file: a server knows nothing of the workspace."""
        return ()

    def destinations(self, args: McpArguments) -> tuple[str, ...]:
        """Return whom a call reaches: what the operator's argument names hold, or the server.

        A tool of which the operator said nothing reaches whom its server likes, so the server
        itself, `mcp:<server>`, is what a person allows or signs.
        """
        paths = self._owner.config.servers[self.server].destinations.get(self.text.name, ())
        found = [text for path in paths for text in _at(args.values, path.split("."))]
        return tuple(found) or (f"mcp:{self.server}",)

    async def run(self, args: McpArguments, context: ToolContext) -> ToolResult:
        """Call it.

        Raises:
            ToolError: It is no longer approved, or the server did not answer.
        """
        return await self._owner.call(self.server, self.text, args.values)


def _at(value: Any, path: Sequence[str]) -> list[str]:
    """Return the texts at a path of an argument, every item of a list on its own."""
    if isinstance(value, list):
        return [text for item in value for text in _at(item, path)]
    if path:
        return _at(value.get(path[0]), path[1:]) if isinstance(value, dict) else []
    return [] if value is None else [str(value)]


@dataclass(slots=True)
class _Slot:
    """The place of one server on one event loop."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Connection | None = None
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_STARTS))


class McpServers:
    """All MCP servers of a company. Each is started when it is first needed, once per event loop."""

    def __init__(self, config: McpConfig, lock_path: Path, *, search_path: str = PROGRAMS) -> None:
        """Read nothing and start nothing yet.

        Args:
            config: What the operator wrote.
            lock_path: The file of approved tools, `mcp.lock` in the company's folder.
            search_path: The PATH of the servers, and where their programs are looked for.
        """
        self.config = config
        self.pins = PinBook(lock_path)
        self._search_path = search_path
        self._slots: dict[tuple[asyncio.AbstractEventLoop, str], _Slot] = {}
        self._made: dict[tuple[str, str], McpTool] = {}
        self._is_closed = False

    def tools(self, patterns: Iterable[str] = ("mcp_*",)) -> dict[str, Tool]:
        """Return the approved tools whose full names fit one of the patterns; starts nothing.

        What a model reads of them comes from the lock, never from a server.

        Raises:
            ConfigError: The lock cannot be read.
        """
        wanted = tuple(patterns)
        found: dict[str, Tool] = {}
        for server in sorted(self.config.servers):
            for text in self.pins.of(server).values():
                name = full_name(server, text.name)
                if any(fnmatchcase(name, pattern) for pattern in wanted):
                    # Made at run time, so its facts stand on the object and not on a class.
                    found[name] = cast(Tool, self._tool(server, text))
        return found

    async def offered(self, patterns: Iterable[str] = ("mcp_*",)) -> dict[str, Tool]:
        """Return the approved tools that fit and are still what was approved; starts their servers.

        Tools of a server that cannot be started are left out: `swarm mcp list` says why.
        """
        tools = self.tools(patterns)
        wanted = {cast(McpTool, tool).server for tool in tools.values()}
        listings = await asyncio.gather(*(self._try_inspect(server) for server in sorted(wanted)))
        sound = {
            tool.full_name
            for listing in listings
            if listing is not None
            for tool in listing.tools
            if tool.state is ToolState.APPROVED
        }
        return {name: tool for name, tool in tools.items() if name in sound}

    async def _try_inspect(self, server: str) -> Listing | None:
        try:
            return await self.inspect(server)
        except (ToolError, ConfigError):
            return None

    async def inspect(self, server: str) -> Listing:
        """Ask a server for its tools and set them beside what was approved.

        Raises:
            ConfigError: No such server, or it cannot be started as configured.
            ServerLostError: It ended, was silent, or does not speak MCP.
        """
        self._configured(server)
        offered = await (await self._connected(server)).offered()
        return compare(server, offered, self.pins.of(server))

    async def call(self, server: str, tool: ToolText, arguments: dict[str, Any]) -> ToolResult:
        """Call a tool, if it is approved and still what was approved.

        A server that ends is started again. A call it had already taken is repeated only where the
        operator declared the tool to read: all else might then happen twice.

        Raises:
            ToolError: Nothing was called, or no answer came; the text says which.
        """
        config = self._configured(server)
        is_repeatable = config.effect_of(tool.name) is Effect.READ
        for is_last in (False, True):
            self._check_approval(server, tool)
            connection = await self._started(server)
            try:
                return read_result(await connection.call(tool, arguments), config)
            except ServerRefusal as refusal:
                return read_refusal(str(refusal), config)
            except ServerLostError as error:
                if error.is_sent and (is_last or not is_repeatable):
                    raise _unknown(error) from error
                if is_last:
                    raise
        raise AssertionError("the last turn returns or raises")

    def _check_approval(self, server: str, tool: ToolText) -> None:
        try:
            approved = self.pins.of(server).get(tool.name)
        except ConfigError as error:
            raise ToolError(f"no MCP tool is approved now: {error}") from error
        if approved is None or approved.digest != tool.digest:
            raise ToolError(f"the tool {tool.name!r} of {server!r} is no longer approved")

    async def close(self) -> None:
        """End every server, and start none again; waits until nothing of them is left."""
        self._is_closed = True
        here = asyncio.get_running_loop()
        while self._slots:
            (loop, _), slot = self._slots.popitem()
            if slot.connection is None or loop.is_closed():
                continue
            if loop is here or not loop.is_running():
                await slot.connection.close()
            else:
                future = asyncio.run_coroutine_threadsafe(slot.connection.close(), loop)
                await asyncio.wrap_future(future)

    def _configured(self, server: str) -> McpServerConfig:
        if server not in self.config.servers:
            raise ConfigError(f"no MCP server {server!r}{nearest(server, self.config.servers)}")
        return self.config.servers[server]

    def _tool(self, server: str, text: ToolText) -> McpTool:
        made = self._made.get((server, text.name))
        if made is None or made.text.digest != text.digest:
            made = self._made[server, text.name] = McpTool(server, text, self)
        return made

    async def _started(self, server: str) -> Connection:
        try:
            return await self._connected(server)
        except ConfigError as error:
            raise ToolError(f"MCP server {server!r} cannot be started: {error}") from error

    async def _connected(self, server: str) -> Connection:
        loop = asyncio.get_running_loop()
        slot = self._slots.setdefault((loop, server), _Slot())
        async with slot.lock:
            if slot.connection is not None and not slot.connection.is_lost:
                return slot.connection
            if self._is_closed:
                raise ToolError(f"MCP server {server!r} was closed with the worker")
            now = loop.time()
            if len(slot.starts) == MAX_STARTS and now - slot.starts[0] < WITHIN_S:
                raise ToolError(
                    f"MCP server {server!r} ended {MAX_STARTS} times within {WITHIN_S:g} s and "
                    "stays down for now: do without it"
                )
            slot.starts.append(now)
            fresh = Connection(server, self.config.servers[server], search_path=self._search_path)
            # Before it is open: a close in the meantime must find it.
            slot.connection = fresh
            await fresh.open()
            return fresh


def _unknown(error: ServerLostError) -> ServerLostError:
    """Tell the model what not to assume."""
    return ServerLostError(
        f"{error}. It gave no answer, so whether it did what was asked is not known: find out "
        "before you ask for it again",
        last_words=error.last_words,
        is_sent=True,
    )
