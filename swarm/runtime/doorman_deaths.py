"""Tell the founders when what works their orders keeps dying: nobody else would say so."""

from collections.abc import Collection

from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.runtime.outbox import put
from swarm.runtime.people import People
from swarm.runtime.phrases import say
from swarm.store.database import Store


class Deaths:
    """Write to each founder whom a channel of this process reaches."""

    def __init__(
        self, *, store: Store, clock: Clock, people: People, channels: Collection[str]
    ) -> None:
        self._store = store
        self._clock = clock
        self._people = people
        self._channels = channels

    async def tell(self, deaths: int, ended: str) -> None:
        """Queue a message about so many deaths in a row, the last of which ended so."""
        await self._store.awrite(lambda c: self._put(c, deaths, ended))

    def _put(self, connection: Connection, deaths: int, ended: str) -> None:
        now = iso(self._clock.now())
        for person in self._people.founders(connection):
            if person.channel not in self._channels or person.chat_id is None:
                continue
            put(
                connection,
                dedupe_key=f"deaths/{now}/{person.channel}/{person.platform_id}",
                message=OutboundMessage(
                    channel=person.channel,
                    chat_id=person.chat_id,
                    thread_id=None,
                    # It is told at night, too: work is blocked.
                    kind=OutboundKind.DECISION,
                    text=say("worker_dies", person.language, deaths=deaths, ended=ended),
                ),
                now=now,
            )
