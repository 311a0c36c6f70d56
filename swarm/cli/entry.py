"""The door: find the command, run it, and say in one sentence what went wrong."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from swarm import __version__
from swarm.cli import exits
from swarm.cli.lazy import load, load_last
from swarm.cli.terminal import ReaderGoneError, say, tell
from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.registry import nearest

MODULE = "swarm.cli.commands"
SERVICES = ("up", "worker")
"""Commands that stay."""
OPTIONS = ("--help", "--verbose", "--version")


class Command(NamedTuple):
    """One line of the table."""

    target: str
    """Where it is declared, `module:function`."""
    help: str
    section: str


def _table(section: str, lines: dict[str, str]) -> dict[str, Command]:
    return {
        name: Command(f"{MODULE}:{name}", help_text, section) for name, help_text in lines.items()
    }


COMMANDS: dict[str, Command] = {
    **_table(
        "Orders",
        {
            "order": "Give the company an order; --wait works it to its end.",
            "wait": "Go on with an order and wait for it.",
            "orders": "List the newest orders.",
            "show": "Show an order: plan, result, receipt.",
            "cancel": "Stop an order before its next step.",
            "resume": "Let a parked or failed order go on.",
        },
    ),
    **_table(
        "Your word",
        {
            "inbox": "Show what waits for you.",
            "answer": "Answer a question.",
            "choose": "Choose one of the options of a question.",
            "approve": "Sign a plan, or a call that a role wants to make.",
            "reject": "Refuse a call, or send a plan or a result back, with a reason.",
            "accept": "Take responsibility for a result, by name.",
        },
    ),
    "rules": Command(
        "swarm.cli.rules:rules", "Sign calls in advance, list and revoke that.", "Your word"
    ),
    **_table(
        "Books",
        {
            "budget": "Show the budgets, or set one.",
            "ledger": "List model calls and what each cost.",
            "roles": "List the roles of the company.",
            "schema": "Print the JSON Schema of a document.",
        },
    ),
    "baseline": Command(
        "swarm.cli.baseline:baseline",
        "What people would have needed: show, compare, predict, calibrate.",
        "Books",
    ),
    "memory": Command(
        "swarm.cli.memory_commands:memory", "List, search, add, edit or forget memories.", "Books"
    ),
    "hosting": Command(
        "swarm.cli.hosting:hosting", "Bills of machines, their prices, what orders used.", "Books"
    ),
    "receipt": Command(
        "swarm.cli.receipts:receipt", "Print what an order cost, and what it left out.", "Books"
    ),
    "time": Command(
        "swarm.cli.time:time", "Your own minutes: list, correct, add; your week.", "Books"
    ),
    "prices": Command(
        "swarm.cli.prices:prices", "Price recorded calls; show, check and import prices.", "Books"
    ),
    "report": Command(
        "swarm.cli.reporting:report", "What a week or a month cost, and whether it pays.", "Books"
    ),
    "export": Command(
        "swarm.cli.exporting:export", "Write the books as FOCUS, OpenTelemetry or JSON.", "Books"
    ),
    "audit": Command(
        "swarm.cli.audit:audit", "Check, export and sign the record of who did what.", "Books"
    ),
    "record": Command(
        "swarm.cli.recordings:record", "Record a finished order, to be played again.", "Proof"
    ),
    "replay": Command(
        "swarm.cli.recordings:replay", "Play recorded orders again, with no network.", "Proof"
    ),
    "eval": Command(
        "swarm.cli.evaluating:evaluate", "Run scenarios offline and grade what they left.", "Proof"
    ),
    "explain": Command(
        "swarm.cli.evaluating:explain", "Say where an order first went wrong, and why.", "Proof"
    ),
    "import-trace": Command(
        "swarm.cli.evaluating:import_trace",
        "Turn another program's trace into a cassette.",
        "Proof",
    ),
    "skills": Command(
        "swarm.cli.skills:skills", "List skills; show, approve and revoke your own.", "Tools"
    ),
    "mcp": Command(
        "swarm.cli.mcp:mcp", "List MCP servers; show, approve and revoke their tools.", "Tools"
    ),
    "pairing": Command(
        "swarm.cli.pairing:pairing", "List, let in and remove people who chat.", "People"
    ),
    "customers": Command(
        "swarm.cli.customers:customers",
        "List customers, answer those who wait for a person, forget one.",
        "People",
    ),
    "channels": Command(
        "swarm.cli.channels:channels", "Show the channels, and test one.", "People"
    ),
    **_table(
        "Running",
        {
            "init": "Create the company, or bring it up to date.",
            "up": "Work orders and listen to the channels until stopped.",
            "worker": "Work orders until stopped, without channels.",
            "doctor": "Check the installation and the books.",
        },
    ),
    "farm": Command(
        "swarm.cli.farm:farm",
        "Instances for a team: start, upgrade, back up, remove, cost.",
        "Running",
    ),
    "db": Command("swarm.cli.db:db", "Show, upgrade and move the company's database.", "Running"),
}


def main() -> int:
    """Run the command line of this process and return its exit code."""
    # Half of what the collector would look at during imports stays for good anyway.
    gc.disable()
    try:
        return run(sys.argv[1:])
    finally:
        gc.enable()
        _let_go_of_a_closed_pipe()


def run(argv: Sequence[str]) -> int:
    """Run one command line, without the program's name, and return the exit code."""
    try:
        return guarded(lambda: _run(list(argv)))
    except ReaderGoneError:
        return exits.READER_GONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _run(argv: list[str]) -> int:
    is_verbose, argv = _verbosity(argv)
    if not argv:
        tell(_help())
        return exits.USAGE
    name, *arguments = argv
    if name in ("-h", "--help", "help"):
        say(_help())
        return exits.DONE
    if name == "--version":
        say(f"swarm {__version__}")
        return exits.DONE
    if name not in COMMANDS:
        kind, known = ("option", OPTIONS) if name.startswith("-") else ("command", COMMANDS)
        raise InvalidInput(f"There is no {kind} {name!r}{nearest(name, known)}")
    return _run_command(name, arguments, is_verbose=is_verbose)


