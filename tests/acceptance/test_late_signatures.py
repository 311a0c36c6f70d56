"""A signature and the end of its time at one moment: one of them counts, and only once."""

import threading
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from swarm.app import App
from swarm.core.clock import SystemClock, parse_iso
from swarm.core.errors import Conflict
from swarm.core.order import OrderStatus
from swarm.store.tables import asks, orders
from tests.acceptance.conftest import Open
from tests.acceptance.test_signed_calls import ADA, site_of

DOORS = 8


class Moved(SystemClock):
    """A clock that goes wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        super().__init__()
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


async def test_of_a_signature_and_its_end_at_one_moment_one_counts(opened: Open) -> None:
    async with site_of(opened) as (company, site, _):
        waiting = await company.work()
        (ask,) = company.app.office.inbox(waiting.id)
        assert ask.expires_at is not None
        late = parse_iso(ask.expires_at) - SystemClock().now() + timedelta(seconds=1)
        # Half of the doors say yes in time by their clock, and half of them just too late.
        clocks = [Moved(late if number % 2 else timedelta(0)) for number in range(DOORS)]
        said = at_once([App(company.app.environment, clock=clock) for clock in clocks], ask.id)
        assert sorted(said) == sorted([waiting.id, *["conflict"] * (DOORS - 1)])
        done = await company.halt(waiting.id)
        segment = sa.select(orders.c.segment).where(orders.c.id == waiting.id)
        assert company.app.store.read(lambda c: c.execute(segment).scalar_one()) == 1
        if done.status is OrderStatus.WAITING:
            # It came too late, so it is asked for anew, and nothing happened.
            assert site.hits == 0
            (again,) = company.app.office.inbox(waiting.id)
            assert again.digest != ask.digest
            company.app.office.approve(again.id, by="Ada", signer=ADA)
            done = await company.halt(waiting.id)
        assert done.status is OrderStatus.DELIVERED
        assert site.hits == 1
        answered = sa.select(asks.c.answer).where(asks.c.order_id == waiting.id)
        found = company.app.store.read(lambda c: list(c.execute(answered).scalars()))
        assert found == ["approved"]


def at_once(doors: list[App], ask_id: str) -> list[str]:
    """Sign by all doors at the same moment; return what each was told."""
    barrier, told = threading.Barrier(len(doors)), list[str]()

    def sign(door: App) -> None:
        office: Any = door.office
        barrier.wait()
        try:
            told.append(office.approve(ask_id, by="Ada", signer=ADA))
        except Conflict:
            told.append("conflict")
        finally:
            door.close()

    threads = [threading.Thread(target=sign, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told
