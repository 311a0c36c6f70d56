"""See which MCP servers there are, what their tools say, and approve exactly that.

What a server says is a stranger's text: it is shown with a bar before each line, so that it cannot
pass for ours, and a tool that is refused is not quoted at all.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import typer

from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json, tell
from swarm.core.clock import SystemClock, iso
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.text import clean_text, shorten
from swarm.settings import Environment, load
from swarm.tools.mcp import ListedTool, Listing, McpServers, ToolState
from swarm.tools.mcp.connection import ServerLostError

LOCK = "mcp.lock"
"""The file of approved tools, in the company's folder."""
_ASKING = (ToolState.NEEDS_APPROVAL, ToolState.CHANGED)
_Answer = TypeVar("_Answer")


def _servers(environment: Environment) -> McpServers:
    return McpServers(environment.settings.mcp, environment.home / LOCK)


def listed(*, as_json: bool) -> int:
    """List what is configured and what is approved."""
    servers = _servers(load())
    names = sorted({*servers.config.servers, *servers.pins.servers()})
    entries = [_server_entry(servers, name) for name in names]
    if as_json:
        show_json({"servers": entries})
    else:
        say("\n".join(map(_server_line, entries)) or "company.yaml names no MCP server.")
    return exits.DONE


def _server_entry(servers: McpServers, name: str) -> dict[str, Any]:
    approval = servers.pins.approval(name)
    config = servers.config.servers.get(name)
    return {
        "server": name,
        "is_configured": config is not None,
        "command": list(config.command) if config else [],
        "approved_tools": sorted(servers.pins.of(name)),
        "approved_by": approval.by if approval else None,
        "approved_at": approval.at if approval else None,
    }


def _server_line(entry: dict[str, Any]) -> str:
    name, count = entry["server"], len(entry["approved_tools"])
    if not entry["is_configured"]:
        return f"{name}: no longer in company.yaml; `swarm mcp revoke {name}` forgets its approval"
    if not count:
        return f"{name}: nothing approved; `swarm mcp approve {name}` shows what there is"
    return f"{name}: {count} tools approved by {entry['approved_by']} at {entry['approved_at']}"


def show(*, name: str, as_json: bool) -> int:
    """Show what a server's tools say now, beside what was approved.

    Raises:
        ConfigError: No such server, or it cannot be started.
    """
    servers = _servers(load())
    listing = _ask(servers, lambda: servers.inspect(name))
    if as_json:
        show_json(_listing_entry(servers, listing))
    else:
        say(_described(servers, listing))
    return _code(listing)


def _code(listing: Listing) -> int:
    return exits.WAITING if any(t.state in _ASKING for t in listing.tools) else exits.DONE


def _listing_entry(servers: McpServers, listing: Listing) -> dict[str, Any]:
    return {
        **_server_entry(servers, listing.server),
        "digest": listing.digest,
        "tools": [_tool_entry(servers, tool) for tool in listing.tools],
    }


