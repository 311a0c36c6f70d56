"""What a metered call leaves on the books: its parts, its status, and what budgets know of it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.cli.books import book_faults
from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import iso
from swarm.core.errors import LimitExceeded, Transient
from swarm.core.money import from_pico, to_pico
from swarm.core.order import OrderStatus
from swarm.ledger import budget
from swarm.ledger.book import Book, Caller, CallKey, release_holds
from swarm.ledger.metered import Metered, ModelAccess
from swarm.ledger.prices import PriceBook, PriceSetting
from swarm.ledger.pricing import price_usage
from swarm.llm.base import LLMConfig
from swarm.llm.fake import FakeLLM, Scripted, answer
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import ledger, orders

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
CLAUDE, GPT = "anthropic/claude-sonnet-4-5", "openai/gpt-5"
ORDER = "20261201-001"
CALLER = Caller(role="cto", task_id=None, token="t")


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("db") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)

    def work(connection: Connection) -> None:
        blank = {c.name: "" for c in orders.c if not c.nullable}
        mine = {
            "id": ORDER,
            "created_at": iso(NOW),
            "status": OrderStatus.WORKING.value,
            "owner": "t",
            "segment": 0,
            "is_auto_signed": False,
            "state": "{}",
        }
        connection.execute(orders.insert().values(**(blank | mine)))
        for scope in (budget.order_scope(ORDER), budget.COMPANY):
            budget.open_scope(connection, scope, limit=Decimal(10), currency="USD")

    store.write(work)
    store.close()
    return path.read_bytes()


@pytest.fixture
def store(prepared: bytes, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "swarm.db"
    path.write_bytes(prepared)
    store = Store(sqlite_url(path))
    yield store
    store.close()


def said(model: str, usage: Any, **body: Any) -> RawAnswer:
    """Build an answer with a usage object in the provider's own words."""
    plain = answer("ok", usage=None, model=model)
    return RawAnswer(
        body=plain.body | body,
        model=model,
        usage=None,
        latency_s=0.1,
        raw_usage=usage if usage is not None else {},
    )


async def call(
    store: Store,
    model: str,
    *script: Scripted,
    prices: PriceBook | None = None,
    seq: int = 0,
    **options: Any,
) -> Any:
    """Make one call and return its last row."""
    book = Book(
        store=store, clock=Noon(), currency="USD", rates={}, day_limit=Decimal(50), **options
    )
    access = ModelAccess(FakeLLM(script), is_own_hardware=False)
    metered = Metered(
        book=book,
        prices=prices or PriceBook.load(),
        access=lambda _: access,
        config=LLMConfig(max_attempts=len(script) or 1, backoff_s=0),
        clock=Noon(),
        currency="USD",
    )
    request = ModelRequest(
        model=model, messages=({"role": "user", "content": "x" * 400},), max_output_tokens=100
    )
    await metered.call(CallKey(ORDER, "frame/0", seq), request, CALLER)
    return rows(store)[-1]


def rows(store: Store) -> list[Any]:
    return list(store.read(lambda c: c.execute(sa.select(ledger).order_by(ledger.c.id)).all()))


def company(store: Store) -> budget.Budget:
    found = store.read(lambda c: budget.find(c, budget.COMPANY))
    assert found is not None
    return found


async def test_a_row_keeps_the_buckets_the_parts_and_the_raw_usage(store: Store) -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "cache_read_input_tokens": 40,
        "output_tokens": 5,
        "service_tier": "standard",
        "odd": [1],
    }
    row = await call(store, CLAUDE, said("claude-sonnet-4-5-20250929", usage))

    # 10 x 3 + 10 x 3.75 + 20 x 6 + 40 x 0.3 + 5 x 15 per million.
    assert from_pico(row.cost_pico) == Decimal("0.0002745")
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (10, 40, 5)
    assert (row.cache_write_tokens, row.cache_write_1h_tokens) == (10, 20)
    assert (row.provider, row.service_tier, row.cost_status) == ("anthropic", "standard", "paid")
    assert json.loads(row.raw_usage) == usage
    parts = json.loads(row.parts)
    assert sum(Decimal(part["amount"]) for part in parts) == from_pico(row.cost_pico)
    assert row.listed_pico == row.cost_pico
    assert "claude-sonnet-4-5-20250929@" in row.price_id
    assert company(store).spent == Decimal("0.0002745")


