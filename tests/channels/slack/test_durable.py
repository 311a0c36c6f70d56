"""Slack over time: redelivery long after, sockets that fall silent, acknowledgements under load."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from swarm.app import App
from swarm.channels.slack.channel import SlackChannel
from swarm.runtime.inbox import Inbox
from swarm.settings import load
from swarm.store.tables import inbox
from tests.acceptance.at_work import settings_of
from tests.channels.slack.test_channel import Ear, Notes, config, listening
from tests.channels.whatsapp.chats import MovingClock
from tests.servers.slack import SlackServer


@contextlib.contextmanager
def books(home: Path, clock: MovingClock) -> Iterator[App]:
    """Open a company's database, as each start of a worker does."""
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1")), clock=clock)
    app.initialise()
    try:
        yield app
    finally:
        app.close()


def kept(app: App) -> list[str]:
    """Return the texts that the inbox holds."""
    rows = app.store.read(lambda c: c.execute(inbox.select().order_by(inbox.c.id)).all())
    return [str(row.body).partition('"text": "')[2].partition('"')[0] for row in rows]


async def test_what_comes_again_minutes_later_over_another_socket_and_a_restart_is_kept_once(
    tmp_path: Path,
) -> None:
    clock = MovingClock()
    async with SlackServer() as server:
        ada = server.person("Ada")
        for life in range(3):
            clock.ahead = life * timedelta(seconds=368)
            with books(tmp_path, clock) as app:
                box = Inbox(store=app.store, clock=clock)
                channel = SlackChannel(config(server), clock=clock)

                async def hear(message: object, box: Inbox = box) -> None:
                    await box.take(message)  # type: ignore[arg-type]  # what a channel hears

                async with listening(channel, hear):  # type: ignore[arg-type]  # any ear will do
                    if life == 0:
                        said = ada.says("one")
                        ada.commands("/swarm", "status")
                        ada.reacts(said, "+1")
                    else:
                        for delivery in server.deliveries[:3]:
                            server.redeliver(delivery)
                    await server.drained()
                await channel.close()
                assert len(kept(app)) == 3
                assert kept(app)[0] == "one"
        assert server.opened == 3


async def test_a_socket_that_stays_open_and_says_nothing_is_replaced_within_a_minute() -> None:
    clock, notes = MovingClock(), Notes()
    async with SlackServer() as server:
        # The laziest settings that are taken.
        lazy = config(server, ping_s=15, stall_s=45)
        channel = SlackChannel(lazy, clock=clock, station=notes)
        ear = Ear()
        async with listening(channel, ear):
            await server.connected()
            server.sockets_die()
            clock.ahead = timedelta(seconds=40)
            await asyncio.sleep(1.5)
            assert server.opened == 1
            assert notes.notes[-1] == (False, "the socket answers no ping")
            clock.ahead = timedelta(seconds=56)
            server.person("Ada").says("one")
            (heard,) = await ear.until(1)
            assert heard.text == "one"
            assert server.opened == 2
        await channel.close()


async def test_slack_is_acknowledged_in_time_while_the_database_has_much_to_write(
    tmp_path: Path,
) -> None:
    clock = MovingClock()
    async with SlackServer() as server:
        ada = server.person("Ada")
        with books(tmp_path, clock) as app:
            box = Inbox(store=app.store, clock=clock)
            channel = SlackChannel(config(server), clock=clock)

            async def hear(message: object) -> None:
                await box.take(message)  # type: ignore[arg-type]  # what a channel hears

            async with listening(channel, hear):  # type: ignore[arg-type]  # any ear will do
                await server.connected()
                # Five seconds of other writes are before it; each one is slow.
                slow = [app.store.awrite(lambda c: time.sleep(0.25)) for _ in range(20)]
                jobs = [asyncio.ensure_future(work) for work in slow]
                await asyncio.sleep(0.05)
                for number in range(5):
                    ada.says(f"text {number}")
                await server.drained()
                assert not all(job.done() for job in jobs)
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
            await channel.close()
            assert kept(app) == [f"text {number}" for number in range(5)]
        assert max(d.ack_s or 9.0 for d in server.deliveries) < 3.0


async def test_a_transaction_longer_than_slack_waits_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    clock = MovingClock()
    # Late by Slack's clock: what is told too late is brought again, as often as it takes.
    async with SlackServer(ack_s=0.4) as server:
        ada = server.person("Ada")
        with books(tmp_path, clock) as app:
            box = Inbox(store=app.store, clock=clock)
            channel = SlackChannel(config(server), clock=clock)

            async def hear(message: object) -> None:
                await box.take(message)  # type: ignore[arg-type]  # what a channel hears

            async with listening(channel, hear):  # type: ignore[arg-type]  # any ear will do
                await server.connected()
                job = asyncio.ensure_future(app.store.awrite(lambda c: time.sleep(1.5)))
                await asyncio.sleep(0.05)
                ada.says("one")
                await server.drained()
                await job
                assert server.deliveries[0].tries >= 2
            await channel.close()
            assert kept(app) == ["one"]
