"""The phone of a replay: what was recorded is heard again, what is sent arrives as it did.

What a message means, what its cards say and which rights it needs is the company's own doing, by
the same code as with a real platform. Only the platform is missing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.base import Channel
from swarm.channels.bound import SUFFIX
from swarm.channels.registry import CHANNELS
from swarm.core.clock import iso, parse_iso
from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.message import InboundFile, InboundKind, InboundMessage, OutboundMessage
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.packing import content_of
from swarm.evals.stage import ReplayClock
from swarm.llm.cassette import NOTHING, Miss, difference, shown
from swarm.runtime.cards import Cards
from swarm.runtime.chat import Chat
from swarm.runtime.inbox import DONE, NEW, write
from swarm.runtime.sender import Sender
from swarm.settings import Settings
from swarm.store.tables import buttons, inbox, orders, outbox, people


class Platform:
    """How a platform cuts and marks messages; nothing of it is opened."""

    def __init__(self, name: str) -> None:
        kind = name.removesuffix(SUFFIX)
        if kind not in CHANNELS.names():
            raise InvalidInput(f"The cassette was recorded on a channel {name!r}, unknown here.")
        made = CHANNELS.load(kind)
        config = getattr(Settings(), kind, None)
        self._channel: Channel = made(config) if config is not None else made()
        self.name = name
        self.capabilities = self._channel.capabilities

    def parts(self, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Cut a message as the platform takes it."""
        return self._channel.parts(message)


