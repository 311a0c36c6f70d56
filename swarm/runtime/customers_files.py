"""What customers send besides words: files, kept as data of their conversation, and voice notes.

Nothing of them is fetched before the limits were looked at, and nothing is opened that was not
looked at by its first bytes. Support is told that a file is there; of a text it reads the start.
"""

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.base import Channel
from swarm.channels.voice.base import Transcriber, key_of
from swarm.core.clock import iso
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundFile, InboundKind, InboundMessage
from swarm.core.origin import Origin
from swarm.core.text import clean_text
from swarm.ledger.unplaced import PREFIX, take_over, unplaced
from swarm.memory import pdf
from swarm.runtime.customers import Service, allowance
from swarm.runtime.customers_cards import unmarked
from swarm.runtime.customers_talk import Pace, Talk
from swarm.runtime.incoming import Incoming
from swarm.store.tables import customer_turns, labels, people

MAX_FILES = 3
"""Files of one message that are taken."""
MIB = 1024 * 1024
EXCERPT_SIGNS = 1_200
"""Characters of one text file that Support reads."""
INCOMING = "incoming"
"""Folder of an order's workspace for what a person sent with it."""
_KINDS = {"image": "a picture", "audio": "a sound", "video": "a video"}


def may_bring(service: Service, connection: Connection, message: InboundMessage) -> bool:
    """Return whether a customer's file or voice note is to be fetched, by all limits of theirs."""
    if not message.is_private or _is_shown_the_door(connection, message):
        return False
    talk = Talk(connection, message.channel, message.sender_id)
    if talk.pace(service.config, at=message.received_at) is not Pace.FINE:
        return False
    if message.kind is InboundKind.VOICE:
        left = allowance(
            connection,
            service.config,
            channel=message.channel,
            person_id=message.sender_id,
            now=service.clock.now(),
        )
        return left > 0
    return service.config.file_mib > 0 and _has_room(service, connection, message)


def _is_shown_the_door(connection: Connection, message: InboundMessage) -> bool:
    query = sa.select(people.c.id).where(
        people.c.channel == message.channel,
        people.c.platform_id == message.sender_id,
        people.c.revoked_at.is_not(None),
    )
    return connection.execute(query).first() is not None


def _has_room(service: Service, connection: Connection, message: InboundMessage) -> bool:
    """Return whether the files of this UTC day leave room for more, this customer's and all."""
    midnight = datetime.combine(service.clock.now().astimezone(UTC).date(), time(), UTC)
    rows = connection.execute(
        sa.select(
            customer_turns.c.channel, customer_turns.c.person_id, customer_turns.c.files
        ).where(customer_turns.c.at >= iso(midnight), customer_turns.c.files != "[]")
    ).all()
    own = everybody = 0
    for row in rows:
        size = sum(int(file["bytes"]) for file in json.loads(row.files))
        everybody += size
        if (row.channel, row.person_id) == (message.channel, message.sender_id):
            own += size
    config = service.config
    return own < config.files_day_mib * MIB and everybody < config.total_files_day_mib * MIB


class _Narrow:
    """A channel that hands out smaller files only."""

    def __init__(self, channel: Channel, most: int) -> None:
        self._channel = channel
        smaller = min(channel.capabilities.file_bytes, most)
        self.capabilities = replace(channel.capabilities, file_bytes=smaller)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


async def brought(
    service: Service,
    incoming: Incoming,
    channel: Channel,
    row_id: int,
    message: InboundMessage,
) -> InboundMessage:
    """Return a customer's message with its files fetched, and in `data` what Support is told of them.

    Raises:
        Transient: Not now.
    """
    narrow: Any = _Narrow(channel, service.config.file_mib * MIB)
    few = replace(message, files=message.files[:MAX_FILES])
    found = await incoming.fetched(narrow, row_id, few)
    more = tuple(replace(f, refused="too many at a time") for f in message.files[MAX_FILES:])
    told = await asyncio.to_thread(described, found.files)
    return replace(found, files=(*found.files, *more), data=told)