def _tool_entry(servers: McpServers, tool: ListedTool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": _named(tool), "state": tool.state.value}
    if tool.state is ToolState.REFUSED:
        return {**entry, "reason": tool.reason}
    text = tool.offered or tool.pinned
    assert text is not None
    return {
        **entry,
        "full_name": tool.full_name,
        "effect": servers.config.servers[tool.server].effect_of(tool.name).value,
        "description": text.description,
        "input_schema": text.input_schema,
        "diff": tool.diff,
    }


def _named(tool: ListedTool) -> str:
    return shorten(clean_text(tool.name), 80)


def _described(servers: McpServers, listing: Listing) -> str:
    lines = [f"{listing.server}: {len(listing.tools)} tools"]
    for tool in listing.tools:
        lines += ["", *_tool_lines(servers, tool)]
    lines += ["", f"What can be approved now has the digest {listing.digest}"]
    return "\n".join(lines)


def _tool_lines(servers: McpServers, tool: ListedTool) -> list[str]:
    if tool.state is ToolState.REFUSED:
        return [f"{_named(tool)}: refused, since {tool.reason}"]
    effect = servers.config.servers[tool.server].effect_of(tool.name).value
    head = f"{tool.full_name}: {tool.state.value}, effect {effect}"
    if tool.state is ToolState.CHANGED:
        return [head, *_barred(tool.diff)]
    text = tool.offered or tool.pinned
    assert text is not None
    return [head, *_barred(text.shown())]


def _barred(text: str) -> list[str]:
    return [f"  | {line}" for line in text.splitlines()]


def approve(*, name: str, tools: Sequence[str], digest: str, as_json: bool) -> int:
    """Pin what a server's tools say now, after a person has seen it.

    Raises:
        ConfigError: It cannot be started, or offers nothing that can be approved.
        InvalidInput: Nobody can be asked and no digest is given, or it is of something else.
    """
    environment = load()
    servers, by = _servers(environment), environment.user
    listing = _ask(servers, lambda: servers.inspect(name))
    if not listing.approvable:
        raise ConfigError(
            f"MCP server {name!r} offers no tool that can be approved: see `swarm mcp show {name}`."
        )
    listing.check(tools)
    _confirm(servers, listing, digest)
    # On the record first: an approval that nobody can trace would be worse than one too many there.
    _record(
        "mcp_approved", {"server": name, "tools": list(tools) or None, "sha256": listing.digest}
    )
    servers.pins.approve(listing, by=by, at=iso(SystemClock().now()), tools=tools)
    count = len(tools or listing.approvable)
    if as_json:
        show_json(_server_entry(servers, name))
    else:
        say(f"{by} approved {count} tools of {name}; roles that name them may use them now.")
    return exits.DONE


def _record(kind: str, body: dict[str, Any]) -> None:
    """Write the word of this terminal's person into the company's audit chain."""
    with opened(is_made=True) as app:
        app.signatures.record(kind=kind, signer=terminal_signer(app.environment), body=body)


def _confirm(servers: McpServers, listing: Listing, digest: str) -> None:
    """Make sure that what is pinned is what a person saw, not what came since."""
    if digest:
        if digest != listing.digest:
            raise InvalidInput(
                f"The tools of {listing.server} are not what you saw: their digest is "
                f"{listing.digest} now. Look again with `swarm mcp show {listing.server}`."
            )
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInput(
            f"Nobody can be asked here: look with `swarm mcp show {listing.server}`, and give the "
            "digest it ends with to --digest."
        )
    tell(_described(servers, listing))
    typer.confirm("May roles use these tools, as they are written here?", abort=True, err=True)


def revoke(*, name: str, tools: Sequence[str], as_json: bool) -> int:
    """Forget the approval of a server, or of some of its tools.

    Raises:
        NotFound: There was none.
    """
    servers = _servers(load())
    if tools:
        gone = [tool for tool in tools if servers.pins.revoke(name, tool)]
    else:
        gone = [name] if servers.pins.revoke(name) else []
    if not gone:
        what = f"{', '.join(tools)} of {name}" if tools else name
        raise NotFound(f"Nothing of {what} was approved.")
    _record("mcp_revoked", {"server": name, "tools": list(tools) or None})
    if as_json:
        show_json(_server_entry(servers, name))
    else:
        say(f"The approval of {', '.join(gone)} is taken back.")
    return exits.DONE


def try_out(*, name: str, as_json: bool) -> int:
    """Start a server, and say how long that took and where its tools stand.

    Raises:
        ConfigError: It does not start, or does not speak MCP.
    """
    servers = _servers(load())
    began = time.monotonic()
    listing = _ask(servers, lambda: servers.inspect(name))
    seconds = time.monotonic() - began
    states = [tool.state for tool in listing.tools]
    counts = {s.value: states.count(s) for s in ToolState if s in states}
    if as_json:
        show_json({"server": name, "start_s": round(seconds, 3), "tools": counts})
    else:
        words = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no tools"
        say(f"{name} answered within {seconds:.1f} s: {words}.")
    return _code(listing)


def _ask(servers: McpServers, work: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Do one thing with the servers, and leave none running.

    Raises:
        ConfigError: A server was lost; its own last words are told too.
    """

    async def done() -> _Answer:
        try:
            return await work()
        finally:
            await servers.close()

    try:
        return asyncio.run(done())
    except ServerLostError as error:
        if error.last_words.strip():
            tell("\n".join(["Its last words were:", *_barred(error.last_words)]))
        raise ConfigError(f"{error}.") from error
