"""Look at customers, answer those who wait for a person, and forget one who wants to be forgotten."""

import json
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.ordering import read_text
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.wording import counted
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.memory.forgetting import scrub
from swarm.runtime import customers_books as books
from swarm.runtime import customers_time
from swarm.runtime.customers_books import Customer
from swarm.runtime.customers_cards import current
from swarm.runtime.customers_forget import Forgotten
from swarm.runtime.customers_forget import forget as forget_all
from swarm.runtime.customers_handover import Handovers, find
from swarm.runtime.customers_talk import Side
from swarm.runtime.people import Person, PersonRole

_SAYS = {Side.SUPPORT.value: "Support", Side.HUMAN.value: "a person"}


def listed(*, limit: int, as_json: bool) -> None:
    """List customers."""
    with opened() as app:
        found, total = app.store.read(lambda c: (books.customers(c, limit=limit), books.count(c)))
        waiting = [customer for customer in found if customer.handover_id]
        if waiting:
            app.store.write(lambda c: [_seen(app, c, customer) for customer in waiting])
    if as_json:
        show_json({"customers": [_document(one) for one in found], "total": total})
        return
    lines = [_line(customer) for customer in found]
    if total > len(found):
        lines.append(f"… and {total - len(found)} more: `--limit {total}` shows them.")
    say("\n".join(lines) or "No customer has written yet.")


def show(*, customer: str, limit: int, as_json: bool) -> None:
    """Show one customer.

    Raises:
        NotFound: Nobody is known by that name.
    """
    with opened() as app:

        def work(connection: Connection) -> tuple[Customer, dict[str, Any]]:
            found = books.named(connection, customer)
            row = _seen(app, connection, found)
            return found, _document(found) | {
                "conversation": [
                    _turn(t) for t in books.conversation(connection, found, limit=limit)
                ],
                "handover": _handover(row),
                "unsent": [
                    {"text": one.body, "state": one.state, "why": one.error}
                    for one in books.unsent(connection, found)
                ],
                "spent": [
                    {"amount": amount, "currency": currency}
                    for currency, amount in books.spent(connection, found).items()
                ],
            }

        found, document = app.store.write(work)
    if as_json:
        show_json(document)
    else:
        say("\n".join(_page(found, document)))


def answer(*, target: str, text: str, as_json: bool) -> None:
    """Write to a customer who waits.

    Raises:
        NotFound, Conflict: Nobody waits under that name, or somebody else has them.
    """
    said = read_text(text)

    def act(handovers: Handovers, row: Any, by: Person, key: str) -> None:
        handovers.answer(row, said, by=by, name=by.name, key=key)

    _act(target, act, "Your answer goes to {name}.", as_json=as_json)


def take(*, target: str, as_json: bool) -> None:
    """Write instead of Support.

    Raises:
        NotFound, Conflict: Nobody waits under that name, or somebody else has them.
    """

    def act(handovers: Handovers, row: Any, by: Person, key: str) -> None:
        handovers.take(row, by=by, name=by.name, key=key)

    said = "{name} is yours: `swarm customers show {id}` shows what they write."
    _act(target, act, said, as_json=as_json)


def give_back(*, target: str, as_json: bool) -> None:
    """Let Support answer again.

    Raises:
        NotFound, Conflict: Nobody waits under that name, or somebody else has them.
    """

    def act(handovers: Handovers, row: Any, by: Person, key: str) -> None:
        handovers.give_back(row, by=by, key=key)

    _act(target, act, "{name} is Support's again.", as_json=as_json)


def forget(*, customer: str, as_json: bool, is_asked: bool) -> int:
    """Delete what was said with a customer; with `is_asked`, only after a yes.

    Raises:
        NotFound: Nobody is known by that name.
        InvalidInput: Nobody is there to say yes.
        Conflict: An answer to them is being written.
    """
    with opened() as app:
        found = app.store.read(lambda c: books.named(c, customer))
        if is_asked and not _is_agreed(found):
            tell("Nothing was forgotten.")
            return exits.USAGE
        by = terminal_signer(app.environment).identity
        gone = app.store.write(
            lambda c: forget_all(
                app.service, c, channel=found.channel, person_id=found.platform_id, by=by
            )
        )
        scrub(app.store)
    if as_json:
        show_json({"forgotten": found.key} | _gone(gone))
        return exits.DONE
    say(
        f"{found.key} is forgotten: {counted(gone.messages, 'message')}, "
        f"{counted(gone.files, 'file')}, {_memories(len(gone.memories))}, the "
        f"words of {counted(len(gone.orders), 'answer')}. What they cost stays in the books."
    )
    if gone.internal_orders:
        say(f"Internal orders still quote them: {', '.join(gone.internal_orders)}.")
    return exits.DONE


