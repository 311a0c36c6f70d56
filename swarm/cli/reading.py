"""Look at orders, open questions, model calls and roles."""

from decimal import Decimal
from typing import Any

from swarm.app import App
from swarm.channels.bound import customer_id
from swarm.cli.opened import opened
from swarm.cli.ordering import report, show_document
from swarm.cli.report import ask_lines, order_line
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.wording import amount, brief_cost, counted, duration, week_warning
from swarm.core.money import CostStatus, from_pico, plain
from swarm.core.order import OrderStatus
from swarm.ledger.attention import ActionKind
from swarm.runtime.asking import Ask
from swarm.runtime.customers_cards import card_text, waiting

_LOOKS = {
    OrderStatus.DELIVERED: ActionKind.OPENED,
    # A closed order is a book: reading it is no more work on it.
    OrderStatus.ACCEPTED: ActionKind.BOOKS,
    OrderStatus.CANCELLED: ActionKind.BOOKS,
}


def orders(*, limit: int, as_json: bool) -> None:
    """List the newest orders."""
    with opened() as app:
        documents = app.documents.orders(limit=limit)
    if as_json:
        show_json([document.model_dump(mode="json") for document in documents])
    elif documents:
        say("\n".join(order_line(document) for document in documents))
    else:
        say('No orders yet: `swarm order "what you want done"`.')


def show(*, order_id: str, as_json: bool) -> None:
    """Show one order, whole."""
    with opened() as app:
        document = app.documents.order(order_id)
        if as_json:
            show_document(document)
        else:
            report(app, document, has_plan=True)
            # A program that reads is no person who looks; and what is printed ends before it.
            signer = terminal_signer(app.environment)
            app.office.look(
                document.id, _LOOKS.get(document.status, ActionKind.LOOKED), signer=signer
            )


def inbox(*, as_json: bool) -> None:
    """Show what waits for the founder."""
    with opened() as app:
        if not as_json:
            _note_look(app)
        asks = app.office.inbox()
        warning = week_warning(app.documents.week())
        served = app.store.read(lambda c: waiting(c, limit=None))
    if as_json:
        show_json([*map(_ask, asks), *map(_handover, served)])
    else:
        lines = [*ask_lines(asks), *map(_handover_lines, served)]
        say("\n".join(lines).strip() or "Nothing waits for you.")
    if warning:
        tell(warning)


def _note_look(app: App) -> None:
    """Note that the founder came to their inbox; where one order waits there, it is about that."""
    waiting = {ask.order_id for ask in app.office.inbox(is_shown=False)}
    about = waiting.pop() if len(waiting) == 1 else None
    app.office.look(about, ActionKind.LOOKED, signer=terminal_signer(app.environment))


def _ask(ask: Ask) -> dict[str, Any]:
    return {
        "id": ask.id,
        "order": ask.order_id,
        "task": ask.task_id,
        "kind": ask.kind,
        "asked_by": ask.asked_by,
        "text": ask.text,
        "options": list(ask.options),
        "created_at": ask.created_at,
        "digest": ask.digest,
        "expires_at": ask.expires_at,
    }


def _handover_lines(row: Any) -> str:
    return f'{card_text(row, None)}\n  $ swarm customers answer {row.id} "your answer"'


def _handover(row: Any) -> dict[str, Any]:
    """Return a customer who waits for a human; `swarm customers answer ID TEXT` answers them."""
    return {
        "id": row.id,
        "order": row.order_id,
        "task": None,
        "kind": "handover",
        "asked_by": customer_id(row.channel, row.person_id),
        "text": f"{row.reason}\n{row.words}",
        "options": [],
        "created_at": row.asked_at,
        "digest": None,
        "expires_at": None,
    }


def ledger(*, order_id: str | None, limit: int, as_json: bool) -> None:
    """List model calls."""
    with opened() as app:
        rows = app.documents.ledger(order_id, limit=limit)
    if as_json:
        show_json([ledger_entry(row) for row in rows])
    elif rows:
        say("\n".join([*(_call_line(row) for row in rows), *_totals(rows)]))
    else:
        say("No model was asked yet.")


def ledger_entry(row: dict[str, Any]) -> dict[str, Any]:
    """Return a ledger row with its amounts as decimal texts."""
    entry = {key: value for key, value in row.items() if not key.endswith("_pico")}
    entry["amount"] = plain(from_pico(row["cost_pico"]))
    entry["reserved"] = plain(from_pico(row["reserved_pico"]))
    return entry


def _call_line(row: dict[str, Any]) -> str:
    seconds = "" if row["latency_s"] is None else duration(row["latency_s"])
    state = row["state"] if row["error_kind"] is None else f"{row['state']} ({row['error_kind']})"
    status = CostStatus(row["cost_status"])
    spent = brief_cost(from_pico(row["cost_pico"]), row["currency"], status)
    place = f"{row['node']} {row['seq']}"
    return (
        f"{row['started_at'][:19]}Z  {row['order_id']}  {row['role']:10} {place:18} {state:10}  "
        f"{row['input_tokens'] or 0:>7,} in {row['output_tokens'] or 0:>6,} out  {seconds:>8}  "
        f"{spent:>14}  {row['model']}"
    )


def _totals(rows: list[dict[str, Any]]) -> list[str]:
    """Sum up by currency; a sum with an unpriced line in it is a lower bound."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + from_pico(row["cost_pico"])
    is_bound = any(row["cost_status"] == "unpriced" for row in rows)
    at_least = "at least " if is_bound else ""
    total = " and ".join(amount(value, currency) for currency, value in sums.items())
    return [f"{counted(len(rows), 'call')}, {at_least}{total}"]


def roles(*, as_json: bool) -> None:
    """List the roles."""
    with opened() as app:
        org, currency = app.org, app.settings.currency
    if as_json:
        found = [org.roles[name].model_dump(mode="json") for name in sorted(org.roles)]
        show_json([{**role, "currency": currency} for role in found])
        return
    for name in sorted(org.roles):
        role = org.roles[name]
        say(f"{name}: {role.title}, {_superior(role.reports_to)}")
        say(f"  {role.summary}" if role.summary else "  (no summary)")
        say(f"  tools: {', '.join(role.tools) or 'none'}")


def _superior(reports_to: str | None) -> str:
    return f"reports to {reports_to}" if reports_to else "head of the company"
