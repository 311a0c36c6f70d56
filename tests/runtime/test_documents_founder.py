"""What the founder does, from the act to the receipt: by a held clock, through the office."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.core.clock import iso
from swarm.core.document import FounderDocument
from swarm.core.message import InboundMessage
from swarm.ledger.approvals import Signer
from swarm.ledger.attention import ActionKind
from swarm.settings import load
from swarm.store.tables import asks, founder_actions, ledger, orders

ADA = Signer("console:1000", "ada")
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class HeldClock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.at = NINE

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    def wait(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def app(tmp_path: Path, clock: HeldClock) -> Iterator[App]:
    settings = {"SWARM_HOME": str(tmp_path / "home"), "SWARM_FOUNDER_TIME__RATE_PER_HOUR": "60"}
    app = App(load(settings), clock=clock)
    app.initialise()
    yield app
    app.close()


def place(app: App, update_id: str) -> str:
    message = InboundMessage(
        channel="terminal",
        account="test",
        update_id=update_id,
        chat_id="c",
        thread_id=None,
        sender_id="1000",
        text="Bake.",
        received_at=app.clock.now(),
    )
    return app.intake.place(message)


def ask(app: App, order_id: str, name: str, kind: str = "question", options: Any = ()) -> str:
    """Let an order wait for a word, as a worker leaves it."""
    row = {
        "id": name, "order_id": order_id, "segment": 0, "task_id": None, "node": f"n/{name}",
        "seq": 0, "kind": kind, "asked_by": "ceo", "text": "Which?", "state": "open",
        "options": json.dumps(list(options)), "created_at": iso(app.clock.now()),
    }  # fmt: skip

    def work(connection: Any) -> None:
        connection.execute(asks.insert().values(**row))
        connection.execute(orders.update().where(orders.c.id == order_id).values(status="waiting"))

    app.store.write(work)
    return name


def deliver(app: App, order_id: str) -> None:
    values = {"status": "delivered", "delivered_at": iso(app.clock.now())}
    app.store.write(
        lambda c: c.execute(orders.update().where(orders.c.id == order_id).values(**values))
    )


def founder(app: App, order_id: str) -> FounderDocument:
    found = app.documents.order(order_id).receipt.founder
    assert found is not None
    return found


def test_from_shown_to_answered_counts_and_is_priced(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    clock.wait(60)
    name = ask(app, order_id, "q1")
    app.office.inbox()
    clock.wait(2)
    app.office.answer(name, "Red.", by="ada")
    spent = founder(app, order_id)
    assert spent.seconds == 120
    assert spent.amount == 2
    assert (spent.touches, spent.decisions) == (2, 1)
    assert app.documents.order(order_id).receipt.founder_s == 120


def test_questions_of_parallel_orders_share_the_minutes_between_them(
    app: App, clock: HeldClock
) -> None:
    one, two = place(app, "u1"), place(app, "u2")
    clock.wait(60)
    ask(app, one, "q1")
    ask(app, two, "q2", "choice", ["Red", "Blue", "Green"])
    app.office.inbox()
    clock.wait(3)
    app.office.answer("q1", "Red.", by="ada", signer=ADA)
    clock.wait(1)
    app.office.choose("q2", 2, by="ada", signer=ADA)
    assert founder(app, one).seconds == 180
    assert founder(app, two).seconds == 60
    assert (founder(app, two).options_shown, founder(app, two).options_refused) == (3, 2)
    week = app.documents.week()
    assert week.seconds == 240


def test_a_result_sent_back_is_a_reversal_that_counts_from_its_delivery(
    app: App, clock: HeldClock
) -> None:
    order_id = place(app, "u1")
    clock.wait(60)
    deliver(app, order_id)
    clock.wait(3)
    app.office.reject(order_id, "Too long.", by="ada", signer=ADA)
    spent = founder(app, order_id)
    assert spent.seconds == 180
    assert (spent.reversals, spent.options_refused, spent.decisions) == (1, 1, 1)


def test_taking_a_result_counts_from_its_delivery_and_says_as_of(
    app: App, clock: HeldClock
) -> None:
    order_id = place(app, "u1")
    clock.wait(30)
    deliver(app, order_id)
    assert app.documents.order(order_id).receipt.as_of is None
    clock.wait(4)
    app.office.accept(order_id, by="ada", signer=ADA)
    paper = app.documents.paper(order_id)
    assert paper.founder is not None
    assert paper.founder.seconds == 240
    assert paper.as_of == clock.at
    assert paper.wall_s == 1800
    clock.wait(60 * 24 * 365)
    assert app.documents.paper(order_id) == paper


def test_a_plan_signed_and_then_cancelled_is_a_reversal(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    ask(app, order_id, "q1", "approval")
    clock.wait(1)
    app.office.approve("q1", by="ada", signer=ADA)
    clock.wait(1)
    app.office.cancel(order_id, by="ada", signer=ADA)
    assert founder(app, order_id).reversals == 1


def test_a_cancelled_order_keeps_its_time_whenever_it_is_read(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    clock.wait(10)
    app.office.cancel(order_id, by="ada", signer=ADA)
    clock.wait(1000)
    assert app.documents.order(order_id).receipt.wall_s == 600


def test_a_word_that_is_refused_leaves_no_trace_in_the_log(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    clock.wait(1)
    app.office.cancel(order_id, by="ada", signer=ADA)
    with pytest.raises(Exception, match="already cancelled"):
        app.office.cancel(order_id, by="ada", signer=ADA)
    kinds = app.store.read(lambda c: c.execute(sa.select(founder_actions.c.kind)).scalars().all())
    assert kinds == ["cancelled"]


def test_every_act_notes_who_did_it_by_which_door(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    app.office.look(order_id, ActionKind.LOOKED, signer=Signer("telegram:7", "Ada"))
    app.office.set_budget(order_id, Decimal(5), signer=ADA)
    app.office.cancel(order_id, by="ada")
    columns = (founder_actions.c.kind, founder_actions.c.who, founder_actions.c.channel)
    rows = app.store.read(lambda c: c.execute(sa.select(*columns)).all())
    assert [tuple(row) for row in rows] == [
        ("looked", "telegram:7", "telegram"),
        ("budget", "console:1000", "console"),
        ("cancelled", "console:ada", "console"),
    ]


def test_a_clock_set_back_is_said_on_the_receipt_and_takes_no_time_away(
    app: App, clock: HeldClock
) -> None:
    order_id = place(app, "u1")
    ask(app, order_id, "q1")
    app.office.inbox()
    clock.wait(-60)
    app.office.answer("q1", "Red.", by="ada", signer=ADA)
    spent = founder(app, order_id)
    assert spent.seconds == 0
    assert any("set back" in flag for flag in spent.flags)


def test_the_receipt_joins_the_books_of_calls_and_minutes(app: App, clock: HeldClock) -> None:
    order_id = place(app, "u1")
    row = {
        "order_id": order_id, "task_id": None, "node": "frame/0", "seq": 0, "attempt": 0,
        "state": "used", "role": "ceo", "model": "openai/gpt-4o-mini", "digest": "d", "prompt": "{}",
        "prompt_base": 0, "input_tokens": 10, "output_tokens": 2, "cost_pico": 125 * 10**9,
        "currency": "USD", "cost_status": "paid", "reserved_pico": 0, "started_at": iso(clock.at),
        "ended_at": iso(clock.at),
    }  # fmt: skip
    app.store.write(lambda c: c.execute(ledger.insert().values(**row)))
    clock.wait(1)
    app.office.cancel(order_id, by="ada", signer=ADA)
    total = app.documents.order(order_id).receipt.total
    assert total is not None
    assert total.amount == Decimal("0.125") + 1
    assert total.notional == 1
