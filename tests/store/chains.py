"""A chain to meddle with: written by the product, held as plain rows and heads."""

import copy
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO

from sqlalchemy.engine import Connection

from swarm.store.audit import AuditChain, items, line_of
from swarm.store.audit_key import AuditKey
from swarm.store.chain import GENESIS, Head, Item, Link, Report, check
from swarm.store.database import Store

KEY = AuditKey(bytes(range(32)))
OTHER_KEY = AuditKey(bytes(32))


class Ticking:
    """A clock that moves on by a second at each look."""

    def __init__(self) -> None:
        self._at = datetime(2026, 11, 22, tzinfo=UTC)

    def now(self) -> datetime:
        self._at += timedelta(seconds=1)
        return self._at

    def monotonic(self) -> float:
        return self._at.timestamp()


def record(chain: AuditChain, connection: Connection, number: int = 0) -> int:
    """Append a row such as the product writes."""
    is_signed = number % 7 == 0
    return chain.append(
        connection,
        kind="approval" if is_signed else "effect",
        order_id=None if number % 11 == 0 else f"o{number // 10}",
        actor="marketcom",
        initiator="telegram:7",
        approver="telegram:7" if is_signed else None,
        body={"tool": "files.write", "number": number, "note": "naïve ☃ \x7f\n", "share": 0.25},
    )


@dataclass
class Chain:
    """Rows and heads that anybody may change."""

    rows: list[Link]
    heads: dict[int, Head]
    anchor: Head
    every: int
    lines: list[bytes] | None = field(default=None)
    """Lines of an export, where those were changed rather than rows."""

    @classmethod
    def written(cls, store: Store, *, rows: int, every: int) -> "Chain":
        """Let the product write a chain, and sign its end for the anchor."""
        writer = AuditChain(clock=Ticking(), key=KEY, every=every)
        store.write(lambda c: [record(writer, c, n) for n in range(1, rows + 1)])
        found = store.read(lambda c: list(items(c)))
        links = [item for item in found if isinstance(item, Link)]
        heads = {item.seq: item for item in found if isinstance(item, Head)}
        return cls(links, heads, Head.signed(links[-1], KEY), every)

    def copied(self) -> "Chain":
        return Chain(copy.copy(self.rows), copy.copy(self.heads), self.anchor, self.every)

    def items(self) -> list[Item]:
        """Return what the database would give."""
        found: list[Item] = []
        for row in self.rows:
            found.append(row)
            if row.seq in self.heads:
                found.append(self.heads[row.seq])
        there = {row.seq for row in self.rows}
        return found + [self.heads[seq] for seq in sorted(self.heads) if seq not in there]

    def export(self) -> list[bytes]:
        return [(line_of(item) + "\n").encode() for item in self.items()]

    def file(self) -> BytesIO:
        return BytesIO(b"".join(self.lines if self.lines is not None else self.export()))

    def check(self) -> Report:
        return check(
            self.items(), public_keys=[KEY.public_key], anchor=self.anchor, every=self.every
        )

    def proven_before(self, seq: int) -> int:
        """Return the last row below `seq` that has a head."""
        return max([0, *(s for s in self.heads if s < seq)])


def rehashed(rows: list[Link], start: int) -> None:
    """Compute the hashes anew from an index on, as somebody would who has no key."""
    previous = rows[start - 1].hash if start else GENESIS
    for index in range(start, len(rows)):
        link = rows[index]._replace(seq=index + 1, previous=previous)
        rows[index] = link._replace(hash=link.digest())
        previous = rows[index].hash


def renumbered(rows: list[Link], start: int) -> None:
    """Close or open a gap in the numbers, and nothing else."""
    for index in range(start, len(rows)):
        rows[index] = rows[index]._replace(seq=index + 1)


def changed(text: str, rng: random.Random) -> str:
    """Return another text."""
    place = rng.randrange(len(text) + 1)
    other = text[:place] + rng.choice("0aZ~é\x00☃") + text[place + rng.randrange(2) :]
    return other if other != text else text + "x"
