"""What people say while the database is away is kept, and acted on once, in order, when it is back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from swarm.app import App
from swarm.channels.fake import FakeChannel
from swarm.cli import exits
from swarm.cli.entry import run
from swarm.core.errors import Unavailable
from swarm.core.message import InboundFile, InboundKind, InboundMessage
from swarm.runtime import shelter as shelters
from swarm.runtime.inbox import Inbox
from swarm.runtime.local_inbox import Kept
from swarm.runtime.monitoring import Monitor
from swarm.runtime.shelter import Shelter
from swarm.runtime.shelter_station import ShelteredStation
from swarm.settings import load
from swarm.store.tables import channel_health, inbox, leases, outbox
from tests.acceptance.at_work import settings_of
from tests.runtime.fronts import ADA, EVE, PHONE, Desk, desk
from tests.servers.postgres import Server, missing

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with Server() as found:
        yield found


@pytest.fixture(scope="module")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a company in it, to copy."""
    url = server.create("shelter_template")
    app = App(
        load(settings_of(tmp_path_factory.mktemp("first") / "home", NOWHERE, database_url=url))
    )
    app.initialise()
    app.store.write(lambda c: c.exec_driver_sql("DELETE FROM meta WHERE key = 'home'"))
    app.close()
    return "shelter_template"


@pytest.fixture
async def company(
    server: Server, template: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Desk]:
    url = server.create(f"shelter_{abs(hash(request.node.name)) % 10**9}", template=template)
    async with desk(tmp_path / "home", database_url=url, monitoring__listen="127.0.0.1:0") as found:
        shelter = shelter_of(found)
        await found.until(lambda: bool(shelter.kept.path.exists()))
        yield found


def shelter_of(company: Desk) -> Shelter:
    found = company.app.shelter
    assert found is not None
    return found


async def says(company: Desk, *updates: str, by: str = ADA, text: str = "") -> None:
    """Let somebody write while nothing can be read from the database."""
    for update in updates:
        company.channel.say(
            text or f"Write page {update}.", update_id=update, sender_id=by, chat_id=f"c{by}",
            sender_name="Ada",
        )  # fmt: skip
    async with asyncio.timeout(20):
        await company.channel.drained()


