"""What the founder and customers do in chats, on Postgres: every query of it runs there too."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from swarm.cli import exits
from swarm.cli.entry import run
from swarm.core.message import InboundFile, InboundKind
from swarm.runtime.digest_text import DigestText
from swarm.runtime.people import PersonRole
from swarm.store.tables import handovers, ledger, orders
from tests.acceptance.at_work import settings_of
from tests.runtime.counters import Counter, counter
from tests.runtime.fronts import BEN, admit
from tests.runtime.test_customers_files import sends, speaks
from tests.runtime.test_transcribing import MODEL, PRICES, ogg, serving
from tests.runtime.test_transcribing import Server as Voice
from tests.servers.postgres import Server, missing


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as found:
        yield found


def _sorted_as_people_do(server: Server, database: str) -> str:
    """Create a database that sorts texts as a dictionary does, where the server can."""
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    locale = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-ka-shifted'"
    try:
        with engine.connect() as connection:
            words = f"CREATE DATABASE {database} TEMPLATE template0 {locale}"
            connection.exec_driver_sql(words)
    except sa.exc.DatabaseError:
        return server.create(database)  # Built without ICU.
    finally:
        engine.dispose()
    return server.url_of(database)


async def test_every_command_of_a_chat_is_answered_on_postgres(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, url = tmp_path / "home", _sorted_as_people_do(server, "chat")
    async with serving() as voice:
        given = {"database_url": url, "voice__api_base": voice.url, "voice__model": MODEL}
        async with counter(home, **given, prices=PRICES) as company:
            await company.hears("Write a page about our bakery.")
            (order,) = company.orders
            ask_id = await company.plans(order["id"])
            for command, words in {
                "/status": order["id"],
                f"/status {order['id']}": "waits for you",
                "/inbox": order["id"],
                "/cost": "0",
                f"/cost {order['id']}": "Spent on",
                "/report": "0",
                "/memory": "",
                "/memory bread": "",
                "/team": "support",
                "/quiet 22-7 Europe/Paris": "Europe/Paris",
                "/quiet off": "No quiet hours",
                "/pause": "Paused",
                "/resume": "goes on",
                f"/reject {ask_id} make it two pages": "planned anew",
                f"/cancel {order['id']}": "cancelled",
            }.items():
                told = await company.hears(command)
                assert told, command
                assert words in told[0].text, command
                assert "broke" not in told[0].text, command
            company.channel.files["v"] = ogg(60)
            note = InboundFile(file_id="v", name="voice.ogg", bytes=None)
            (heard,) = await company.hears(kind=InboundKind.VOICE, files=(note,))
            assert "Write a page about bread" in heard.text
            await company.presses("Run")
            assert company.rows(ledger)[0]["order_id"] == company.orders[-1]["id"]
            await _holds(company, voice)
            _digest(company)
            await _customers(company)
            names = settings_of(home, "http://127.0.0.1:9/v1", database_url=url)
            for name, value in names.items():
                monkeypatch.setenv(name, value)
            for words in (["list"], ["show", BEN], ["forget", BEN, "--yes"]):
                code = await asyncio.to_thread(run, ["customers", *words, "--json"])
                seen = capsys.readouterr()
                assert code == exits.DONE, seen.err
                assert json.loads(seen.out)


async def _holds(company: Counter, voice: Voice) -> None:
    """Let a note be cut off: what it holds of the day is given back on the next one."""
    voice.answers.append((200, None))
    for _ in range(company.app.settings.llm.max_attempts - 1):
        voice.answers.append((200, None))
    assert "could not" in (await speaks(company, ogg(40), by=BEN))[0].text

    def held() -> int:
        return sum(row["reserved_pico"] for row in company.rows(ledger))

    assert held() > 0
    company.clock.ahead = timedelta(days=1, minutes=1)
    await speaks(company, ogg(3), by=BEN)
    company.ended(company.orders[-1]["id"])
    assert held() == 0
    company.clock.ahead = timedelta(days=1, minutes=9)


def _digest(company: Counter) -> None:
    """Write the founder's day, as it is sent each morning."""
    app, now = company.app, company.clock.now()
    text = DigestText(
        quiet=app.quiet,
        budgets=app.settings.budget,
        founder_time=app.settings.founder_time,
        currency=app.settings.currency,
    )

    def write(connection: object) -> str | None:
        (ada,) = app.people.founders(connection)  # type: ignore[arg-type]  # the store's own
        return text.write(connection, ada, now - timedelta(days=1), now)  # type: ignore[arg-type]  # as above

    written = app.store.read(write)
    assert written is not None
    assert "Spent: 0.0" in written


async def _customers(company: Counter) -> None:
    """Let a customer write, speak, send a file, be answered, and be forgotten."""
    app = company.app
    app.store.write(lambda c: admit(app, c, "3", PersonRole.TEAM))
    await company.asks("What does a loaf cost?", by=BEN)
    await company.asks("And a cake?", by=BEN)
    assert await sends(company, ("list.txt", b"two loaves")) == []
    company.ended(company.orders[-1]["id"])
    (heard,) = await speaks(company, ogg(61))
    assert "I heard" in heard.text
    await company.asks("/human it is about bread")
    await company.hears("/inbox")
    await company.presses("Take over")
    await company.asks("Hello?")
    await company.presses("Answer")
    await company.hears("Six euros.")
    assert company.shop.sent[-1].text == "Ada, Levain:\nSix euros."
    (row,) = company.rows(handovers)
    assert row["asked_at"] <= row["shown_at"] <= row["answered_at"]
    (told,) = await company.asks("/forget yes")
    assert "It is deleted" in told.text
    assert "two loaves" not in str(company.rows(orders))
