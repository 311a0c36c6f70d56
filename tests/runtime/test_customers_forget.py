"""A customer forgotten: no word of theirs is left in any row or file, and the amounts are."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.memory.base import Detail, MemoryKind, Scope
from swarm.runtime.customers_forget import forget
from swarm.runtime.segments import run_segment
from swarm.store.tables import audit, customer_turns, handovers, inbox, orders, people
from tests.acceptance.at_work import first, script
from tests.channels.counters import PRICES, knows_bread
from tests.runtime.counters import SUPPORT, Counter, counter
from tests.runtime.fronts import BEN, EVE
from tests.runtime.test_customers_files import sends

WORD = "EVE-CANARY"


def left(company: Counter) -> list[str]:
    """Return where a word of the customer still stands."""
    found = [
        f"{name}.{column}: {value}"
        for name, rows in company.everything().items()
        for row in rows
        for column, value in row.items()
        if WORD.encode() in (value if isinstance(value, bytes) else str(value).encode())
    ]
    home = company.app.home
    for folder in ("incoming", "workspace"):
        found += [
            str(p) for p in (home / folder).rglob("*") if p.is_file() and WORD in p.read_text()
        ]
    return found


async def _talks(company: Counter) -> str:
    """Let a customer leave words everywhere that words are kept."""
    (company.app.home / "knowledge").mkdir()
    (company.app.home / "knowledge" / "prices.md").write_text(PRICES, encoding="utf-8")
    await company.asks(f"What does a loaf cost? {WORD}", sender_name=WORD)
    order = str(company.orders[0]["id"])
    await run_segment(company.app.company, order, 0)
    await sends(company, ("list.txt", f"{WORD} wants two".encode()), text="this one")
    await run_segment(company.app.company, company.orders[1]["id"], 0)
    await company.asks(f"/human it is about {WORD}")
    await company.asks(f"a last one {WORD}")
    detail = Detail(Scope.CUSTOMER, f"{SUPPORT}:{EVE}")
    company.app.memory.remember(
        f"They like {WORD}", kind=MemoryKind.FACT, origin=Origin.TEAM, detail=detail
    )
    await company.settled()
    return order


async def test_a_customer_may_have_it_all_forgotten_once_they_say_that_they_mean_it(
    home: Path,
) -> None:
    async with (
        first(knows_bread, script()) as provider,
        counter(home, url=provider.url) as company,
    ):
        order = await _talks(company)
        await company.asks("What is a loaf?", by=BEN, sender_name="Ben")
        paid = company.app.documents.paper(order).model_cost.amount
        assert len({where.partition(":")[0] for where in left(company)}) > 8
        (told,) = await company.asks("/forget")
        assert "for good" in told.text
        assert left(company)
        (told,) = await company.asks("/forget yes")
        assert "It is deleted" in told.text
        assert left(company) == []
        # What is left are amounts, numbers, and the other customer.
        assert company.app.documents.paper(order).model_cost.amount == paid
        assert company.rows(handovers) == []
        states = {row["id"]: row["status"] for row in company.orders}
        assert states[order] == OrderStatus.DELIVERED.value
        assert states[company.orders[2]["id"]] == OrderStatus.CANCELLED.value
        assert "What is a loaf?" in str(company.rows(customer_turns))
        (ben,) = [row for row in company.rows(people) if row["channel"] == SUPPORT]
        assert ben["platform_id"] == BEN
        kinds = [row["kind"] for row in company.rows(audit)]
        assert (kinds.count("customer_forgotten"), kinds.count("memory_forgotten")) == (1, 1)
        # The platform brings an update again: it is known by its number, and stays forgotten.
        number = len(company.rows(inbox))
        await company.asks(f"What does a loaf cost? {WORD}", update_id="1")
        assert len(company.rows(inbox)) == number
        assert left(company) == []
        company.clock.ahead = timedelta(minutes=2)
        before = len(company.orders)
        await company.asks("What does a loaf cost?")
        assert company.state(company.orders[before]["id"]).text == "What does a loaf cost?"
        await company.app.close_models()


async def test_forgetting_lifts_no_limit_and_opens_no_door(home: Path) -> None:
    async with counter(home, customers__burst="3") as company:
        await company.asks("/help")
        await company.asks("/forget yes")
        await company.asks("/forget yes")
        (slow,) = await company.asks("/forget yes")
        assert "more than I can answer" in slow.text
        assert await company.asks("/forget yes") == []
        company.clock.ahead = timedelta(minutes=2)
        (eve,) = [row for row in company.rows(people) if row["platform_id"] == EVE]
        app = company.app
        app.store.write(lambda c: app.people.revoke(c, eve["id"], by="test"))
        gone: dict[str, Any] = {"channel": SUPPORT, "person_id": EVE, "by": "console:0"}
        app.store.write(lambda c: forget(app.service, c, **gone))
        assert await company.asks("What does a loaf cost?") == []
        assert company.orders == []


async def test_nothing_is_forgotten_while_an_answer_is_written(home: Path) -> None:
    async with counter(home) as company:
        await company.asks("What does a loaf cost?")
        values = {"status": OrderStatus.WORKING.value}
        company.app.store.write(lambda c: c.execute(orders.update().values(**values)))
        (told,) = await company.asks("/forget yes")
        assert "again in a minute" in told.text
        assert "What does a loaf cost?" in str(company.rows(customer_turns))