def _verbosity(argv: list[str]) -> tuple[bool, list[str]]:
    """Take `--verbose` out, wherever it stands before a `--`."""
    end = argv.index("--") if "--" in argv else len(argv)
    head = [word for word in argv[:end] if word != "--verbose"]
    return len(head) < end, [*head, *argv[end:]]


def _run_command(name: str, arguments: list[str], *, is_verbose: bool) -> int:
    if name in SERVICES:
        # The library of logs would load it for coloured traces, which no service writes, and keep
        # five megabytes with it for as long as the process lives.
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    options = _plain_up(arguments) if name == "up" else None
    if options is not None:
        load("swarm.store.lean:begin")()
        with load("swarm.cli.logs:configured")(is_verbose=is_verbose):
            load_last("swarm.cli.service:up")(**options)
        return exits.DONE
    runner: Callable[..., int] = load("swarm.cli.running:run_command")
    return runner(
        load(COMMANDS[name].target), arguments, name=f"swarm {name}", is_verbose=is_verbose
    )


def _plain_up(arguments: list[str]) -> dict[str, Any] | None:
    """Read the options of `up` where they are written plainly.

    None leaves them to the library of options, which knows each form of them and what is wrong with
    one. It would stay for as long as the process listens, with three megabytes.
    """
    options: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        value = "" if word == "--no-work" else next(words, "-")
        if word == "--no-work":
            options["no_work"] = True
        elif word == "--companies" and not value.startswith("-"):
            options["companies"] = value
        elif (
            word == "--at-work" and value.isascii() and value.isdigit() and 1 <= int(value) <= 1_000
        ):
            options["at_work"] = int(value)
        else:
            return None
    return options


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its code; what it raises becomes one sentence and a code."""
    try:
        return command()
    except SwarmError as error:
        return _fail(str(error), exits.of_error(error))
    except ReaderGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # the outermost loop of a command
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" ({error.filename})" if error.filename else ""
            return _fail(f"The disk is full{where}: free some space and try again.", exits.USAGE)
        record: Callable[[BaseException], Any] = load("swarm.cli.logs:record_crash")
        return _fail(
            f"Something inside Swarm broke ({type(error).__name__}); nothing that was stored is "
            f"lost. The trace is in {record(error)}.",
            exits.BUG,
        )


def _fail(sentence: str, code: int) -> int:
    # A suggestion at its end is a question already.
    tell(f"Error: {sentence.removesuffix('.') if sentence.endswith('?.') else sentence}")
    return code


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "Usage: swarm [--verbose] COMMAND [ARGUMENTS]",
        "",
        "A company made of agents: one order goes in, plan, work, review and receipt come out.",
    ]
    section = ""
    for name, command in COMMANDS.items():
        if command.section != section:
            section = command.section
            lines += ["", f"{section}:"]
        lines.append(f"  {name:{width}}{command.help}")
    return "\n".join(
        [
            *lines,
            "",
            "`swarm COMMAND --help` says more; `--json` gives programs one document on stdout.",
            "Exit codes: 0 done, 1 a bug, 2 usage or configuration, 3 waiting for a person,",
            "4 the order failed, 5 a limit or provider stopped it, 130 interrupted.",
        ]
    )


def _let_go_of_a_closed_pipe() -> None:
    """Point standard output elsewhere if its reader is gone; Python's own last flush would complain."""
    try:
        sys.stdout.flush()
    except (OSError, AttributeError, ValueError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