@asynccontextmanager
async def away(server: Server) -> AsyncIterator[None]:
    """Let the database be away for the length of a block."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def is_moved(company: Desk) -> None:
    """Wait until the database is back for everybody: who found it away looks seldom."""
    async with asyncio.timeout(40):
        while shelter_of(company).is_away:  # noqa: ASYNC110  # as in `Desk.until`
            await asyncio.sleep(0.02)
        while any(row["state"] == "new" for row in company.rows(inbox)):  # noqa: ASYNC110  # the same
            await asyncio.sleep(0.02)
    await company.settled()


async def test_orders_given_during_an_outage_are_kept_told_of_and_taken_once_in_their_order(
    company: Desk,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monitor, shelter = company.app.monitor, shelter_of(company)
    assert isinstance(monitor, Monitor)
    await monitor.open()
    monitor.works()
    settings = settings_of(
        company.app.home, NOWHERE, database_url=company.app.environment.database_url
    )
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{monitor.port}") as client:
        assert (await client.get("/readyz")).status_code == 200
        async with away(server):
            await says(company, *(f"e{n}" for n in range(40)), by=EVE)
            assert shelter.kept.waiting().passed_over == 20
            shelter.kept.drop([row.id for row in shelter.kept.oldest()])
            await says(company, "1", *["2"] * 20, "3")
            await company.until(lambda: bool(company.channel.sent))
            # Nobody told the stranger anything.
            ((chat, notice),) = [(m.chat_id, m.text) for m in company.channel.sent]
            assert chat == f"c{ADA}"
            assert "kept safely" in notice
            assert company.channel.acknowledged.count("2") == 20
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert "3 messages are kept on this machine" in ready.json()["faults"][0]
            assert ready.json()["local_inbox"]["rows"] == 3
            alive = await client.get("/healthz")
            assert (alive.status_code, alive.json()["local_inbox"]["rows"]) == (200, 3)
            capsys.readouterr()
            assert await asyncio.to_thread(run, ["doctor", "--json"]) == exits.USAGE
            shown = capsys.readouterr().out
            # What the company logs meanwhile goes there too, in this test.
            found = json.JSONDecoder().raw_decode(shown[shown.index("{") :])[0]["findings"]
            finding = next(f for f in found if f["name"] == "local inbox")
            assert finding["text"].startswith("3 messages are kept on this machine")
            metrics = (await client.get("/metrics")).text
            assert "swarm_local_inbox_rows 3.0" in metrics
            assert "swarm_database_up 0.0" in metrics
        await is_moved(company)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["local_inbox"]["rows"]) == (200, 0)
    await monitor.close()
    rows = company.rows(inbox)
    assert [row["update_id"] for row in sorted(rows, key=lambda r: r["id"])] == ["1", "2", "3"]
    assert {row["state"] for row in rows} == {"done"}
    assert len(company.orders) == 3
    told = [m.text for m in company.channel.sent]
    assert sum("kept safely" in text for text in told) == 1
    (back,) = [text for text in told if "My database was away" in text]
    assert "Messages kept from this chat: 3" in back
    (answer,) = (await company.hears("/status"))[:1]
    assert "broke" not in answer.text


async def test_what_was_copied_before_a_kill_is_not_taken_twice_and_what_was_not_is_taken(
    server: Server, template: str, tmp_path: Path
) -> None:
    url, home = server.create("copied", template=template), tmp_path / "home"
    async with desk(home, database_url=url) as company:
        shelter = shelter_of(company)
        await company.until(shelter.kept.path.exists)
        first = await company.hears("Write page one.", update_id="1")
        assert first
    # As a kill leaves it: in the inbox and here.
    async with desk(home, database_url=url) as company:
        row = next(r for r in company.rows(inbox))
        assert row["state"] == "done"
    kept = shelter.kept
    button = InboundMessage(
        channel="phone", account="fake", update_id="3", chat_id="c1", thread_id=None,
        sender_id=ADA, text="", received_at=datetime.now(UTC), kind=InboundKind.CALLBACK,
        data="gone", click_id="k",
    )  # fmt: skip
    note = InboundMessage(
        channel="phone", account="fake", update_id="2", chat_id="c1", thread_id=None,
        sender_id=ADA, text="Use this.", received_at=datetime.now(UTC), kind=InboundKind.FILE,
        files=(InboundFile(file_id="f", name="list.txt", bytes=9),),
    )  # fmt: skip
    copied = InboundMessage(
        channel="phone", account="fake", update_id="1", chat_id="c1", thread_id=None,
        sender_id=ADA, text="Write page one.", received_at=datetime.now(UTC),
    )  # fmt: skip
    for message in (copied, note, button):
        assert kept.keep(message, at=datetime.now(UTC)) is Kept.STORED
    kept.close()
    channel = FakeChannel(name="phone", capabilities=PHONE)
    channel.files["f"] = b"two loaves"
    async with desk(home, database_url=url, channel=channel) as company:
        assert shelter_of(company).is_away or not shelter_of(company).kept.waiting().rows
        await is_moved(company)
        rows = sorted(company.rows(inbox), key=lambda r: r["id"])
        assert [row["update_id"] for row in rows] == ["1", "2", "3"]
        assert len([o for o in company.orders if "page one" in json.loads(o["state"])["text"]]) == 1
        assert list(home.glob("incoming/*/list.txt"))
        assert shelter_of(company).kept.waiting().rows == 0


async def test_new_messages_queue_up_behind_the_kept_ones_until_the_last_is_moved(
    company: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelters, "BATCH", 2)
    async with away(server):
        await says(company, "1", "2", "3", "4", "5")
    await says(company, "6", "7")
    await is_moved(company)
    rows = sorted(company.rows(inbox), key=lambda r: r["id"])
    assert [row["update_id"] for row in rows] == list("1234567")


async def test_a_message_that_the_inbox_will_not_take_holds_up_no_other(
    company: Desk, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with away(server):
        await says(company, "1", "bad", "3")
        real = Inbox.put

        def put(self: Inbox, connection: sa.Connection, message: InboundMessage) -> bool:
            if message.update_id == "bad":
                raise ValueError("no column for that")
            return real(self, connection, message)

        monkeypatch.setattr(Inbox, "put", put)
    await is_moved(company)
    assert {row["update_id"] for row in company.rows(inbox)} == {"1", "3"}
    assert shelter_of(company).kept.waiting().broken == 1


async def test_a_server_that_says_nothing_counts_as_away_and_holds_no_platform_up(
    company: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelters, "ATTEMPT_S", 0.3)
    blocker = company.app.store.engine.connect()
    blocker.exec_driver_sql("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
    await says(company, "1")
    assert company.channel.acknowledged == ["1"]
    assert shelter_of(company).is_away
    blocker.rollback()
    blocker.close()
    await is_moved(company)
    assert [row["update_id"] for row in company.rows(inbox)] == ["1"]


async def test_leases_and_states_of_channels_outlive_an_outage(
    company: Desk, server: Server
) -> None:
    station = company.app._station()
    assert isinstance(station, ShelteredStation)
    assert await station.hold("phone:a", seconds=60)
    lease = {"name": "phone:b", "owner": "other", "until": "2999-01-01T00:00:00.000000Z"}
    company.app.store.write(lambda c: c.execute(leases.insert().values(lease)))
    assert not await station.hold("phone:b", seconds=60)
    async with away(server):
        await says(company, "1")
        assert await station.hold("phone:a", seconds=60)
        assert await station.hold("phone:never-asked", seconds=60)
        # It was another's when that could be asked.
        assert not await station.hold("phone:b", seconds=60)
        await station.note("phone", "a", is_well=False, detail="stumbled")
        await station.note("phone", "a", is_well=True, detail="polls")
        assert await station.last_heard("phone", "c1") is not None
        with pytest.raises(Unavailable):
            await station.undelivered("phone", "m", why="gone", is_late=False)
        await station.release("phone:a")
    await is_moved(company)
    await company.until(lambda: len(company.rows(channel_health)) == 1)
    assert company.rows(channel_health)[0]["detail"] == "polls"
    assert not [row for row in company.rows(outbox) if row["state"] == "unknown"]
