"""What each command takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Wait = Annotated[bool, Option("--wait", help="Then keep working the order, and wait for it.")]
Id = Annotated[str, Argument(metavar="ID", help="The order's id.")]
Target = Annotated[str, Argument(metavar="ID", help="The order's id, or the question's.")]
Limit = Annotated[int, Option("--limit", min=1, max=10_000, help="The most that are listed.")]


def _work(module: str, function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.{module}:{function}")(**arguments)
    return result


def order(
    text: Annotated[str, Argument(metavar="TEXT|-", help="What you want; - reads it from stdin.")],
    wait: Annotated[bool, Option("--wait", help="Work it now, and wait for its end.")] = False,
    yes: Annotated[bool, Option("--yes", help="Sign the plan and answer no questions.")] = False,
    budget: Annotated[
        str | None, Option("--budget", metavar="AMOUNT", help="The most it may spend.")
    ] = None,
    record: Annotated[
        bool, Option("--record", help="With --wait: keep a recording of it, to be played again.")
    ] = False,
    as_json: Json = False,
) -> int | None:
    """Give the company an order.

    Without --wait the order is stored and its id printed; `swarm up` works it. A company that
    does not exist yet is created.
    """
    return _work(
        "ordering",
        "order",
        text=text,
        wait=wait,
        yes=yes,
        budget=budget,
        is_recorded=record,
        as_json=as_json,
    )


def wait(order_id: Id, as_json: Json = False) -> int | None:
    """Go on with an order and wait for it, here or beside the worker that has it."""
    return _work("ordering", "wait", order_id=order_id, as_json=as_json)


def orders(limit: Limit = 20, as_json: Json = False) -> int | None:
    """List the newest orders."""
    return _work("reading", "orders", limit=limit, as_json=as_json)


def show(order_id: Id, as_json: Json = False) -> int | None:
    """Show an order: plan, result, receipt."""
    return _work("reading", "show", order_id=order_id, as_json=as_json)


def inbox(as_json: Json = False) -> int | None:
    """Show what waits for you, oldest first, with the commands that answer it."""
    return _work("reading", "inbox", as_json=as_json)


def ledger(
    order_id: Annotated[str | None, Argument(metavar="[ID]", help="Of this order alone.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> int | None:
    """List model calls, newest last, and what each cost."""
    return _work("reading", "ledger", order_id=order_id, limit=limit, as_json=as_json)


def roles(as_json: Json = False) -> int | None:
    """List the roles of the company."""
    return _work("reading", "roles", as_json=as_json)


def schema(
    name: Annotated[str, Argument(metavar="NAME", help="Which document: order or receipt.")],
) -> int | None:
    """Print the JSON Schema of what --json prints."""
    return _work("schemas", "schema", name=name)


def approve(
    target: Target,
    digest: Annotated[
        str, Option("--digest", help="Sign only if the request still has this digest.")
    ] = "",
    wait: Wait = False,
    as_json: Json = False,
) -> int | None:
    """Sign the plan of an order, or calls that its roles want to make; each runs as shown, once."""
    return _work("acting", "approve", target=target, digest=digest, wait=wait, as_json=as_json)


def reject(
    target: Target,
    reason: Annotated[str, Argument(metavar="REASON", help="What should be different.")],
    wait: Wait = False,
    as_json: Json = False,
) -> int | None:
    """Refuse a call, or send a plan or a result back with a reason; it is planned anew."""
    return _work("acting", "reject", target=target, reason=reason, wait=wait, as_json=as_json)


def answer(
    target: Target,
    text: Annotated[str, Argument(metavar="TEXT|-", help="Your answer; - reads it from stdin.")],
    wait: Wait = False,
    as_json: Json = False,
) -> int | None:
    """Answer a question, or all open questions of an order."""
    return _work("acting", "answer", target=target, text=text, wait=wait, as_json=as_json)


def choose(
    target: Target,
    number: Annotated[int, Argument(metavar="NUMBER", help="The option, counted from 1.")],
    reason: Annotated[
        str, Option("--why", metavar="REASON", help="Why; the company learns your taste by it.")
    ] = "",
    wait: Wait = False,
    as_json: Json = False,
) -> int | None:
    """Choose one of the options of a question."""
    return _work(
        "acting", "choose", target=target, number=number, reason=reason, wait=wait, as_json=as_json
    )


def accept(
    order_id: Id,
    sign: Annotated[
        str, Option("--sign", metavar="NAME", help="Who takes responsibility, by full name.")
    ] = "",
    as_json: Json = False,
) -> int | None:
    """Take responsibility for a delivered result, by name."""
    return _work("acting", "accept", order_id=order_id, sign=sign, as_json=as_json)


def cancel(order_id: Id, as_json: Json = False) -> int | None:
    """Stop an order before its next step; what was spent stays on its receipt."""
    return _work("acting", "cancel", order_id=order_id, as_json=as_json)


def resume(order_id: Id, wait: Wait = False, as_json: Json = False) -> int | None:
    """Let a parked or failed order go on."""
    return _work("acting", "resume", order_id=order_id, wait=wait, as_json=as_json)


def budget(
    target: Annotated[
        str | None, Argument(metavar="[TARGET]", help="An order's id, day, month, or company.")
    ] = None,
    amount: Annotated[str | None, Argument(metavar="[AMOUNT|none]", help="The new limit.")] = None,
    as_json: Json = False,
) -> int | None:
    """Show the budgets, or set the limit of one.

    Orders that were parked at the limit go on.
    """
    return _work("budgets", "budget", target=target, amount=amount, as_json=as_json)


def init(as_json: Json = False) -> int | None:
    """Create the company, or bring it up to date; doing it again changes nothing."""
    return _work("service", "init", as_json=as_json)


def up(
    no_work: Annotated[
        bool, Option("--no-work", help="Listen and send only; `swarm worker` works. Postgres only.")
    ] = False,
    companies: Annotated[
        str | None,
        Option("--companies", metavar="DIR", help="Listen for every company of this folder."),
    ] = None,
    at_work: Annotated[
        int,
        Option("--at-work", min=1, max=1_000, help="With --companies: how many work at a time."),
    ] = 4,
) -> int | None:
    """Work orders and listen to the channels, until Ctrl-C or SIGTERM.

    On one Postgres a single `swarm up` listens; as many `swarm worker` as you like work beside it.

    With --companies one process listens for each folder in DIR that holds a company. Variables of
    the environment hold for all of them; what is one company's (the token of its bot, its own keys)
    stands in its company.yaml, or as NAME=value in its company.env. Folders that come or go are
    noticed within a minute, or at once after SIGHUP.
    """
    return _work("service", "up", no_work=no_work, companies=companies, at_work=at_work)


def worker(
    concurrency: Annotated[
        int | None,
        Option("--concurrency", min=1, max=10_000, help="Orders worked at the same time."),
    ] = None,
    name: Annotated[
        str | None, Option("--name", help="Its name among all workers; found by itself otherwise.")
    ] = None,
) -> int | None:
    """Work orders until Ctrl-C or SIGTERM, without channels.

    With SWARM_DATABASE_URL on a Postgres, any number of workers on any number of hosts work one
    company. They share its files too: SWARM_HOME is one folder for all of them, on a volume that
    every host can write (`swarm doctor` checks that).
    """
    return _work("service", "worker", concurrency=concurrency, name=name)


def doctor(
    ask: Annotated[bool, Option("--ask", help="Ask the model one tiny, metered question.")] = False,
    as_json: Json = False,
) -> int | None:
    """Check the installation and the books; say for each problem what helps."""
    return _work("doctor", "doctor", ask=ask, as_json=as_json)
