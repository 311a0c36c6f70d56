"""A company's budget of a calendar month, in UTC: what its days spent, and a limit that stops it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError, LimitExceeded
from swarm.core.money import to_pico
from swarm.ledger import budget
from swarm.settings import load
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.servers import postgres

LAST = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
NEXT = LAST + timedelta(seconds=1)


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    if request.param == "sqlite":
        found = Store(sqlite_url(tmp_path_factory.mktemp("month") / "swarm.db"))
        schema.upgrade(found)
        yield found
        found.close()
        return
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as url:
        found = Store(url)
        schema.upgrade(found)
        yield found
        found.close()


class _Undo(Exception):
    """Ends a test's transaction."""


def test_a_month_begins_with_what_its_days_have_and_its_limit_is_the_settings_or_a_persons(
    store: Store,
) -> None:
    def work(connection: Connection) -> None:
        for day, spent, held in (
            ("2026-11-29", 3, 1),
            ("2026-11-30", 4, 0),
            ("2026-12-01", 50, 50),
        ):
            scope = f"day:{day}"
            budget.open_scope(connection, scope, limit=None, currency="EUR")
            budget.reserve(connection, [scope], spent + held)
            budget.settle(connection, [scope], reserved_pico=spent, cost_pico=spent)
        scope = budget.open_month(connection, LAST, limit=Decimal(20), currency="EUR")
        found = budget.find(connection, scope)
        assert found is not None
        assert (scope, found.limit) == ("month:2026-11", Decimal(20))
        assert (to_pico(found.spent), to_pico(found.reserved)) == (7, 1)

        def limit_now(settings: Decimal | None) -> Decimal | None:
            budget.open_month(connection, LAST, limit=settings, currency="EUR")
            now = budget.find(connection, scope)
            assert now is not None
            assert to_pico(now.spent) == 7
            return now.limit

        # Changed settings count at the next start, in the middle of the month too.
        assert [limit_now(Decimal(30)), limit_now(None), limit_now(Decimal(5))] == [30, None, 5]
        budget.set_month(connection, LAST, None, currency="EUR")
        assert limit_now(Decimal(5)) is None
        budget.set_month(connection, LAST, Decimal(9), currency="EUR")
        assert limit_now(Decimal(5)) == 9
        # The next month is the settings' again.
        budget.open_month(connection, NEXT, limit=Decimal(5), currency="EUR")
        december = budget.find(connection, budget.month_scope(NEXT))
        assert december is not None
        assert december.limit == 5
        assert to_pico(december.spent) == 50
        raise _Undo

    with pytest.raises(_Undo):
        store.write(work)


def test_what_a_month_does_not_cover_is_refused_in_every_budget_and_the_way_on_is_named(
    store: Store,
) -> None:
    def work(connection: Connection) -> None:
        scopes = ["day:2026-11-30", budget.month_scope(LAST), budget.COMPANY]
        for scope in scopes:
            budget.open_scope(connection, scope, limit=None, currency="EUR")
        budget.open_month(connection, LAST, limit=Decimal("0.00000000001"), currency="EUR")
        budget.reserve(connection, scopes, 10)
        budget.reserve(connection, scopes, 1)

    with pytest.raises(LimitExceeded, match=r"month's budget of .* `swarm budget month AMOUNT`"):
        store.write(work)
    assert store.read(lambda c: budget.find(c, budget.COMPANY)) is None


def test_a_day_before_the_month_counts_in_its_own_utc_month() -> None:
    assert (budget.month_scope(LAST), budget.month_scope(NEXT)) == (
        "month:2026-11",
        "month:2026-12",
    )
    assert (budget.day_scope(LAST), budget.day_scope(NEXT)) == ("day:2026-11-30", "day:2026-12-01")


def test_the_setting_is_read_and_must_be_an_amount(tmp_path: Path) -> None:
    given = {"SWARM_HOME": str(tmp_path), "SWARM_BUDGET__MONTH": "20.5"}
    assert load(given).settings.budget.month == Decimal("20.5")
    with pytest.raises(ConfigError, match=r"budget\.month|BUDGET__MONTH"):
        load(given | {"SWARM_BUDGET__MONTH": "-1"})
