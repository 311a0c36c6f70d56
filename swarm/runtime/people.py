"""Who may do what: people by the platform's immutable ids, roles, and a table of rights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import is_for_customers
from swarm.core.clock import Clock, iso
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.ids import Ids
from swarm.core.message import InboundMessage
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.store.tables import people


class Right(StrEnum):
    """One thing that a person may do."""

    ORDER = "order"
    READ = "read"
    """See orders, their state and their results."""
    ANSWER = "answer"
    """Answer the company's questions and choose among options."""
    APPROVE = "approve"
    """Sign and refuse plans, calls and results; raise no budget."""
    CANCEL = "cancel"
    COST = "cost"
    MEMORY = "memory"
    STOP = "stop"
    """Pause the whole company, and let it go on."""
    FEEDBACK = "feedback"
    SERVE = "serve"
    """Answer customers who are handed over to a human."""
    ASK_SUPPORT = "ask_support"
    """Be answered by Support, and by nobody else."""


class PersonRole(StrEnum):
    """What somebody is to the company."""

    FOUNDER = "founder"
    TEAM = "team"
    OBSERVER = "observer"
    CUSTOMER = "customer"


RIGHTS: Mapping[PersonRole, frozenset[Right]] = {
    PersonRole.FOUNDER: frozenset(Right) - {Right.ASK_SUPPORT},
    PersonRole.TEAM: frozenset(
        {Right.ORDER, Right.READ, Right.ANSWER, Right.FEEDBACK, Right.SERVE}
    ),
    PersonRole.OBSERVER: frozenset({Right.READ}),
    PersonRole.CUSTOMER: frozenset({Right.ASK_SUPPORT}),
}
"""What each role may do; what is not here, nobody may."""

ORIGINS: Mapping[PersonRole, Origin] = {
    PersonRole.FOUNDER: Origin.FOUNDER,
    PersonRole.TEAM: Origin.TEAM,
    PersonRole.OBSERVER: Origin.WEB,
    PersonRole.CUSTOMER: Origin.CUSTOMER,
}
"""Whose words the words of each role are."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody known."""

    id: str
    channel: str
    platform_id: str
    name: str
    role: PersonRole
    chat_id: str | None
    language: str | None = None

    @property
    def identity(self) -> str:
        """Return the id under which a signature stands."""
        return f"{self.channel}:{self.platform_id}"

    def may(self, right: Right) -> bool:
        """Return whether the table gives this person a right."""
        return right in RIGHTS[self.role]