async def test_a_row_can_be_priced_again_from_what_it_keeps(store: Store) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5}
    row = await call(store, CLAUDE, said("claude-sonnet-4-5", usage))

    again = price_usage(
        PriceBook.load(),
        provider=row.provider,
        model=row.answered_model,
        usage=json.loads(row.raw_usage),
        at=datetime.fromisoformat(row.started_at),
        tier=row.service_tier,
    )
    assert to_pico(again.amount or Decimal(0)) == row.cost_pico


async def test_the_service_tier_beside_the_usage_counts(store: Store) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    row = await call(store, GPT, said("gpt-5-2025-08-07", usage, service_tier="priority"))

    assert (from_pico(row.cost_pico), row.service_tier) == (Decimal("0.0045"), "priority")


async def test_a_reported_cost_is_charged_with_the_list_price_beside(store: Store) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 0.5}
    row = await call(store, GPT, said("gpt-5", usage))

    assert from_pico(row.cost_pico) == Decimal("0.5")
    assert from_pico(row.listed_pico) == Decimal("0.00225")
    assert (row.listed_currency, row.price_id) == ("USD", "reported by the provider")


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -1, "completion_tokens": 1}])
async def test_an_answer_without_a_price_stays_held_until_its_order_ends(
    store: Store, usage: Any
) -> None:
    row = await call(store, GPT, said("gpt-5", usage))

    assert (row.cost_status, row.cost_pico, row.listed_pico) == ("unpriced", 0, None)
    assert company(store).reserved == from_pico(row.reserved_pico) > 0
    # An estimate stands beside, in no sum.
    (told, written) = json.loads(row.parts)
    assert (told["bucket"], told["amount"]) == ("input", None)
    assert Decimal(told["estimate"]) > Decimal("0.0001")
    assert Decimal(written["estimate"]) > 0
    store.write(lambda c: release_holds(c, ORDER))
    assert company(store).reserved == 0
    assert store.read(lambda c: book_faults(c, "USD")) == []


async def test_silent_streams_end_at_the_budget(store: Store) -> None:
    store.write(lambda c: budget.set_limit(c, budget.COMPANY, Decimal("0.005"), currency="USD"))

    async def ask_on() -> None:
        for seq in range(20):
            await call(store, GPT, said("gpt-5", None), seq=seq)

    with pytest.raises(LimitExceeded):
        await ask_on()
    assert 0 < len(rows(store)) < 5


async def test_a_failed_attempt_that_may_be_billed_has_an_estimate(store: Store) -> None:
    cut = Transient("cut", kind="cut", is_billed_unknown=True)
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    await call(store, GPT, cut, said("gpt-5", usage))
    failed, used = rows(store)

    assert (failed.state, failed.cost_status) == ("failed", "unpriced")
    (part,) = json.loads(failed.parts)
    assert Decimal(part["estimate"]) > 0
    assert (used.state, used.cost_status) == ("used", "paid")
    assert company(store).reserved == from_pico(failed.reserved_pico)


async def test_turns_of_other_models_are_charged_as_theirs(store: Store) -> None:
    usage = {
        "input_tokens": 5,
        "output_tokens": 5,
        "iterations": [
            {"type": "message", "input_tokens": 5, "output_tokens": 5},
            {
                "type": "advisor_message",
                "model": "claude-opus-4-6",
                "input_tokens": 1_000,
                "output_tokens": 100,
            },
        ],
    }
    row = await call(store, CLAUDE, said("claude-sonnet-4-5", usage))

    # 5 x 3 + 5 x 15, and Opus: 1,000 x 5 + 100 x 25.
    assert from_pico(row.cost_pico) == Decimal("0.00759")
    assert (row.input_tokens, row.output_tokens) == (1_005, 105)
    models = {part["model"] for part in json.loads(row.parts)}
    assert models == {"anthropic/claude-sonnet-4-5", "anthropic/claude-opus-4-6"}


