"""One running server, spoken to in MCP, by one caller at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from swarm import __version__
from swarm.core.errors import ConfigError, ToolError
from swarm.tools.mcp.config import McpServerConfig
from swarm.tools.mcp.pins import ToolText
from swarm.tools.mcp.wire import UNBOUNDED, Outlet, Wire, resolved

if TYPE_CHECKING:
    from mcp import types
    from mcp.client.session import ClientSession

MAX_TOOLS = 200
MAX_PAGES = 50

_Answer = TypeVar("_Answer")


class ServerLostError(ToolError):
    """Say that a server is not there any more, or never was one, in our words alone.

    `last_words` is the end of what it wrote to standard error: for the operator, never for a model.
    `is_sent` is true where a call was on its way, so that the tool may have done its work.
    """

    def __init__(self, message: str, *, last_words: str = "", is_sent: bool = False) -> None:
        super().__init__(message)
        self.last_words = last_words
        self.is_sent = is_sent


class TooManyToolsError(ValueError):
    """Say that a server lists more tools than are looked at."""


class ToolChangedError(ToolError):
    """Say that a server's tool is not the one that was approved; nothing was called."""


class ServerRefusal(Exception):
    """Carry an error of the protocol. Its text is the server's, so it may not pass for ours."""


def need_extra() -> None:
    """Import what speaks MCP. That takes a second or two, so do it in a thread.

    Raises:
        ConfigError: The extra is not installed.
    """
    try:
        import mcp  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"MCP servers need the package {error.name!r}: pip install 'swarm[mcp]'"
        ) from error


