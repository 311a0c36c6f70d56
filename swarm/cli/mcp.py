"""What `swarm mcp` takes. The work is in `mcp_servers`, imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Name = Annotated[str, Argument(metavar="NAME", help="The server's name in company.yaml.")]
Tools = Annotated[
    list[str] | None, Option("--tool", metavar="TOOL", help="Only this tool; may be repeated.")
]
Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]

mcp = plain_typer(no_args_is_help=True, help="MCP servers and their tools.")


def _work(function: str, /, **arguments: Any) -> int:
    result: int = load_last(f"swarm.cli.mcp_servers:{function}")(**arguments)
    return result


@mcp.command("list")
def mcp_list(as_json: Json = False) -> int:
    """List the servers and who approved how many of their tools; starts none."""
    return _work("listed", as_json=as_json)


@mcp.command("show")
def mcp_show(name: Name, as_json: Json = False) -> int:
    """Start a server and show each of its tools: as approved, changed, or new."""
    return _work("show", name=name, as_json=as_json)


@mcp.command("approve")
def mcp_approve(
    name: Name,
    tools: Tools = None,
    digest: Annotated[
        str, Option("--digest", metavar="SHA256", help="Approve what `show` showed, unasked.")
    ] = "",
    as_json: Json = False,
) -> int:
    """Show what a server's tools say now, and let roles use exactly that.

    Where nobody can be asked, --digest names what `swarm mcp show NAME` showed.
    """
    return _work("approve", name=name, tools=tools or [], digest=digest, as_json=as_json)


@mcp.command("revoke")
def mcp_revoke(name: Name, tools: Tools = None, as_json: Json = False) -> int:
    """Take the approval of a server's tools back; a running worker heeds it at once."""
    return _work("revoke", name=name, tools=tools or [], as_json=as_json)


@mcp.command("test")
def mcp_test(name: Name, as_json: Json = False) -> int:
    """Start a server, ask for its tools, and say how that went; calls none of them."""
    return _work("try_out", name=name, as_json=as_json)