PLAN = PriceSetting.model_validate(
    {"input_per_million": 3, "output_per_million": 15, "status": "notional"}
)


@pytest.mark.parametrize("counts", [True, False])
async def test_a_subscription_uses_budgets_up_if_the_founder_says_so(
    store: Store, counts: bool
) -> None:
    book = PriceBook.load(overrides={CLAUDE: PLAN})
    usage = {"input_tokens": 1_000, "output_tokens": 100}
    row = await call(
        store, CLAUDE, said("claude-sonnet-4-5", usage), prices=book, counts_notional=counts
    )

    assert (from_pico(row.cost_pico), row.cost_status) == (Decimal("0.0045"), "notional")
    assert company(store).spent == (Decimal("0.0045") if counts else 0)
    assert company(store).reserved == 0
    assert store.read(lambda c: book_faults(c, "USD")) == []


async def test_a_cost_in_a_currency_without_a_rate_is_kept_apart_and_the_answer_not_lost(
    store: Store,
) -> None:
    euro = PriceSetting.model_validate(
        {"input_per_million": 1, "output_per_million": 1, "currency": "EUR"}
    )
    book = PriceBook.load(overrides={"openai/gpt-5-mini": euro})
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}

    row = await call(store, GPT, said("gpt-5-mini", usage), prices=book)

    assert (row.currency, row.cost_status) == ("EUR", "paid")
    assert from_pico(row.cost_pico) == 1
    assert row.state == "used"
    assert company(store).spent == 0
    assert company(store).reserved > 0


async def test_the_same_call_again_costs_nothing(store: Store) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    first = await call(store, GPT, said("gpt-5", usage))
    second = await call(store, GPT)

    assert first.id == second.id
    assert company(store).spent == Decimal("0.00225")


async def test_many_calls_at_once_never_pass_the_budget(store: Store) -> None:
    limit = Decimal("0.05")
    store.write(lambda c: budget.set_limit(c, budget.COMPANY, limit, currency="USD"))
    book = Book(store=store, clock=Noon(), currency="USD", rates={}, day_limit=None)
    # The dearest that 100 bytes of prompt can come to: an hour of cache, on the priority tier.
    usage = {
        "input_tokens": 0,
        "cache_creation": {"ephemeral_1h_input_tokens": 300},
        "output_tokens": 100,
        "inference_geo": "us",
        "speed": "fast",
    }
    metered = Metered(
        book=book,
        prices=PriceBook.load(),
        access=lambda _: ModelAccess(
            FakeLLM(lambda _: said("claude-opus-4-8", usage)), is_own_hardware=False
        ),
        config=LLMConfig(max_attempts=1),
        clock=Noon(),
        currency="USD",
    )
    request = ModelRequest(
        model="anthropic/claude-opus-4-8",
        messages=({"role": "user", "content": "x" * 100},),
        max_output_tokens=100,
    )

    async def one(number: int) -> None:
        with suppress(LimitExceeded):
            await metered.call(CallKey(ORDER, "n", number), request, CALLER)

    await asyncio.gather(*(one(number) for number in range(20)))
    now = company(store)
    assert 0 < now.spent <= limit
    assert now.reserved == 0


def test_rows_of_before_keep_what_they_had_and_learn_their_provider(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    store = Store(sqlite_url(tmp_path / "old.db"))
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    blank = {"prompt": "{}", "started_at": iso(NOW), "currency": "USD", "cost_status": "paid"}
    old = {"order_id": "o", "node": "n", "attempt": 1, "state": "used", "role": "r", "digest": ""}
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for seq, model in enumerate((GPT, "bare")):
            row = {**blank, **old, "seq": seq, "model": model, "cost_pico": 5}
            row |= {"prompt_base": 0, "reserved_pico": 0}
            names = ", ".join(row)
            places = ", ".join(f":{name}" for name in row)
            connection.execute(sa.text(f"INSERT INTO ledger ({names}) VALUES ({places})"), row)
    schema.upgrade(store)

    assert [(row.provider, row.cost_pico, row.parts) for row in rows(store)] == [
        ("openai", 5, None),
        (None, 5, None),
    ]
    store.close()