class People:
    """The people of one company. Every look is at the table as it is now."""

    def __init__(
        self, *, clock: Clock, ids: Ids, fixed: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Take who is founder by the settings: platform ids by channel."""
        self._clock = clock
        self._ids = ids
        self._fixed = {channel: frozenset(found) for channel, found in (fixed or {}).items()}

    def find(self, connection: Connection, channel: str, platform_id: str) -> Person | None:
        """Return who that is; None for strangers and for people whose rights were taken back."""
        if not platform_id:
            return None
        row = connection.execute(
            sa.select(people).where(
                people.c.channel == channel, people.c.platform_id == platform_id
            )
        ).first()
        if is_for_customers(channel):
            # Whatever a row says: on such a channel nobody is ever more.
            return _person(row) if row is not None and row.revoked_at is None else None
        if platform_id in self._fixed.get(channel, frozenset()):
            return Person(
                id=row.id if row else f"{channel}:{platform_id}",
                channel=channel,
                platform_id=platform_id,
                name=row.name if row else "",
                role=PersonRole.FOUNDER,
                chat_id=row.chat_id if row else None,
                language=row.language if row else None,
            )
        return _person(row) if row is not None and row.revoked_at is None else None

    def welcomed(self, connection: Connection, message: InboundMessage) -> Person | None:
        """Return a customer, let in at their first word; None for one who was shown the door."""
        assert is_for_customers(message.channel), "nobody else is let in without a code"
        key = (people.c.channel == message.channel, people.c.platform_id == message.sender_id)
        if connection.execute(sa.select(people.c.id).where(*key)).first() is None:
            self.admit(
                connection,
                channel=message.channel,
                platform_id=message.sender_id,
                name=message.sender_name,
                role=PersonRole.CUSTOMER,
                chat_id=message.chat_id,
                by="first contact",
            )
        person = self.find(connection, message.channel, message.sender_id)
        if person is None:
            return None
        self.seen(
            connection,
            person,
            name=message.sender_name,
            chat_id=message.chat_id,
            lang=message.language,
        )
        return replace(
            person,
            name=message.sender_name or person.name,
            language=message.language or person.language,
        )

    def admit(
        self,
        connection: Connection,
        *,
        channel: str,
        platform_id: str,
        name: str,
        role: PersonRole,
        chat_id: str | None,
        by: str,
    ) -> Person:
        """Let somebody in with a role; who was here before gets the new one.

        Raises:
            InvalidInput: More than a customer, on a channel of customers.
        """
        if is_for_customers(channel) and role is not PersonRole.CUSTOMER:
            raise InvalidInput(
                f"On {channel} everybody is a customer: pair on the company's own channel."
            )
        values = {
            "name": name,
            "role": role.value,
            "chat_id": chat_id,
            "added_at": iso(self._clock.now()),
            "added_by": by,
            "revoked_at": None,
            "revoked_by": None,
        }
        key = (people.c.channel == channel, people.c.platform_id == platform_id)
        if connection.execute(people.update().where(*key).values(**values)).rowcount == 0:
            fresh = {"id": self._ids.new("u"), "channel": channel, "platform_id": platform_id}
            connection.execute(people.insert().values(**fresh, **values))
        found = connection.execute(sa.select(people).where(*key)).one()
        return _person(found)

    def seen(
        self, connection: Connection, person: Person, *, name: str, chat_id: str | None, lang: str
    ) -> None:
        """Keep how a person calls themselves and where they are reached; rights do not change."""
        values: dict[str, Any] = {}
        if name and name != person.name:
            values["name"] = name
        if chat_id and chat_id != person.chat_id:
            values["chat_id"] = chat_id
        if lang and lang != person.language:
            values["language"] = lang
        if not values:
            return
        key = (people.c.channel == person.channel, people.c.platform_id == person.platform_id)
        if connection.execute(people.update().where(*key).values(**values)).rowcount == 0:
            # A founder by the settings, who writes for the first time.
            self.admit(
                connection,
                channel=person.channel,
                platform_id=person.platform_id,
                name=name,
                role=person.role,
                chat_id=chat_id,
                by="settings",
            )
            connection.execute(people.update().where(*key).values(**values))

    def listed(self, connection: Connection) -> list[dict[str, Any]]:
        """Return everybody who was ever let in, the newest first."""
        rows = connection.execute(sa.select(people).order_by(people.c.added_at.desc())).mappings()
        return [dict(row) for row in rows]

    @property
    def fixed(self) -> list[tuple[str, str]]:
        """Return who is founder by the settings, as channels and platform ids."""
        return [(channel, one) for channel, found in self._fixed.items() for one in sorted(found)]

    def everybody(self, connection: Connection) -> list[Person]:
        """Return who is known and is no customer, founders of the settings among them."""
        rows = connection.execute(
            sa.select(people.c.channel, people.c.platform_id).where(people.c.revoked_at.is_(None))
        )
        keys = {(row.channel, row.platform_id) for row in rows}
        keys |= set(self.fixed)
        known = (
            self.find(connection, *key) for key in sorted(keys) if not is_for_customers(key[0])
        )
        return [p for p in known if p is not None and p.role is not PersonRole.CUSTOMER]

    def founders(self, connection: Connection) -> list[Person]:
        """Return the founders who can be reached in private."""
        rows = connection.execute(
            sa.select(people).where(
                people.c.role == PersonRole.FOUNDER.value,
                people.c.revoked_at.is_(None),
                people.c.chat_id.is_not(None),
            )
        )
        found = [_person(row) for row in rows if not is_for_customers(row.channel)]
        # A founder of the settings who was since taken out of them has no row of their own right.
        return [p for p in found if self.find(connection, p.channel, p.platform_id) is not None]

    def staff(self, connection: Connection) -> list[Person]:
        """Return who can be told of a customer: founders and team who can be reached in private."""
        rows = connection.execute(
            sa.select(people.c.channel, people.c.platform_id)
            .where(people.c.revoked_at.is_(None), people.c.chat_id.is_not(None))
            .where(people.c.role != PersonRole.CUSTOMER.value)
            .order_by(people.c.added_at, people.c.id)
        ).all()
        found = [self.find(connection, row.channel, row.platform_id) for row in rows]
        return [p for p in found if p is not None and p.chat_id and p.may(Right.SERVE)]

    def has_founder(self, connection: Connection) -> bool:
        """Return whether anybody steers the company from a chat."""
        if any(self._fixed.values()):
            return True
        query = sa.select(people.c.id).where(
            people.c.role == PersonRole.FOUNDER.value, people.c.revoked_at.is_(None)
        )
        return connection.execute(query.limit(1)).first() is not None

    def revoke(self, connection: Connection, who: str, *, by: str) -> list[str]:
        """Take all rights of a person back, named by our id or the platform's; return our ids.

        Raises:
            NotFound: Nobody is known by it.
            InvalidInput: The settings make them founder, so that only the settings can take it back.
        """
        rows = connection.execute(
            sa.select(people).where(
                sa.or_(people.c.id == who, people.c.platform_id == who),
                people.c.revoked_at.is_(None),
            )
        ).all()
        fixed = [channel for channel, ids in self._fixed.items() if who in ids]
        fixed += [r.channel for r in rows if r.platform_id in self._fixed.get(r.channel, ())]
        if fixed:
            raise InvalidInput(
                f"{who} is founder by the settings: take the id out of {fixed[0]}.founders."
            )
        if not rows:
            known = connection.execute(
                sa.select(people.c.id).where(people.c.revoked_at.is_(None))
            ).scalars()
            raise NotFound(f"Nobody here is {who!r}{nearest(who, list(known))}")
        connection.execute(
            people.update()
            .where(people.c.id.in_([row.id for row in rows]))
            .values(revoked_at=iso(self._clock.now()), revoked_by=by)
        )
        return [str(row.id) for row in rows]


def role_named(name: str) -> PersonRole:
    """Return a role by its name.

    Raises:
        InvalidInput: There is no such role.
    """
    try:
        return PersonRole(name)
    except ValueError:
        known = [role.value for role in PersonRole]
        raise InvalidInput(f"There is no role of people {name!r}{nearest(name, known)}") from None


def _person(row: Any) -> Person:
    is_customer = is_for_customers(row.channel)
    return Person(
        id=row.id,
        channel=row.channel,
        platform_id=row.platform_id,
        name=row.name,
        role=PersonRole.CUSTOMER if is_customer else PersonRole(row.role),
        chat_id=row.chat_id,
        language=row.language,
    )
