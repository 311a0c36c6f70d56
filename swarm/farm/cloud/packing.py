"""Which server a seat sits on. A pure function of the journal, so that every run comes to the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from swarm.farm.base import Action, Entry, EntryState, Kind


@dataclass(frozen=True, slots=True)
class Seat:
    """An instance's place on a server, as the journal has it."""

    entry: Entry
    instance: str
    owner: str
    generation: str
    host: str
    """The server's name."""
    memory_mib: int
    cpus: Decimal

    @property
    def is_taken(self) -> bool:
        """Say whether its container was seen to run."""
        return self.entry.state is EntryState.DONE


@dataclass(frozen=True, slots=True)
class Room:
    """What a server has for seats, its own needs taken off."""

    host: str
    memory_mib: int
    cpus: Decimal


def seats_of(entries: Iterable[Entry]) -> list[Seat]:
    """Fold the journal of one provider into the seats that are taken or about to be, oldest first."""
    seats: dict[str, Seat] = {}
    for entry in sorted(entries, key=lambda each: each.id):
        of = entry.intent
        if of.kind is not Kind.CONTAINER:
            continue
        if of.action in (Action.CREATE, Action.ADOPT) and entry.state is not EntryState.UNDONE:
            # A run that dies and comes again has the first entry's place, and so has an upgrade
            # until the end of what it replaces is noted.
            seats.setdefault(
                of.instance,
                Seat(
                    entry, of.instance, of.owner, of.generation, of.parent or "",
                    of.memory_mib or 0, of.cpus or Decimal(0),
                ),
            )  # fmt: skip
        if of.action is Action.DELETE and entry.state is EntryState.DONE:
            seats.pop(of.instance, None)
    return sorted(seats.values(), key=lambda seat: seat.entry.id)


def is_seated(seat: Seat, seats: Sequence[Seat], room: Room) -> bool:
    """Say whether a seat fits beside those that were there before it."""
    before = [each for each in seats if each.host == room.host and each.entry.id < seat.entry.id]
    return _fits(before, room, seat.memory_mib, seat.cpus)


def place(seats: Sequence[Seat], rooms: Sequence[Room], *, memory_mib: int, cpus: Decimal) -> str:
    """Return the fullest server that still has room (best fit), or nothing.

    The fullest first keeps the others empty, and an empty server can be given back.
    """
    fitting = []
    for room in rooms:
        there = [seat for seat in seats if seat.host == room.host]
        if _fits(there, room, memory_mib, cpus):
            left = room.memory_mib - sum(seat.memory_mib for seat in there) - memory_mib
            fitting.append((left, room.host))
    return min(fitting)[1] if fitting else ""


def _fits(there: Sequence[Seat], room: Room, memory_mib: int, cpus: Decimal) -> bool:
    memory = sum(seat.memory_mib for seat in there) + memory_mib
    asked = sum((seat.cpus for seat in there), Decimal(0)) + cpus
    return memory <= room.memory_mib and asked <= room.cpus
