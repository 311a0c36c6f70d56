"""What a customer and the staff were told, with a pseudonym in the place of the customer's name."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.errors import InvalidInput
from swarm.core.message import Button, OutboundKind, OutboundMessage
from swarm.evals.disguise import Disguise
from swarm.evals.manifest import PersonFacts
from swarm.evals.phone import Platform
from swarm.runtime.customers_cards import card_text
from swarm.store.tables import handovers, outbox, people

_REPLY = "/reply"


def messages_of(connection: Connection, order_id: str, handover: Any) -> Sequence[Any]:
    """Return the rows of what a customer's order had to say, oldest first.

    Args:
        connection: To the company's database.
        order_id: The order.
        handover: The row of the hand-over that came of it; None where none did.
    """
    where = outbox.c.dedupe_key.startswith(f"{order_id}/", autoescape=True)
    if handover is not None:
        card = f"handover/{handover.id}/asked/"
        where = sa.or_(where, outbox.c.dedupe_key.startswith(card, autoescape=True))
    return connection.execute(sa.select(outbox).where(where).order_by(outbox.c.id)).all()


class Told:
    """The messages of one order, as they would have been to somebody else."""

    def __init__(self, order_id: str, rows: Sequence[Any], hidden: Disguise) -> None:
        """Take the messages as they were sent, or are still to be."""
        self._order_id = order_id
        self._rows = rows
        self._hidden = hidden

    def replies(self, texts: Sequence[str]) -> Iterator[Any]:
        """Give the answers as the customer's platform shows them.

        Args:
            texts: What was answered, one text for each segment of the order that ended.
        """
        keys = [row.dedupe_key for row in self._rows if row.dedupe_key.endswith(_REPLY)]
        for key, text in zip(keys, texts, strict=True):
            yield from self._sent(key, key, text, self._hidden.text(text))

    def staff(
        self, connection: Connection
    ) -> tuple[list[PersonFacts], list[tuple[str, str, str | None]]]:
        """Return who was shown a card; and of each card its key, that in a replay, its language."""
        found: list[PersonFacts] = []
        cards: list[tuple[str, str, str | None]] = []
        for row in self._rows:
            is_card = row.dedupe_key.startswith("handover/") and "#" not in row.dedupe_key
            head, _, who = row.dedupe_key.rpartition("/")
            query = sa.select(people).where(people.c.id == who)
            person = connection.execute(query).first() if is_card else None
            if person is None:
                continue
            number = len(found) + 1
            found.append(
                PersonFacts(
                    channel=person.channel, platform_id=f"staff-{number}", name=f"Staff {number}",
                    role=person.role, chat_id=f"staff-{number}", language=person.language,
                )
            )  # fmt: skip
            # The customer is introduced first: people are numbered from there.
            cards.append((row.dedupe_key, f"{head}/u{number + 1}", person.language))
        return found, cards

    def card(self, handover: Any, words: str, card: tuple[str, str, str | None]) -> Iterator[Any]:
        """Give a card of a hand-over as the platform of its reader shows it.

        Args:
            handover: Its row.
            words: The customer's, as they were when the card was written.
            card: Of `staff`.
        """
        key, new_key, language = card
        known = {column.name: getattr(handover, column.name) for column in handovers.c}
        known |= {"taken_by": None, "inner_order_id": None, "words": words}
        hidden, name = self._hidden, self._hidden.pseudonym
        told = known | {"name": name, "person_id": name}
        told |= {"reason": hidden.text(handover.reason), "words": hidden.text(words)}
        one, other = (card_text(SimpleNamespace(**facts), language) for facts in (known, told))
        yield from self._sent(key, new_key, one, other)

    def _sent(self, key: str, new_key: str, text: str, told: str) -> Iterator[Any]:
        """Give the parts of a message with another text in it.

        Raises:
            InvalidInput: What was sent does not come of `text`.
        """
        rows = [row for row in self._rows if row.dedupe_key.partition("#")[0] == key]
        platform, message = Platform(rows[0].channel), _message(rows, text)
        if [row.body for row in rows] not in ([text], [p.text for p in platform.parts(message)]):
            raise InvalidInput(
                f"{self._order_id}: what was sent for it was written by another version of Swarm: "
                "only its own could play it again."
            )
        for number, part in enumerate(platform.parts(replace(message, text=told))):
            yield SimpleNamespace(
                dedupe_key=f"{new_key}#{number}" if number else new_key, kind=rows[0].kind,
                body=part.text, sent_id=None, sent_at=None, created_at=rows[0].created_at,
            )  # fmt: skip


def _message(rows: Sequence[Any], text: str) -> OutboundMessage:
    """Return the message of which some rows are the parts."""
    written = [json.loads(row.buttons) for row in rows]
    buttons: list[list[dict[str, Any]]] = next(filter(None, written), [])
    return OutboundMessage(
        channel=rows[0].channel, chat_id="", thread_id=None, kind=OutboundKind(rows[0].kind),
        text=text, buttons=tuple(tuple(Button(**button) for button in row) for row in buttons),
    )  # fmt: skip