class Phone:
    """Both ends of the channels that an order was spoken of on."""

    def __init__(self, app: App, cassette: Cassette, clock: ReplayClock) -> None:
        """Take a company that is not at work yet.

        Raises:
            InvalidInput: A channel that nobody knows here.
        """
        self._app = app
        self._clock = clock
        self._order_id: str = cassette.manifest.order["id"]
        self._people = cassette.manifest.people
        self._sent: Mapping[str, Entry] = {e["key"]: e for e in cassette.lane("message")}
        names = {entry["channel"] for entry in cassette.lane("inbound")}
        names |= {cassette.manifest.order["channel"]}
        if cassette.manifest.customer is not None:
            # The staff is told of a customer, wherever they are.
            names |= {person.channel for person in self._people}
        self._channels: dict[str, Any] = {name: Platform(name) for name in sorted(names)}
        groups = {e["chat_id"] for e in cassette.lane("inbound") if not e["is_private"]}
        desks = replace(app.desks, groups=frozenset(groups))
        self._chat = Chat(desks)
        cards = Cards(clock=app.clock, people=desks.people, documents=desks.documents)
        self._sender = Sender(
            store=app.store, clock=app.clock, channels=self._channels, poll_s=1, dress=cards.dress
        )

    def introduce(self) -> None:
        """Let everybody in who wrote about the order, with the rights that they had."""
        now = iso(self._clock.now())
        rows = [
            person.model_dump() | {"id": f"u{number}", "added_at": now, "added_by": "recorded"}
            for number, person in enumerate(self._people, start=1)
        ]
        if rows:
            self._app.store.write(lambda c: c.execute(people.insert(), rows))

    def hear(self, entry: Entry) -> Miss | None:
        """Act on what was heard; return how it came out otherwise than recorded."""
        lane = f"inbound {entry['row']}"
        self._clock.set_base(parse_iso(entry["at"]))
        try:
            return self._app.store.write(lambda c: self._heard(c, entry, lane))
        except SwarmError as error:
            return Miss(lane, 0, lane, "outcome", entry["outcome"], f"refused: {error}")

    def _heard(self, connection: Connection, entry: Entry, lane: str) -> Miss | None:
        message = self._message(entry)
        if (wanted := entry.get("button")) is not None:
            token = _token(connection, wanted)
            if token is None:
                return Miss(lane, 0, "", "button", shown(wanted), NOTHING)
            message = replace(message, data=token)
        connection.execute(
            inbox.insert().values(
                id=entry["row"], channel=message.channel, account=message.account,
                update_id=message.update_id, kind=message.kind.value, chat_id=message.chat_id,
                thread_id=message.thread_id, sender_id=message.sender_id,
                message_id=message.message_id, raw=b"", body=write(message),
                received_at=entry["received_at"], state=NEW, tries=1,
            )
        )  # fmt: skip
        handled = self._chat.handle(connection, entry["row"], message)
        connection.execute(
            inbox.update()
            .where(inbox.c.id == entry["row"])
            .values(
                state=DONE, outcome=handled.outcome, order_id=handled.order_id,
                handled_at=entry["at"],
            )
        )  # fmt: skip
        told = {"outcome": entry["outcome"], "order": self._order_id}
        return difference(lane, 0, told, {"outcome": handled.outcome, "order": handled.order_id})

    def _message(self, entry: Entry) -> InboundMessage:
        files = tuple(self._file(entry["row"], file) for file in entry.get("files") or ())
        return InboundMessage(
            channel=entry["channel"], account=entry["account"], update_id=entry["update_id"],
            chat_id=entry["chat_id"], thread_id=entry["thread_id"],
            sender_id=entry["sender_id"], text=entry["text"],
            received_at=parse_iso(entry["received_at"]), origin=Origin(entry["origin"]),
            customer=entry["customer"], kind=InboundKind(entry["kind"]),
            message_id=entry["message_id"], reply_to=entry["reply_to"],
            data=entry.get("data") or "", sender_name=entry["sender_name"],
            is_private=entry["is_private"], is_addressed=entry["is_addressed"],
            is_forwarded=entry["is_forwarded"], language=entry["language"], files=files,
        )  # fmt: skip

    def _file(self, row: int, file: Entry) -> InboundFile:
        """Put a file where it lay once it was fetched; its name was checked when it was read."""
        data = content_of(file) or b""
        folder: Path = self._app.home / "incoming" / str(row)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / file["name"]
        path.write_bytes(data)
        return InboundFile("", file["name"], len(data), file.get("mime") or "", str(path))

    def deliver(self) -> None:
        """Let everything arrive that the company has to say, as cards where it has buttons."""
        self._app.store.write(self._arrive)

    def _arrive(self, connection: Connection) -> None:
        for name, channel in self._channels.items():
            self._note_delivery(connection)
            self._pass_time(connection, name)
            while taken := self._sender.take(connection, channel, lambda chat: True):
                row, _ = taken
                known = self._sent.get(row.dedupe_key, {})
                if known.get("sent_at"):
                    self._clock.set_base(parse_iso(known["sent_at"]))
                self._sender.settle(connection, row, known.get("sent_id") or f"replay-{row.id}")
                self._pass_time(connection, name)

    def _pass_time(self, connection: Connection, channel: str) -> None:
        """Let it be late enough for all that waits: nothing that was written is yet to come."""
        waits = sa.select(sa.func.max(outbox.c.not_before)).where(
            outbox.c.channel == channel, outbox.c.state == "pending"
        )
        latest = connection.execute(waits).scalar()
        if latest is not None:
            self._clock.set_base(parse_iso(latest))

    def _note_delivery(self, connection: Connection) -> None:
        """Take over when the result was there: that reading of the clock is on the receipt."""
        row = connection.execute(sa.select(orders).where(orders.c.id == self._order_id)).first()
        if row is None or row.status != OrderStatus.DELIVERED.value:
            return
        known = self._sent.get(f"{row.id}/{row.segment}/{row.status}", {})
        if known.get("at"):
            by_id = orders.update().where(orders.c.id == row.id)
            connection.execute(by_id.values(delivered_at=known["at"]))


def _token(connection: Connection, wanted: Entry) -> str | None:
    """Return the newest button of a card that does what the pressed one did."""
    rows = connection.execute(
        sa.select(buttons.c.token, buttons.c.action)
        .where(buttons.c.card == wanted["card"], buttons.c.used_at.is_(None))
        .order_by(buttons.c.created_at.desc())
    )
    for row in rows:
        action = json.loads(row.action)
        if (action.get("do"), action.get("number")) == (wanted["do"], wanted.get("number")):
            return str(row.token)
    return None
