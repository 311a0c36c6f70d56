"""What `swarm audit` takes. Nothing here works: that is imported when a command runs."""

from pathlib import Path
from typing import Annotated

from typer import Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]

audit = plain_typer(no_args_is_help=True, help="Who did what, in a chain that shows every change.")


@audit.command("verify")
def verify(
    file: Annotated[
        Path | None, Option("--file", metavar="FILE", help="An export, instead of the company.")
    ] = None,
    head: Annotated[
        str | None,
        Option("--head", metavar="LINE", help="What `swarm audit head --sign` printed earlier."),
    ] = None,
    key: Annotated[
        list[str] | None,
        Option("--key", metavar="HEX", help="A public key to trust, instead of the company's."),
    ] = None,
    without_key: Annotated[
        bool, Option("--without-key", help="Check the chain alone, not who signed it.")
    ] = False,
    as_json: Json = False,
) -> int | None:
    """Read the whole chain and name the first bad row.

    A chain alone shows edits, drops, swaps and insertions. Who owns the file could cut off its
    end, or write it anew with the key: a head that was signed earlier and kept elsewhere shows that.
    """
    code: int = load_last("swarm.cli.auditing:verify")(
        file=file, head=head, keys=key, without_key=without_key, as_json=as_json
    )
    return code


@audit.command("export")
def export() -> None:
    """Write the chain to standard output, one JSON document a line."""
    load_last("swarm.cli.auditing:export")()


@audit.command("head")
def head(
    sign: Annotated[
        bool, Option("--sign", help="Sign it, and print one line to keep elsewhere.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the newest row."""
    load_last("swarm.cli.auditing:head")(sign=sign, as_json=as_json)


@audit.command("key")
def key(as_json: Json = False) -> None:
    """Print the public key that checks the company's signatures."""
    load_last("swarm.cli.auditing:key")(as_json=as_json)
