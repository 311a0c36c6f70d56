"""Turn events into lives: what existed from when to when, in which size, switched on or off."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from swarm.ledger.hosting.events import (
    ATTACHED,
    CREATED,
    DELETED,
    DETACHED,
    IPV4,
    KEPT,
    OFF,
    ON,
    REBOOTED,
    RESIZED,
    SERVER,
    TRAFFIC,
    VOLUME,
    Event,
    OwnPrice,
    Part,
    Refused,
)

ONLY = "server"
"""Name of a server in a file that names none."""


@dataclass(frozen=True, slots=True)
class State:
    """What a thing is during one stretch of its life."""

    type: str | None
    location: str | None
    size_gb: Decimal | None
    ordered_at: datetime
    is_on: bool
    price: OwnPrice | None = None


@dataclass(slots=True)
class Life:
    """One rented thing; stretches follow each other without gaps."""

    id: str
    kind: str
    provider: str
    began_at: datetime
    stretches: list[tuple[datetime, State]]
    """Each with its beginning; the last one ends with the life."""
    parent: str | None = None
    is_part: bool = False
    """Ordered with its server, so it ends with it unless it is kept."""
    ended_at: datetime | None = None
    ended_with: str | None = None
    """The server whose end took it along."""
    doubt: str | None = None
    """Why no amount may be put on it, or nothing."""

    @property
    def state(self) -> State:
        """Return what it is by now."""
        return self.stretches[-1][1]


@dataclass(frozen=True, slots=True)
class Sent:
    """Outgoing traffic of a server."""

    server: Life
    at: datetime
    terabytes: Decimal


@dataclass(slots=True)
class Lives:
    """Every life of a file, and what of the file was no use."""

    lives: list[Life] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def live(events: Iterable[Event], *, until: datetime, provider: str | None) -> Lives:
    """Follow the events in the order of their times.

    Args:
        events: In any order; a note says which came too late.
        until: Events after it are refused: they have not happened yet.
        provider: Of events that name none.
    """
    follower = _Follower(until, provider)
    for event in follower.sorted(list(events)):
        follower.take(event)
    return follower.found


class _Follower:
    """Apply one event after the other."""

    def __init__(self, until: datetime, provider: str | None) -> None:
        self.found = Lives()
        self._until = until
        self._provider = provider
        self._now: dict[str, Life] = {}
        """The newest life under each name."""
        self._seen: set[tuple[object, ...]] = set()
        self._lost: dict[str, int] = {}
        """Lines of deletions that came before anything was made, by its name."""
        self._deeds: dict[str, Callable[[Event], object]] = {
            CREATED: self._create, ON: self._switch, OFF: self._switch, RESIZED: self._resize,
            ATTACHED: self._attach, DETACHED: self._detach, KEPT: self._keep, DELETED: self._delete,
            TRAFFIC: self._send, REBOOTED: self._find,
        }  # fmt: skip

    def sorted(self, events: list[Event]) -> list[Event]:
        """Return the events by time; say which of them stood too late in the file."""
        latest: datetime | None = None
        for event in events:
            if latest is not None and event.at < latest:
                self.found.notes.append(
                    f"event {event.line} is older than the one before it (a clock that jumped, or a "
                    "file out of order): all are taken by their times"
                )
            latest = event.at
        return sorted(events, key=lambda event: event.at)

    def take(self, event: Event) -> None:
        """Apply an event, or refuse it with a sentence."""
        if event.at > self._until:
            return self._refuse(
                event,
                f"it is dated {event.at:%Y-%m-%d %H:%M}, after the end of the bill: not counted yet",
                may_cost=False,
            )
        key = (event.at, event.verb, event.kind, event.id, event.parent, event.type, event.size_gb)
        if key in self._seen and event.verb != TRAFFIC:
            self.found.notes.append(f"event {event.line} was said before and is counted once")
            return None
        self._seen.add(key)
        self._deeds[event.verb](event)
        return None

    def _refuse(self, event: Event, reason: str, *, may_cost: bool = True) -> None:
        sentence = f"event {event.line}: {reason}"
        self.found.refused.append(Refused(event.line, dict(event.raw), sentence, may_cost))

    def _name(self, event: Event) -> str:
        if event.id is not None:
            return event.id
        kind = event.kind or SERVER
        if kind == SERVER:
            servers = [life.id for life in self.found.lives if life.kind == SERVER]
            return servers[0] if len(set(servers)) == 1 else ONLY
        return _part_name(event.parent or self._only_server(), kind)

    def _only_server(self) -> str:
        servers = {life.id for life in self.found.lives if life.kind == SERVER}
        return servers.pop() if len(servers) == 1 else ONLY

    def _known(self, event: Event) -> Life | None:
        """Return the life that an event speaks of; an address may go by its server's name."""
        name = self._name(event)
        life = self._now.get(name)
        if life is not None and event.kind in (None, life.kind):
            return life
        if event.kind in (None, SERVER):
            return None
        parent = event.parent or (name if life is not None else None)
        for other in reversed(self.found.lives):
            if other.kind == event.kind and other.parent is not None and other.parent == parent:
                return other
        return None

    # What may happen.

    def _create(self, event: Event) -> None:
        name = self._name(event)
        old = self._now.get(name)
        if old is not None and event.kind not in (None, old.kind):
            old = None
            name = _part_name(name, event.kind or SERVER)
        if old is not None and old.ended_at is None:
            return self._refuse(
                event, f"{name!r} exists already, since {old.began_at:%Y-%m-%d %H:%M}"
            )
        if old is not None and event.at < (old.ended_at or event.at):
            return self._refuse(event, f"{name!r} is made again before it was deleted")
        doubt = None
        if name in self._lost:
            doubt = (
                f"{name!r} was deleted (event {self._lost[name]}) before it was made (event {event.line}): "
                "how long it lived is not known; correct the times"
            )
        life = self._begin(event, name, event.kind or SERVER, doubt=doubt)
        counts: Counter[str] = Counter()
        for part in event.parts:
            counts[part.kind] += 1
            self._begin_part(event, life, part, counts[part.kind])
        return None

    def _begin(self, event: Event, name: str, kind: str, *, doubt: str | None = None) -> Life:
        state = State(
            event.type, event.location, event.size_gb, event.at, not event.is_off, event.price
        )
        parent = self._now.get(event.parent) if event.parent else None
        if parent is not None:
            state = replace(state, location=state.location or parent.state.location)
        life = Life(
            name, kind, (event.provider or self._provider or "").lower(), event.at, [(event.at, state)],
            parent=event.parent, doubt=doubt,
        )  # fmt: skip
        self.found.lives.append(life)
        self._now[name] = life
        return life

    def _begin_part(self, event: Event, server: Life, part: Part, number: int) -> Life:
        name = part.id or _part_name(server.id, part.kind, number)
        state = State(part.type, server.state.location, part.size_gb, event.at, True)
        life = Life(
            name, part.kind, server.provider, event.at, [(event.at, state)], parent=server.id, is_part=True
        )  # fmt: skip
        self.found.lives.append(life)
        self._now[name] = life
        return life

    def _find(self, event: Event) -> Life | None:
        """Return the life an event changes; refuse it where the life is over, begin one if unknown."""
        life = self._known(event)
        if life is None:
            name = self._name(event)
            doubt = (
                f"when {name!r} was made is not in the file (the first word of it is event "
                f"{event.line}, {event.verb!r}): what it cost before is missing"
            )
            return self._begin(event, name, event.kind or SERVER, doubt=doubt)
        if life.ended_at is not None:
            self._refuse(
                event,
                f"{life.id!r} was deleted on {life.ended_at:%Y-%m-%d %H:%M}; this changes nothing",
                may_cost=event.verb in (ON, RESIZED),
            )
            return None
        return life

    def _change(self, life: Life, event: Event, state: State) -> None:
        life.stretches.append((event.at, state))

    def _switch(self, event: Event) -> None:
        life = self._find(event)
        if life is None:
            return
        is_on = event.verb == ON
        if life.state.is_on == is_on and life.began_at != event.at:
            self.found.notes.append(f"event {event.line}: {life.id!r} was {event.verb} already")
            return
        self._change(life, event, replace(life.state, is_on=is_on))

    def _resize(self, event: Event) -> None:
        if event.type is None and event.size_gb is None and event.price is None:
            return self._refuse(
                event, "it does not say what the new size is: add its type, or size_gb"
            )
        life = self._find(event)
        if life is None:
            return None
        # A rescale is a new order: from here on the prices of its day hold.
        changed = replace(
            life.state,
            type=event.type or life.state.type,
            size_gb=event.size_gb if event.size_gb is not None else life.state.size_gb,
            ordered_at=event.at,
            price=event.price,
        )
        return self._change(life, event, changed)

    def _attach(self, event: Event) -> None:
        if event.kind in (None, SERVER):
            return self._refuse(
                event, "it does not say what is attached: write ipv4_attached or volume_attached"
            )
        if self._known(event) is None:
            self._begin(event, self._name(event), event.kind or IPV4)
        elif (life := self._find(event)) is not None:
            life.parent = event.parent or life.parent
        return None

    def _detach(self, event: Event) -> None:
        life = self._find(event)
        if life is not None:
            # By itself now: it is billed until it is deleted, whatever becomes of the server.
            life.is_part = False

    def _keep(self, event: Event) -> None:
        kind = event.kind or IPV4
        life = self._known(replace(event, kind=kind))
        if life is None:
            return self._keep_unknown(event, kind)
        if life.ended_with is not None:
            life.ended_at = life.ended_with = None
        life.is_part = False
        return None

    def _keep_unknown(self, event: Event, kind: str) -> None:
        """Begin what was never said to exist: with its server, where that is known."""
        name = event.parent or event.id or self._only_server()
        server = self._now.get(name) or self._now.get(self._only_server())
        if server is None or server.kind != SERVER:
            self._begin(event, self._name(replace(event, kind=kind)), kind)
            return
        own = event.id if event.id not in (None, server.id) else None
        part = Part(kind, own, event.type, event.size_gb)
        life = self._begin_part(replace(event, at=server.began_at), server, part, 1)
        life.is_part = False
        self.found.notes.append(
            f"event {event.line}: the {kind} {life.id!r} was not mentioned before; it is billed since its "
            f"server was made"
        )

    def _delete(self, event: Event) -> None:
        life = self._known(event)
        if life is None:
            self._lost[self._name(event)] = event.line
            return self._refuse(
                event,
                f"{self._name(event)!r} is deleted before anything says that it was made: its `created` "
                "event is missing, or dated later (a clock that jumped)",
            )
        if life.ended_at is not None and life.ended_with is None:
            return self._refuse(
                event,
                f"{life.id!r} was deleted already, on {life.ended_at:%Y-%m-%d %H:%M}",
                may_cost=False,
            )
        if life.ended_with is None:
            life.ended_at = event.at
        life.ended_with = None
        if life.kind == SERVER:
            self._end_parts(life, event)
        return None

    def _end_parts(self, server: Life, event: Event) -> None:
        for part in self.found.lives:
            if part.parent != server.id or part.ended_at is not None or not part.is_part:
                continue
            if part.kind in event.kept:
                part.is_part = False
            else:
                part.ended_at, part.ended_with = event.at, server.id
        for kind in sorted(event.kept):
            if not any(p.parent == server.id and p.kind == kind for p in self.found.lives):
                self._keep_unknown(replace(event, id=None, kind=kind, parent=server.id), kind)

    def _send(self, event: Event) -> None:
        server = self._now.get(event.id or event.parent or self._only_server())
        if server is None or server.kind != SERVER or event.traffic_tb is None:
            return self._refuse(
                event, "it is about the traffic of a server that the file does not know"
            )
        self.found.sent.append(Sent(server, event.at, event.traffic_tb))
        return None


def _part_name(server: str, kind: str, number: int = 1) -> str:
    return f"{server}/{kind}" + (f"-{number}" if kind == VOLUME and number > 1 else "")
