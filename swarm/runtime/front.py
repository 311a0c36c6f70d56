"""The company's front: everything between its channels and its desks, for one worker."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.channels.base import Channel
from swarm.channels.voice.base import Transcriber
from swarm.core.clock import Clock
from swarm.core.message import InboundMessage
from swarm.runtime.cards import Cards
from swarm.runtime.chat import Chat
from swarm.runtime.digest import Digest, Summary
from swarm.runtime.hearing import Hearing
from swarm.runtime.inbox import Inbox
from swarm.runtime.news import News
from swarm.runtime.progress import Progress
from swarm.runtime.quiet_desk import QuietDesk
from swarm.runtime.sender import Sender
from swarm.runtime.shared_bell import WORDS
from swarm.runtime.turn import Desks
from swarm.store.database import Store

if TYPE_CHECKING:
    from swarm.runtime.shelter import Shelter

SEND_POLL_S = 0.5
"""How often the outbox is looked at for what work itself queued, in seconds."""


class Front:
    """Hear, handle, show and send for the channels of one process."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        home: Path,
        desks: Desks,
        channels: Mapping[str, Channel],
        transcriber: Transcriber | None = None,
        quiet: QuietDesk | None = None,
        digest: Summary | None = None,
        shelter: "Shelter | None" = None,
    ) -> None:
        """Take the desks, the channels, what hears voice notes and who sleeps when; nothing runs yet.

        `shelter` keeps what is heard while a database on a server is away.
        """
        queued = asyncio.Event()
        self._news = news = News()
        self._shelter = shelter
        cards = Cards(clock=clock, people=desks.people, documents=desks.documents)
        self._queued = queued
        self._hearing = Hearing(
            store=store,
            inbox=Inbox(store=store, clock=clock),
            chat=Chat(desks),
            channels=channels,
            home=home,
            queued=queued,
            after=desks.pause.refresh,
            transcriber=transcriber,
            news=news,
        )
        self._sender = Sender(
            store=store,
            clock=clock,
            channels=channels,
            poll_s=SEND_POLL_S,
            dress=cards.dress,
            doubt=cards.doubt,
            wake=queued,
            quiet=quiet,
            news=news,
        )
        self._digest: Digest | None = None
        if quiet is not None and digest is not None:
            self._digest = Digest(
                store=store,
                clock=clock,
                people=desks.people,
                quiet=quiet,
                channels=channels,
                summary=digest,
                queued=queued,
            )
        self._progress = Progress(
            store=store, clock=clock, channels=channels, queued=queued, news=news
        )
        if shelter is not None:
            shelter.open(channels, stored=self._hearing.look)

    async def hear(self, message: InboundMessage) -> None:
        """Store what was heard; when this returns, the vendor may be told so."""
        await (self._shelter or self._hearing).hear(message)

    def wake(self) -> None:
        """Look for what another process queued."""
        self._queued.set()

    def be_told(self) -> None:
        """Look less often from now on: whoever calls this tells of what other processes write."""
        self._news.is_told = True

    def tell(self) -> None:
        """Say that another process may have written something."""
        self._news.tell()

    def hear_bell(self, sign: str) -> None:
        """Hear a ring of the bell that a company on Postgres has."""
        if sign == WORDS:
            self.wake()
        self.tell()

    def jobs(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return what runs as long as the worker does; each can be begun again."""
        jobs = [self._hearing.run, self._sender.run, self._progress.run]
        if self._digest is not None:
            jobs.append(self._digest.run)
        return [*jobs, self._shelter.run] if self._shelter is not None else jobs


MakeFront = Callable[[Mapping[str, Channel]], Front]