def _act(
    target: str,
    act: Callable[[Handovers, Any, Person, str], None],
    said: str,
    *,
    as_json: bool,
) -> None:
    """Do something with a hand-over in the name of this terminal's person."""
    with opened() as app:

        def work(connection: Connection) -> Any:
            row = _waiting(connection, target)
            key = f"terminal/{app.ids.new('k')}"
            act(Handovers(app.service, connection), row, _person(app), key)
            return find(connection, row.id)

        row = app.store.write(work)
        idle = not app.works_for
    if as_json:
        show_json(_handover(row))
        return
    say(said.format(name=row.name or row.person_id, id=row.id))
    if idle:
        say("Nobody works yet: `swarm up` sends it.")


def _waiting(connection: Connection, target: str) -> Any:
    """Return the hand-over that a command names, or that the named customer waits with."""
    try:
        return find(connection, target)
    except Conflict:
        pass
    found = books.named(connection, target)
    row = current(connection, found.channel, found.platform_id)
    if row is None:
        raise NotFound(f"{found.key} waits for nobody: `swarm customers list` shows who does.")
    return row


def _person(app: App) -> Person:
    """Return who sits at this terminal: the company's own person, whom no chat reaches."""
    user = app.environment.user
    platform_id = str(app.environment.user_id)
    return Person("terminal", "console", platform_id, user, PersonRole.FOUNDER, None)


def _seen(app: App, connection: Connection, customer: Customer) -> Any:
    """Note that this terminal's person read of a customer who waits; return the hand-over."""
    row = current(connection, customer.channel, customer.platform_id)
    if row is None:
        return None
    at, who = app.clock.now(), terminal_signer(app.environment).identity
    customers_time.shown(connection, row.id, at=at, channel="console")
    customers_time.looked(connection, row, at=at, who=who)
    return find(connection, row.id)


def _is_agreed(customer: Customer) -> bool:
    messages = counted(customer.messages, "message")
    tell(f"{customer.key} {customer.name!r}, {messages}\nForget all of it for good? [y/N]")
    said = sys.stdin.readline() if sys.stdin is not None else ""
    if not said:
        raise InvalidInput(
            f"Nobody said yes: `swarm customers forget {customer.key} --yes` asks nobody."
        )
    return said.strip().lower() in ("y", "yes", "o", "oui")


def _memories(count: int) -> str:
    return f"{count:,} {'memory' if count == 1 else 'memories'}"


def _line(customer: Customer) -> str:
    marks = [f"last wrote {customer.last_at}"] if customer.last_at else []
    marks.append(counted(customer.messages, "message"))
    if customer.is_revoked:
        marks.append("shown the door")
    if customer.handover_id:
        state = "waits for a person" if customer.handover_state == "open" else "has a person"
        marks.insert(0, f"{state} ({customer.handover_id})")
    return f"{customer.key}  {customer.name!r}  {', '.join(marks)}"


def _page(customer: Customer, document: dict[str, Any]) -> list[str]:
    lines = [_line(customer)]
    for one in document["spent"]:
        lines.append(f"Spent on answers: {one['amount']} {one['currency']}")
    for turn in document["conversation"]:
        who = _SAYS.get(turn["side"], customer.name or customer.platform_id)
        files = "".join(f"\n  file: {file['path']}" for file in turn["files"])
        lines.append(f"{turn['at']}  {who}: {turn['text']}{files}")
    row = document["handover"]
    if row is not None:
        lines.append(f"Waits for a person since {row['asked_at']}: {row['reason']}")
        if row["taken_by"]:
            lines.append(f"{row['taken_by']} has taken it over.")
        lines.append(f"Answer with `swarm customers answer {row['id']} TEXT`.")
    for one in document["unsent"]:
        lines.append(f"Not sent yet ({one['why'] or one['state']}): {one['text']}")
    return lines


def _document(customer: Customer) -> dict[str, Any]:
    return {
        "customer": customer.key,
        "id": customer.id,
        "channel": customer.channel,
        "platform_id": customer.platform_id,
        "name": customer.name,
        "is_revoked": customer.is_revoked,
        "last_at": customer.last_at,
        "messages": customer.messages,
        "handover_id": customer.handover_id,
        "handover_state": customer.handover_state,
    }


def _turn(row: Any) -> dict[str, Any]:
    return {
        "at": row.at,
        "side": row.side,
        "text": row.text,
        "files": json.loads(row.files),
        "order": row.order_id,
    }


def _handover(row: Any) -> dict[str, Any] | None:
    if row is None:
        return None
    names = (
        "id", "channel", "person_id", "state", "reason", "words", "asked_at", "shown_at",
        "answered_at", "taken_by", "closed_at", "closed_by", "order_id", "inner_order_id",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


def _gone(gone: Forgotten) -> dict[str, Any]:
    return {
        "messages": gone.messages,
        "files": gone.files,
        "memories": list(gone.memories),
        "orders": list(gone.orders),
        "handovers": list(gone.handovers),
        "internal_orders": list(gone.internal_orders),
    }
