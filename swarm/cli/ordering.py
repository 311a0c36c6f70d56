"""Give an order, and wait for it."""

import asyncio
import sys
import uuid
from decimal import Decimal, InvalidOperation

from swarm.app import App
from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.opened import opened
from swarm.cli.report import (
    ask_lines,
    exit_code,
    method_lines,
    plan_lines,
    receipt_lines,
    result_lines,
    status_line,
)
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.views import view_for
from swarm.cli.waiting import wait_for
from swarm.cli.wording import counted
from swarm.core.document import OrderDocument
from swarm.core.errors import ConfigError, Conflict, InvalidInput
from swarm.core.message import InboundMessage
from swarm.core.text import MAX_ORDER_BYTES, order_text
from swarm.runtime.intake import Wish, check_budget
from swarm.runtime.outbox import TERMINAL

MAX_READ_BYTES = 4 * MAX_ORDER_BYTES
"""What is read of standard input before giving up: more cannot become an order."""


def order(
    *,
    text: str,
    wait: bool,
    yes: bool,
    budget: str | None,
    as_json: bool,
    is_recorded: bool = False,
) -> int:
    """Place an order, and with `wait` work it until it stands still.

    With `is_recorded` a cassette of it is kept in the company's folder.

    Raises:
        InvalidInput: An empty or too long text, or a budget that makes no sense.
        ConfigError: The company cannot be opened, or has no model to work with.
    """
    # Before anything is created: a slip of the pen makes no company.
    wanted = order_text(read_text(text))
    wish = Wish(budget=read_amount(budget) if budget else None, is_auto_signed=yes)
    check_budget(wish.budget)
    if is_recorded and not wait:
        raise InvalidInput("--record needs --wait: an order is recorded once it stands still.")
    with opened(is_made=True) as app:
        if wait:
            _say_model(app, as_json=as_json)
        order_id = place(app, wanted, wish)
        if wait:
            code = wait_and_report(app, order_id, as_json=as_json)
            if is_recorded:
                _keep(app, order_id)
            return code
        if as_json:
            show_document(app.documents.order(order_id))
            return exits.DONE
        say(f"Order {order_id} is stored.")
        say(_how_to_go_on(app, order_id))
        return exits.DONE


def _keep(app: App, order_id: str) -> None:
    """Record an order that was just worked; what stands in the way is said, and costs nothing."""
    try:
        path = load("swarm.cli.playing:record_placed")(app, order_id)
    except (Conflict, InvalidInput) as error:
        tell(f"Not recorded: {error} `swarm record {order_id}` tries again.")
    else:
        tell(f"Recorded in {path}; `swarm replay {path}` plays it with no network.")


def wait(*, order_id: str, as_json: bool) -> int:
    """Go on with an order that is there already.

    Raises:
        NotFound: No such order.
    """
    with opened() as app:
        if app.documents.order(order_id).status.is_moving:
            _say_model(app, as_json=as_json)
        return wait_and_report(app, order_id, as_json=as_json)


def place(app: App, text: str, wish: Wish) -> str:
    """Store an order heard at this terminal and return its id."""
    message = InboundMessage(
        channel=TERMINAL,
        account=str(app.home),
        update_id=uuid.uuid4().hex,
        chat_id=TERMINAL,
        thread_id=None,
        sender_id=app.environment.user_id,
        text=text,
        received_at=app.clock.now(),
    )
    return app.intake.place(message, wish)


def wait_and_report(app: App, order_id: str, *, as_json: bool) -> int:
    """Wait for an order, print all of it, and return the code that says where it stands."""
    view = view_for(as_json=as_json)
    is_still = asyncio.run(wait_for(app, order_id, view))
    document = app.documents.order(order_id)
    if as_json:
        if document.status.value == "waiting":
            note_shown(app, order_id)
        show_document(document)
    else:
        report(app, document)
    if is_still:
        return exit_code(document)
    tell(
        f"Stopped. Order {order_id} is kept: `swarm wait {order_id}` goes on with it, "
        f"`swarm up` works all orders, `swarm show {order_id}` shows it."
    )
    return exits.INTERRUPTED


def report(app: App, document: OrderDocument, *, has_plan: bool = False) -> None:
    """Say how an order stands: result, receipt, and what it asks of you."""
    lines = [status_line(document)]
    if has_plan:
        lines += [f"Ordered: {document.text}", *plan_lines(document), *task_lines(document)]
    lines += result_lines(document)
    lines += receipt_lines(document)
    if has_plan:
        lines += method_lines(document)
    if document.status.value == "waiting":
        lines += shown_asks(app, document.id)
    say("\n".join(lines))


def task_lines(document: OrderDocument) -> list[str]:
    """Write how each task stands."""
    tasks = document.plan.tasks if document.plan else []
    return [
        f"  {task.id}: {task.status.value}, {counted(task.attempts, 'attempt')}" for task in tasks
    ]


def shown_asks(app: App, order_id: str) -> list[str]:
    """Return what the order asks of the founder; their clock runs from now on."""
    return ask_lines(app.office.inbox(order_id))


def note_shown(app: App, order_id: str) -> None:
    """Start the founder's clock for what a document shows."""
    app.office.inbox(order_id)


def show_document(document: OrderDocument) -> None:
    """Print an order as one JSON document."""
    show_json(document.model_dump(mode="json"))


def read_text(text: str) -> str:
    """Return what was written, or what standard input holds where it is `-`.

    Raises:
        InvalidInput: Standard input holds more than any order may.
    """
    if text != "-":
        return text
    if sys.stdin is None:
        return ""
    data = sys.stdin.buffer.read(MAX_READ_BYTES + 1)
    if len(data) > MAX_READ_BYTES:
        raise InvalidInput(
            f"Standard input holds more than {MAX_READ_BYTES:,} bytes, the limit of an order is "
            f"{MAX_ORDER_BYTES:,}: put the material in files and name them in a shorter order."
        )
    return data.decode("utf-8", "surrogateescape")


def read_amount(text: str) -> Decimal:
    """Read an amount of money.

    Raises:
        InvalidInput: It is no number.
    """
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput(f"{text!r} is no amount: write it as 2.50.") from error


def _say_model(app: App, *, as_json: bool) -> None:
    """Say which model will work; without one, refuse before anything is stored.

    Raises:
        ConfigError: This process would have to work, and has no model or broken roles.
    """
    at_work = app.works_for
    try:
        sentence = app.choice.sentence
        if not at_work:
            app.company  # noqa: B018  # reads the roles, so that their faults are said now
    except ConfigError:
        if not at_work:
            raise
        sentence = "Model: the running worker's; none is set up for this terminal."
    if at_work:
        sentence += f"\n{_capital(at_work)} does the work; this terminal watches."
    (tell if as_json else say)(sentence)


def _how_to_go_on(app: App, order_id: str) -> str:
    if at_work := app.works_for:
        return f"{_capital(at_work)} takes it up; `swarm show {order_id}` shows it."
    return (
        f"Nobody works yet: `swarm wait {order_id}` works it now, `swarm up` works all orders, "
        f"`swarm show {order_id}` shows it."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
