"""Between channels and a database that may be away: what is heard is kept, and moved in afterwards.

While the database answers, a message goes straight into the inbox. When it does not, the message is
kept on this machine's disk (`local_inbox`), the platform is told `received`, and the founder that it
will take a while. Once the database is back, all that was kept moves into the inbox in its order,
each update once: the inbox knows what it has, so a crash between copy and delete changes nothing.
Until the last row is moved, new messages queue up behind the kept ones.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.core.clock import Clock, iso
from swarm.core.errors import Unavailable
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage
from swarm.runtime.inbox import Inbox
from swarm.runtime.local_inbox import Held, Kept, Known, LocalInbox, Told, Waiting
from swarm.runtime.outbox import put
from swarm.runtime.people import People, PersonRole
from swarm.runtime.phrases import say
from swarm.store.database import Store

T = TypeVar("T")
log = structlog.get_logger("swarm.shelter")

ATTEMPT_S = 5.0
"""How long the database may take to store one message; platforms bring it again after ten or more."""
PROBE_S = (0.5, 5.0)
"""Shortest and longest wait between two looks at a database that is away, in seconds."""
KNOW_S = 60.0
"""How often whom the company knows is written down for the time without a database, in seconds."""
CLOSE_S = 2.0
"""How long a stop waits for what the database was asked last, in seconds."""
BATCH = 100
"""Rows that move into the inbox with one commit."""


class Shelter:
    """Hear for one company, whether or not its database answers."""

    def __init__(self, *, store: Store, clock: Clock, people: People, home: Path) -> None:
        """Take the company.

        Args:
            store: Its database, on a server.
            clock: Says since when the database is away.
            people: Says who is known.
            home: Messages are kept below it.
        """
        self._store = store
        self._clock = clock
        self._people = people
        self._inbox = Inbox(store=store, clock=clock)
        self.kept = LocalInbox(home)
        self._channels: Mapping[str, Channel] = {}
        self._stored: Callable[[], None] = lambda: None
        self._returned: list[Callable[[], None]] = []
        self._is_away = False
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._notices: set[asyncio.Task[None]] = set()
        self._asked: set[asyncio.Future[Any]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._disk: ThreadPoolExecutor | None = None

    def open(
        self,
        channels: Mapping[str, Channel],
        *,
        stored: Callable[[], None] = lambda: None,
        is_away: bool = False,
    ) -> None:
        """Begin on the running loop. What an earlier process left is moved first.

        Args:
            channels: By name; founders are told through them.
            stored: Called after messages were put into the inbox.
            is_away: The database is known not to answer.
        """
        self._channels, self._stored = channels, stored
        self._turn, self._changed = asyncio.Lock(), asyncio.Event()
        # Threads of its own: those of the loop may all hang on a server that says nothing.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="swarm-shelter")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="swarm-local-inbox")
        if is_away:
            # Who is founder by the settings is so without a database.
            founders = [Known(*key, is_founder=True, language=None) for key in self._people.fixed]
            self.kept.know(founders, is_all=False)
        if is_away or self.kept.waiting().rows:
            self._is_away = True
            self._changed.set()

    @property
    def is_away(self) -> bool:
        """Say whether messages are kept here, since the database did not answer."""
        return self._is_away

    def on_return(self, act: Callable[[], None]) -> None:
        """Call `act` whenever the database is back."""
        self._returned.append(act)

    async def hear(self, message: InboundMessage) -> None:
        """Store a message; when this returns it is on a disk, and the platform may be told so.

        Raises:
            Unavailable: The database is away and there is no more room here.
        """
        async with self._turn:
            if not self._is_away and await self._is_stored(message):
                return
            kept = await self._on_disk(lambda: self.kept.keep(message, at=self._clock.now()))
            if kept is Kept.PASSED_OVER:
                log.warning("a stranger's message was passed over", channel=message.channel)
            if kept is Kept.STORED:
                await self._begin_notice(message)

    async def _is_stored(self, message: InboundMessage) -> bool:
        """Put a message into the inbox; False where the database does not answer."""
        try:
            is_new = await self.attempt(
                lambda: self._store.write(lambda c: self._inbox.put(c, message))
            )
        except Unavailable:
            return False
        if is_new:
            self._stored()
        return True

    async def attempt(self, act: Callable[[], T]) -> T:
        """Do something with the database in a thread, or find that it is away.

        Raises:
            Unavailable: It cannot be reached, or takes too long; the act may still happen.
        """
        if self._is_away:
            raise Unavailable("The database is away.")
        try:
            return await self._tried(act)
        except Unavailable as error:
            self.leave(error)
            raise

    async def _tried(self, act: Callable[[], T]) -> T:
        assert self._threads is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await loop.run_in_executor(self._threads, act)
        except TimeoutError as error:
            raise Unavailable(f"The database gave no answer for {ATTEMPT_S:g} seconds.") from error

    async def _on_disk(self, act: Callable[[], T]) -> T:
        assert self._disk is not None
        return await asyncio.get_running_loop().run_in_executor(self._disk, act)

    def leave(self, error: Exception) -> None:
        """Take the database for away; it is looked after from now on."""
        if not self._is_away:
            log.warning(
                "the database is away: messages are kept on this machine until it is back",
                reason=str(error)[:300],
                path=str(self.kept.path),
            )
        self._is_away = True
        self._changed.set()

    async def run(self) -> None:
        """Move what was kept whenever the database is back, until cancelled; then let go of all."""
        try:
            await self._tend()
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _tend(self) -> None:
        while True:
            if self._is_away:
                await self._come_back()
            await self._know()
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(KNOW_S):
                    await self._changed.wait()

    async def _come_back(self) -> None:
        """Wait for the database, and move all that was kept."""
        pause_s, longest_s = PROBE_S
        while self._is_away:
            try:
                # Away is what it is to all others until nothing is left to move.
                while held := await self._on_disk(lambda: self.kept.oldest(most=BATCH)):
                    await self._move(held)
                    pause_s = PROBE_S[0]
                await self._tried(lambda: self._store.read(_probe))
                await self._settle()
            except Unavailable as error:
                log.info("the database is still away", reason=str(error)[:200])
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)

    async def _move(self, held: Sequence[Held]) -> None:
        """Move rows into the inbox, then delete them here."""
        try:
            await self._tried(lambda: self._store.write(lambda c: self._put(c, held)))
        except Unavailable:
            raise
        except Exception as error:
            if len(held) > 1:
                for row in held:
                    await self._move([row])
                return
            log.exception("a kept message does not go into the inbox; it stays here")
            why = str(error)
            await self._on_disk(lambda: self.kept.put_aside(held[0].id, why))
            return
        ids = [row.id for row in held]
        await self._on_disk(lambda: self.kept.count_chats(held))
        await self._on_disk(lambda: self.kept.drop(ids))
        self._stored()

    def _put(self, connection: Connection, held: Sequence[Held]) -> None:
        for row in held:
            self._inbox.put(connection, row.message)

    async def _settle(self) -> None:
        """Say what was, and let messages go straight into the inbox again."""
        async with self._turn:
            waiting = await self._on_disk(self.kept.waiting)
            told = await self._on_disk(self.kept.told)
            if waiting.away_since is not None:
                since = waiting.away_since
                await self._tried(lambda: self._store.write(lambda c: self._say(c, told, since)))
            if not await self._on_disk(self.kept.end_outage):
                return
            self._is_away = False
        _log_return(waiting, told)
        self._stored()
        for act in self._returned:
            act()

    def _say(self, connection: Connection, told: Collection[Told], since: datetime) -> None:
        """Tell each person whose words were kept, beside the answers to them."""
        now = self._clock.now()
        for chat in told:
            put(
                connection,
                dedupe_key=f"away/{iso(since)}/{chat.channel}/{chat.chat_id}",
                message=OutboundMessage(
                    channel=chat.channel,
                    chat_id=chat.chat_id,
                    thread_id=None,
                    kind=OutboundKind.ANSWER,
                    text=say(
                        "database_back",
                        chat.language,
                        minutes=max(1, round((now - since).total_seconds() / 60)),
                        count=chat.rows,
                    ),
                ),
                now=iso(now),
            )

    async def _begin_notice(self, message: InboundMessage) -> None:
        """Tell a founder, once in each outage, that what they write is kept.

        It goes past the outbox, which is away as well: so it is written down here before it is sent,
        and is never sent again, whatever becomes of it.
        """
        channel = self._channels.get(message.channel)
        if channel is None or channel.capabilities.is_local:
            return
        person = await self._on_disk(lambda: self.kept.begin_notice(message))
        if person is not None:
            job = asyncio.create_task(self._notify(channel, message, person))
            self._notices.add(job)
            job.add_done_callback(self._notices.discard)

    async def _notify(self, channel: Channel, message: InboundMessage, person: Known) -> None:
        # What the sender had in flight may have gone out just now.
        await asyncio.sleep(channel.capabilities.chat_pause_s)
        text = say("database_away", person.language or message.language)
        notice = OutboundMessage(
            channel=channel.name,
            chat_id=message.chat_id,
            thread_id=message.thread_id,
            kind=OutboundKind.ANSWER,
            text=text,
        )
        try:
            for part in channel.parts(notice):
                await channel.send(part)
        except Exception as error:  # noqa: BLE001  # the message itself is safe, whatever became of this
            log.warning("a founder was not told of the outage", reason=str(error)[:200])

    async def _know(self) -> None:
        """Write down whom the company knows, for the time without its database."""
        with suppress(Unavailable):
            people = await self.attempt(lambda: self._store.read(self._known))
            await self._on_disk(lambda: self.kept.know(people))

    def _known(self, connection: Connection) -> list[Known]:
        return [
            Known(p.channel, p.platform_id, p.role is PersonRole.FOUNDER, p.language)
            for p in self._people.everybody(connection)
        ]

    async def close(self) -> None:
        """End; what is kept stays on the disk for the next start."""
        for job in list(self._notices):
            job.cancel()
        await asyncio.gather(*self._notices, return_exceptions=True)
        if self._asked:
            # One that hangs on a server that says nothing ends by itself, later.
            await asyncio.wait(self._asked, timeout=CLOSE_S)
        for threads in (self._threads, self._disk):
            if threads is not None:
                threads.shutdown(wait=threads is self._disk, cancel_futures=True)
        self.kept.close()


def _forget(asked: "asyncio.Future[T]") -> None:
    """Let an answer that came too late be; the message is kept here as well, and known by its id."""
    if not asked.cancelled() and (error := asked.exception()) is not None:
        log.info("what took too long failed", reason=str(error)[:200])


def _probe(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1 FROM inbox LIMIT 1")


def _log_return(waiting: Waiting, told: Sequence[Told]) -> None:
    log.warning(
        "the database is back, and what was kept is in the inbox",
        away_since=iso(waiting.away_since) if waiting.away_since else None,
        chats=len(told),
        passed_over=waiting.passed_over,
    )
