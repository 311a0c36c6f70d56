"""What those see who watch an instance from outside."""

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Table, text

from swarm.core.errors import ConfigError
from swarm.core.money import from_pico
from swarm.runtime.vitals import METRICS
from swarm.store.tables import channel_health, outbox
from tests.acceptance.at_work import AtWork, at_work, provider_of
from tests.acceptance.conftest import Open


@pytest.fixture
async def watched(opened: Open) -> AsyncIterator[AtWork]:
    async with opened(monitoring__listen="127.0.0.1:0") as company:
        yield company


async def fetched(company: AtWork, path: str, method: str = "GET") -> httpx.Response:
    monitor = company.app.monitor
    assert monitor is not None
    async with httpx.AsyncClient() as client:
        return await client.request(method, f"http://127.0.0.1:{monitor.port}{path}")


def _insert(table: Table, values: dict[str, Any], connection: Connection) -> None:
    connection.execute(table.insert().values(**values))


async def samples(company: AtWork) -> dict[tuple[str, ...], float]:
    """Return what a scraper reads: the value by name and labels, those in the order of their names."""
    response = await fetched(company, "/metrics")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_calls_tokens_and_cost_are_measured_as_the_ledger_has_them(watched: AtWork) -> None:
    order_id = await watched.place(is_auto_signed=True)
    await watched.halt(order_id)
    calls = await asyncio.to_thread(watched.app.documents.ledger, order_id)

    found = await samples(watched)

    used = [call for call in calls if call["state"] == "used"]
    assert found["swarm_orders", "delivered"] == 1
    assert found["swarm_model_calls_total", "openai/gpt-4o-mini", "openai", "used"] == len(used) > 0
    assert found["swarm_tokens_total", "output"] == sum(c["output_tokens"] for c in used) > 0
    pico = sum(call["cost_pico"] for call in used)
    assert found["swarm_cost_total", "USD", "paid"] == float(from_pico(pico)) > 0
    assert found["swarm_queue_depth",] == found["swarm_orders_waiting",] == 0
    assert {name for name, *_ in found} <= {metric.name for metric in METRICS}


async def test_an_order_that_waits_for_a_person_is_counted_as_waiting(opened: Open) -> None:
    provider = provider_of(questions=["In which town?"])
    async with opened(provider, monitoring__listen="127.0.0.1:0") as company:
        await company.halt(await company.place())

        found = await samples(company)

    assert (found["swarm_orders", "waiting"], found["swarm_orders_waiting",]) == (1, 1)
    assert found["swarm_orders", "failed"] == 0


async def test_a_message_that_is_due_and_not_sent_ages_and_one_that_is_held_does_not(
    watched: AtWork,
) -> None:
    row = {"order_id": None, "channel": "none", "chat_id": "c", "kind": "answer", "body": "x"}
    times = {"due": "2026-01-01T00:00:00.000000Z", "held": "2999-01-01T00:00:00.000000Z"}
    for key, not_before in times.items():
        values = {**row, "dedupe_key": key, "not_before": not_before, "created_at": times["due"]}
        watched.app.store.write(partial(_insert, outbox, values))

    found = await samples(watched)

    assert found["swarm_outbox_pending",] == 2
    assert found["swarm_outbox_age_seconds",] > 86_400


async def test_one_that_takes_work_is_ready_and_says_which_channel_is_broken(
    watched: AtWork,
) -> None:
    broken = {"channel": "telegram", "account": "1", "state": "broken", "detail": "a wrong token"}
    when = "2026-11-22T00:00:00.000000Z"
    watched.app.store.write(partial(_insert, channel_health, {"at": when, **broken}))

    alive, ready = await fetched(watched, "/healthz"), await fetched(watched, "/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "faults": [],
        "broken_channels": {"telegram": "a wrong token"},
    }


async def test_a_database_without_our_tables_is_not_ready(watched: AtWork) -> None:
    watched.app.store.write(lambda c: c.execute(text("ALTER TABLE channel_health RENAME TO gone")))

    ready = await fetched(watched, "/readyz")

    assert ready.status_code == 503
    assert ready.json()["faults"] == ["the database does not answer (OperationalError)"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 404), ("/metrics/../x", "GET", 404), ("/metrics", "POST", 405)],
)
async def test_nothing_but_three_paths_is_answered_and_nothing_is_taken_in(
    watched: AtWork, path: str, method: str, status: int
) -> None:
    assert (await fetched(watched, path, method)).status_code == status


async def test_nothing_listens_unless_an_address_is_named(company: AtWork) -> None:
    assert company.app.monitor is None


async def test_an_address_that_is_taken_ends_the_start_with_a_sentence(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"nothing can listen on 127.0.0.1:{port}"):
            async with at_work(home, provider_of(), monitoring__listen=f"127.0.0.1:{port}"):
                pass