async def heard(
    channel: Channel, transcriber: Transcriber, message: InboundMessage, *, most: int
) -> InboundMessage:
    """Return a voice note with its words, and in `data` the name of its line of the ledger.

    One that could not be written down says so in `refused`; why is the company's own matter.

    Raises:
        Transient: Not now.
    """
    if not message.files:
        return message
    file = message.files[0]
    key = ""
    try:
        content = await channel.fetch(file, most=most)
        if len(content) > most:
            raise InvalidInput("it is too large")
        key = unplaced(key_of(content))
        words = await transcriber.transcribe(content, name=file.name)
    except InvalidInput as error:
        return replace(message, text="", data=key, files=(replace(file, refused=str(error)),))
    return replace(message, text=words, data=key, files=(file,))


def described(files: Sequence[InboundFile]) -> str:
    """Say which files came, and how a text among them begins. Opens PDFs: not for a transaction."""
    return "\n".join(_described(file) for file in files if file.path is not None)


def _described(file: InboundFile) -> str:
    assert file.path is not None
    name = f'(They sent a file, "{unmarked(file.name)}":'
    if file.mime == "application/pdf":
        return f"{name} a PDF{_pages(Path(file.path))}.)"
    if file.mime == "text/plain":
        with Path(file.path).open("rb") as opened:
            start = opened.read(4 * EXCERPT_SIGNS).decode("utf-8", "ignore")
        text = clean_text(start).strip()
        shown = text[:EXCERPT_SIGNS] + ("…" if len(text) > EXCERPT_SIGNS else "")
        return f"{name} a text. It begins:\n{shown}\nThe file ends here.)"
    kind = _KINDS.get(file.mime.partition("/")[0], "which you cannot read")
    return f"{name} {kind}.)"


def _pages(path: Path) -> str:
    """Say how many pages a PDF has, where that can be told."""
    if not pdf.is_readable():
        return ""
    try:
        count = pdf.read_pdf(path.read_bytes(), pages=0).pages
    except InvalidInput:
        return " that cannot be opened"
    return f" of {count} page{'' if count == 1 else 's'}"


def listed(files: Sequence[InboundFile]) -> list[dict[str, Any]]:
    """Return the files that were taken as a turn keeps them."""
    kept = [file for file in files if file.path is not None]
    return [
        {"name": file.name, "path": file.path, "bytes": Path(str(file.path)).stat().st_size}
        for file in kept
    ]


def bring_along(
    service: Service, connection: Connection, turns: Sequence[int], order_id: str
) -> None:
    """Put what came with some messages to the order that answers them.

    Files are copied into its workspace as a stranger's; what writing voice notes down cost is
    booked on it. Done twice it is the same.
    """
    query = sa.select(customer_turns.c.files, customer_turns.c.note).where(
        customer_turns.c.id.in_(turns)
    )
    for row in connection.execute(query.order_by(customer_turns.c.id)).all():
        if row.note:
            take_over(connection, row.note.removeprefix(PREFIX), order_id)
        for file in json.loads(row.files):
            _copy(service, connection, Path(file["path"]), order_id)


def _copy(service: Service, connection: Connection, source: Path, order_id: str) -> None:
    if not source.is_file():
        return  # Taken away by hand since; what it was stands in the words.
    folder = service.home / "workspace" / order_id / INCOMING
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under the number of its update: two messages may bring files of one name.
    name = f"{source.parent.name}-{source.name}"
    shutil.copyfile(source, folder / name)
    path = f"{INCOMING}/{name}"
    known = sa.select(labels.c.path).where(labels.c.order_id == order_id, labels.c.path == path)
    if connection.execute(known).first() is None:
        connection.execute(
            labels.insert().values(
                order_id=order_id,
                path=path,
                origin=Origin.CUSTOMER.value,
                is_private=False,
                source="sent by the customer",
                at=iso(service.clock.now()),
            )
        )
