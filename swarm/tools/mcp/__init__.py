"""MCP servers as tools: programs of the operator's choice, held to what a person approved.

A server is named in `company.yaml` and nowhere else. Its tools are offered only after `swarm mcp
approve`, which pins their text; from then on a model reads the pinned text, and a tool that says
anything else is neither offered nor called. What a server answers carries the origin `tool`.

`config.py` says what an operator may write, `pins.py` what was approved, `schema.py` holds
arguments to a stranger's schema, `wire.py` runs the process, `connection.py` speaks with it,
`results.py` reads its answers, and `servers.py` makes tools of it all. Nothing here imports the
library before a server is started, and the settings, which need `config.py`, import nothing else:
the names below are loaded when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm.tools.mcp.config import McpConfig, McpServerConfig
    from swarm.tools.mcp.pins import ListedTool, Listing, PinBook, ToolState
    from swarm.tools.mcp.servers import McpServers, McpTool

_HOMES = {
    "McpConfig": "config",
    "McpServerConfig": "config",
    "ListedTool": "pins",
    "Listing": "pins",
    "PinBook": "pins",
    "ToolState": "pins",
    "McpServers": "servers",
    "McpTool": "servers",
}

__all__ = [
    "ListedTool",
    "Listing",
    "McpConfig",
    "McpServerConfig",
    "McpServers",
    "McpTool",
    "PinBook",
    "ToolState",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
