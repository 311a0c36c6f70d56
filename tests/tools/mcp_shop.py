"""A company with one MCP server, for tests: what it offers, and what was approved."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from swarm.tools.base import Tool, ToolContext, ToolResult, check_arguments
from swarm.tools.mcp import Listing, McpConfig, McpServers, PinBook
from swarm.tools.mcp.pins import ToolText, compare

# By their paths: these are run, and the library of one takes over a second to import.
SERVERS = Path(__file__).parents[1] / "servers"
REAL, ROGUE = str(SERVERS / "mcp_server.py"), str(SERVERS / "rogue_mcp.py")
TEXT_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "title": "Text"}, "to": {"type": "string"}},
    "required": ["text"],
}


def tool(name: str = "echo", **changes: Any) -> dict[str, Any]:
    """Return one tool as a server lists it."""
    return {"name": name, "description": f"Do {name}.", "inputSchema": TEXT_SCHEMA, **changes}


class Shop:
    """One server called `shop`, and a home for its lock."""

    def __init__(self, home: Path, *tools: dict[str, Any]) -> None:
        self.home = home
        self.catalogue = home / "tools.json"
        self.lock = home / "mcp.lock"
        self.offer(*(tools or (tool(),)))

    def offer(self, *tools: dict[str, Any]) -> None:
        """Let the server list these tools from now on."""
        self.catalogue.write_text(json.dumps(tools), encoding="utf-8")

    def pin(self, *tools: dict[str, Any]) -> None:
        """Approve these tools, or the one that is offered at first; starts nothing."""
        listing = compare("shop", texts(*(tools or (tool(),))), {})
        PinBook(self.lock).approve(listing, by="Ada", at="2026-11-22T10:00:00Z")

    def real(self, **config: Any) -> McpServers:
        """Return the server that is made with the library."""
        return self._servers([REAL, str(self.catalogue)], ["-I"], config)

    def rogue(self, mode: str = "good", **config: Any) -> McpServers:
        """Return the server that misbehaves in one way."""
        return self._servers([ROGUE, mode, str(self.catalogue)], ["-I", "-S"], config)

    def company_yaml(self, mode: str = "good") -> str:
        """Return what an operator writes to have the rogue."""
        command = [sys.executable, "-I", "-S", ROGUE, mode, str(self.catalogue)]
        return f"mcp:\n  servers:\n    shop:\n      command: {json.dumps(command)}\n"

    def _servers(self, words: list[str], flags: list[str], config: dict[str, Any]) -> McpServers:
        server = {"command": [sys.executable, *flags, *words], "timeout_s": 20, **config}
        return McpServers(McpConfig.model_validate({"servers": {"shop": server}}), self.lock)

    @property
    def starts(self) -> list[int]:
        """The process of each start of a rogue."""
        path = self.home / "starts"
        return [int(line) for line in path.read_text("ascii").split()] if path.exists() else []


async def approve(servers: McpServers) -> Listing:
    """Start the server and approve all that it offers now."""
    listing = await servers.inspect("shop")
    servers.pins.approve(listing, by="Ada", at="2026-11-22T10:00:00Z")
    return listing


def texts(*tools: dict[str, Any]) -> list[ToolText]:
    """Return tools as the server's answer is read."""
    return [ToolText(one["name"], one["description"], one["inputSchema"]) for one in tools]


async def use(tool: Tool, arguments: dict[str, Any] | None = None) -> ToolResult:
    """Call a tool as an agent does."""
    args = check_arguments(tool, json.dumps({"text": "hi"} if arguments is None else arguments))
    result = await tool.run(args, ToolContext(Path("/nowhere"), role="cto", task_id="t1"))
    assert isinstance(result, ToolResult)
    return result


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is more than a name its parent has yet to read."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