class Connection:
    """A server from its start to its end. Its owner calls `open` once and `close` at last."""

    def __init__(self, name: str, config: McpServerConfig, *, search_path: str) -> None:
        self.name = name
        self.tools: tuple[ToolText, ...] = ()
        """What the server offered when it was asked last."""
        self._config = config
        self._search_path = search_path
        self._wire = Wire(on_line=self._take, on_end=self._hear_end)
        self._inbox: Any = None
        self._is_stale = False
        self._turn = asyncio.Lock()
        self._is_over = asyncio.Event()
        self._entered: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_lost(self) -> bool:
        """True once the server ended or was ended."""
        return self._is_over.is_set()

    async def open(self) -> None:
        """Start the server, shake hands and ask for its tools.

        Raises:
            ConfigError: It cannot be started as configured, or the extra is missing.
            ServerLostError: It ended, was silent, or does not speak MCP.
        """
        resolved(self._config)
        await asyncio.to_thread(need_extra)
        if self.is_lost:
            raise await self._lost()
        self._keeper = asyncio.create_task(self._keep(), name=f"mcp {self.name}")
        try:
            await asyncio.shield(self._entered)
            await self._listed(_shake_hands)
            self.tools = await self._listed(_list)
        except BaseException:
            # It owes us no orderly end: nothing was asked of it yet.
            self._wire.kill()
            await self.close()
            raise

    async def close(self) -> None:
        """End the server and wait until nothing of it is left."""
        self._is_over.set()
        if self._keeper is not None:
            # Shielded: a caller that is cancelled must not leave the server behind.
            await asyncio.shield(asyncio.wait({self._keeper}))
        if self._entered.done() and not self._entered.cancelled():
            # Whoever waited for it may be gone; an exception nobody looks at would be logged.
            self._entered.exception()

    async def offered(self) -> tuple[ToolText, ...]:
        """Return what the server offers, asking again where it said that this changed.

        Raises:
            ServerLostError: It did not answer.
        """
        async with self._turn:
            await self._refresh()
            return self.tools

    async def call(self, tool: ToolText, arguments: dict[str, Any]) -> "types.CallToolResult":
        """Call one tool, if it still is what was approved.

        Raises:
            ToolChangedError: It is not; nothing was called.
            ServerLostError: No answer came; whether the tool did anything is not known.
            ServerRefusal: The server answered with an error of the protocol.
        """
        from mcp import types

        params = types.CallToolRequestParams(name=tool.name, arguments=arguments)
        request = types.CallToolRequest(params=params)
        async with self._turn:
            await self._refresh()
            if not self._is_as_approved(tool):
                raise ToolChangedError(
                    f"the tool {tool.name!r} of MCP server {self.name!r} is not what was approved, "
                    "so it was not called: the operator must look at it (`swarm mcp show "
                    f"{self.name}`)"
                )
            return await self._ask(
                lambda session: session.send_request(request, types.CallToolResult), is_call=True
            )

    def _is_as_approved(self, tool: ToolText) -> bool:
        same_name = [text for text in self.tools if text.name == tool.name]
        return (
            len(same_name) == 1
            and same_name[0].refusal is None
            and same_name[0].digest == tool.digest
        )

    async def _refresh(self) -> None:
        if self._is_stale:
            self._is_stale = False
            try:
                self.tools = await self._listed(_list)
            except BaseException:
                self._is_stale = True
                raise

    async def _listed(self, work: "Callable[[ClientSession], Awaitable[_Answer]]") -> _Answer:
        """Ask for what no server may refuse."""
        try:
            return await self._ask(work)
        except ServerRefusal as refusal:
            raise ServerLostError(
                f"MCP server {self.name!r} refuses to list its tools",
                last_words=f"{refusal}\n{self._wire.last_words}",
            ) from refusal

    async def _ask(
        self, work: "Callable[[ClientSession], Awaitable[_Answer]]", *, is_call: bool = False
    ) -> _Answer:
        """Put one request to the server, within its time and its allowance of words."""
        import anyio
        from mcp.shared.exceptions import MCPError

        self._wire.renew_allowance()
        try:
            if self.is_lost:
                raise await self._lost()
            async with asyncio.timeout(self._config.timeout_s):
                return await work(self._entered.result())
        except TimeoutError as error:
            self._wire.kill(f"it did not answer within {self._config.timeout_s:g} s")
            raise await self._lost(is_sent=is_call) from error
        # ValueError is an answer outside the protocol, RuntimeError a version nobody speaks.
        except (MCPError, ValueError, RuntimeError, anyio.ClosedResourceError) as error:
            if isinstance(error, MCPError) and not self.is_lost:
                raise ServerRefusal(error.message) from error
            if not self.is_lost:
                is_ours = isinstance(error, TooManyToolsError)
                self._wire.kill(str(error) if is_ours else "its answer does not fit the protocol")
            raise await self._lost(is_sent=is_call) from error

    async def _lost(self, *, is_sent: bool = False) -> ServerLostError:
        await self.close()
        wire = self._wire
        if wire.fault:
            how = f"was ended: {wire.fault}"
        elif wire.exit_code is None:
            how = "closed its output and was ended"
        else:
            how = f"ended with exit code {wire.exit_code}"
        return ServerLostError(
            f"MCP server {self.name!r} {how}", last_words=wire.last_words, is_sent=is_sent
        )

    async def _keep(self) -> None:
        """Hold the library's session: the task that enters it must be the one that leaves it."""
        import anyio
        from mcp.client.session import ClientSession
        from mcp.types import Implementation

        info = Implementation(name="swarm", version=__version__)
        self._inbox, outbox = anyio.create_memory_object_stream[Any](UNBOUNDED)
        try:
            await self._wire.start(self._config, search_path=self._search_path)
            async with ClientSession(outbox, Outlet(self._wire), client_info=info) as session:
                self._entered.set_result(session)
                await self._is_over.wait()
        except Exception as error:  # noqa: BLE001  # handed to whoever opens, or ends the server
            if self._entered.done():
                self._wire.kill(f"the connection broke ({type(error).__name__})")
            else:
                self._entered.set_exception(error)
        finally:
            self._is_over.set()
            await self._wire.close()
            self._inbox.close()
            outbox.close()
            self._entered.cancel()

    def _take(self, line: bytes) -> None:
        """Pass on answers and requests, which the session declines; of all else note one thing."""
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp.types.jsonrpc import JSONRPCNotification, jsonrpc_message_adapter

        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            # Servers print greetings and logs where only messages belong; what is no message is
            # nothing, apart from its length, which the wire counts.
            return
        if isinstance(message, JSONRPCNotification):
            self._is_stale |= message.method == "notifications/tools/list_changed"
            return
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._inbox.send_nowait(SessionMessage(message))

    def _hear_end(self) -> None:
        self._is_over.set()
        if self._inbox is not None:
            self._inbox.close()


async def _shake_hands(session: "ClientSession") -> None:
    """Agree on a version: the way all servers know first, the newest one where that is refused."""
    from mcp.shared.exceptions import MCPError
    from mcp.types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION

    try:
        await session.initialize()
    except MCPError as error:
        if error.code != UNSUPPORTED_PROTOCOL_VERSION:
            raise
        await session.discover()


async def _list(session: "ClientSession") -> tuple[ToolText, ...]:
    """Ask for all tools. Not by the session's own method: that leaves tools out silently."""
    from mcp import types

    found: list[ToolText] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        request = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor))
        page = await session.send_request(request, types.ListToolsResult)
        found += [ToolText(t.name, t.description or "", t.input_schema) for t in page.tools]
        cursor = page.next_cursor
        if cursor is None or len(found) > MAX_TOOLS:
            break
    if cursor is not None or len(found) > MAX_TOOLS:
        raise TooManyToolsError(f"it lists more than {MAX_TOOLS} tools")
    return tuple(found)
