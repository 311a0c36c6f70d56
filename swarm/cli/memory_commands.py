"""What `swarm memory` takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Limit = Annotated[int, Option("--limit", min=1, max=10_000, help="The most that are listed.")]
Id = Annotated[str, Argument(metavar="ID", help="The memory's id.")]
Text = Annotated[str, Argument(metavar="TEXT|-", help="The words; - reads them from stdin.")]

memory = plain_typer(no_args_is_help=True, help="What the company remembers.")


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.memories:{function}")(**arguments)
    return result


@memory.command("list")
def memory_list(
    limit: Limit = 100,
    is_all: Annotated[
        bool, Option("--all", help="Also what was replaced and what has expired.")
    ] = False,
    as_json: Json = False,
) -> int | None:
    """List the newest memories."""
    return _work("listed", limit=limit, is_all=is_all, as_json=as_json)


@memory.command("search")
def memory_search(
    query: Annotated[str, Argument(metavar="QUERY", help="Words to look for.")],
    limit: Limit = 20,
    as_json: Json = False,
) -> int | None:
    """List the memories nearest to some words, best first."""
    return _work("search", query=query, limit=limit, as_json=as_json)


@memory.command("add")
def memory_add(
    text: Text,
    kind: Annotated[
        str, Option("--kind", help="fact, preference, lesson or episode.", metavar="KIND")
    ] = "fact",
    subject: Annotated[
        str | None,
        Option("--subject", metavar="WORDS", help="What it speaks of; replaces the older one."),
    ] = None,
    owner: Annotated[
        str | None,
        Option("--about", metavar="WHO", help="role:NAME, person:NAME or customer:NAME."),
    ] = None,
    audience: Annotated[
        str,
        Option(
            "--audience",
            metavar="ROLES",
            help="Roles that may see it, with commas; `internal` keeps it from customers.",
        ),
    ] = "",
    seen_at: Annotated[
        str | None,
        Option("--seen", metavar="DATE", help="You saw it in the field on this day."),
    ] = None,
    until: Annotated[
        str | None, Option("--until", metavar="DATE", help="It holds until this day.")
    ] = None,
    half_life: Annotated[
        int | None,
        Option("--half-life", metavar="DAYS", help="After so many days it is worth half."),
    ] = None,
    source: Annotated[
        str | None, Option("--source", metavar="WORDS", help="What it was taken from.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Remember something in your words."""
    return _work(
        "add",
        text=text,
        kind=kind,
        subject=subject,
        owner=owner,
        audience=audience,
        seen_at=seen_at,
        until=until,
        half_life=half_life,
        source=source,
        as_json=as_json,
    )


@memory.command("edit")
def memory_edit(memory_id: Id, text: Text, as_json: Json = False) -> int | None:
    """Give a memory other words; the old ones stay, with a pointer."""
    return _work("edit", memory_id=memory_id, text=text, as_json=as_json)


@memory.command("confirm")
def memory_confirm(memory_id: Id, as_json: Json = False) -> int | None:
    """Vouch for a memory that came from a stranger's words."""
    return _work("confirm", memory_id=memory_id, as_json=as_json)


@memory.command("forget")
def memory_forget(
    memory_id: Id,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> int | None:
    """Delete a memory, with its older wordings, for good."""
    return _work("forget", memory_id=memory_id, is_asked=not yes, as_json=as_json)


@memory.command("export")
def memory_export(
    target: Annotated[
        str, Argument(metavar="[FILE|-]", help="Where to; - is standard output.")
    ] = "-",
) -> int | None:
    """Write every memory as JSON lines, which `import` reads."""
    return _work("export", target=target)


@memory.command("import")
def memory_import(
    source: Annotated[str, Argument(metavar="FILE|-", help="JSON lines; - reads stdin.")],
    as_json: Json = False,
) -> int | None:
    """Remember the good lines of a file; list the bad ones with their reason (exit code 2)."""
    return _work("bring", source=source, as_json=as_json)
