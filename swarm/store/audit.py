"""The audit chain in the database, and in exported files.

`AuditChain.append` writes a row in the transaction of what it records: both are stored, or none.
`verify` and `verify_file` read a chain from its first row on and name the first bad one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from swarm.core.clock import Clock, iso
from swarm.core.errors import Conflict
from swarm.store.audit_key import AuditKey
from swarm.store.canonical import canonical, plain_text
from swarm.store.chain import (
    EVERY,
    GENESIS,
    Head,
    Item,
    Link,
    Report,
    Unreadable,
    check,
    head_of,
    link_of,
)
from swarm.store.prepared import Prepared
from swarm.store.tables import audit, audit_heads

LONGEST_LINE = 64 * 2**20
"""Bytes of an exported line; a longer one is no row, and is not read into memory."""
_BUFFERED = 100
"""Rows that a server sends at once."""
# Any number that no other part of the program locks in the same database.
_POSTGRES_LOCK = 0x5357_4152_4D41_5544


class AuditChain:
    """Append to the audit chain of one company."""

    def __init__(self, *, clock: Clock, key: AuditKey | None, every: int = EVERY) -> None:
        """Create the writer.

        Args:
            clock: Gives the rows their time.
            key: Signs heads. Without one a chain has none, and `verify` with a key will miss them.
            every: A head is written with each row whose number is a multiple of it.
        """
        self._clock = clock
        self._key = key
        self._every = every

    def append(
        self,
        connection: Connection,
        *,
        kind: str,
        order_id: str | None,
        actor: str,
        initiator: str | None,
        approver: str | None,
        body: Mapping[str, object],
    ) -> int:
        """Write one row in the caller's transaction and return its number.

        On Postgres the chain is locked until that transaction ends: append last in it, so that
        others wait for the commit alone. What `body` holds is never a reason to fail: see
        `canonical` for what becomes of values that JSON does not know.

        Args:
            connection: Its transaction also holds what is recorded here.
            kind: What happened, such as `effect`, `approval`, `sign_off`, `memory_forgotten`.
            order_id: The order it was done for; None for what belongs to none.
            actor: Who did it: a role, `system`, or a person as `channel:id`.
            initiator: Whose order it served, as `channel:id`.
            approver: The human who signed, as `channel:id`.
            body: The facts; no secrets, since rows are never deleted.
        """
        _lock(connection)
        last = _LAST.first(connection, {})
        link = Link(
            seq=1 if last is None else last.seq + 1,
            at=iso(self._clock.now()),
            kind=plain_text(kind),
            order_id=_optional(order_id),
            actor=plain_text(actor),
            initiator=_optional(initiator),
            approver=_optional(approver),
            body=canonical(body),
            previous=GENESIS if last is None else last.hash,
            hash="",
        )
        link = link._replace(hash=link.digest())
        _INSERT.run(connection, link._asdict())
        if self._key is not None and link.seq % self._every == 0:
            connection.execute(_INSERT_HEAD, Head.signed(link, self._key)._asdict())
        return link.seq

    def sign(self, connection: Connection) -> Head | None:
        """Sign the newest row now, whatever its number; None for an empty chain.

        The head is stored as well. Kept elsewhere, its `line` proves that rows were cut off later.

        Raises:
            Conflict: The row has a head that another key made, or that was meddled with.
        """
        assert self._key is not None
        _lock(connection)
        last = newest(connection)
        if last is None:
            return None
        head = Head.signed(last, self._key)
        known = connection.execute(_HEAD, {"seq": last.seq}).first()
        if known is None:
            connection.execute(_INSERT_HEAD, head._asdict())
        elif tuple(known) != tuple(head):
            raise Conflict(
                f"Row {last.seq} of the audit chain already has another head: "
                "run `swarm audit verify`."
            )
        return head


def newest(connection: Connection) -> Link | None:
    """Return the last row of the chain."""
    row = connection.execute(_NEWEST).first()
    return None if row is None else Link(*row)


def items(connection: Connection) -> Iterator[Item]:
    """Read the chain: rows in order, each followed by its head; then heads that have no row.

    Rows and heads come from one statement, so that a chain which grows meanwhile looks whole. At
    most a few rows are in memory.
    """
    width = len(Link._fields)
    for row in _rows(connection, _ALL):
        if isinstance(row, Unreadable):
            yield row
            return
        yield link_of(row[:width])
        if row[width] is not None:
            yield head_of(row[width:])
    for row in _rows(connection, _LONE_HEADS):
        yield row if isinstance(row, Unreadable) else head_of(row)


def verify(
    connection: Connection,
    *,
    public_keys: Sequence[bytes] | None,
    anchor: Head | None = None,
    every: int = EVERY,
) -> Report:
    """Check the chain of a database; the arguments are those of `chain.check`.

    Raises:
        InvalidInput: The anchor itself was not signed with one of the keys.
    """
    return check(items(connection), public_keys=public_keys, anchor=anchor, every=every)


def verify_file(
    file: BinaryIO,
    *,
    public_keys: Sequence[bytes] | None,
    anchor: Head | None = None,
    every: int = EVERY,
) -> Report:
    """Check a chain that `export` wrote; the arguments are those of `chain.check`.

    Raises:
        InvalidInput: The anchor itself was not signed with one of the keys.
    """
    return check(_read(file), public_keys=public_keys, anchor=anchor, every=every)


def export(connection: Connection) -> Iterator[str]:
    """Return the chain as lines of JSON in ASCII, without their line ends.

    A row is an object with its columns; a head is `{"head": {…}}` after its row. To check a row
    by hand: take `hash` out, write the rest as RFC 8785 has it, and take the SHA-256. What cannot
    be read becomes a line that `verify_file` refuses at that place.
    """
    return map(line_of, items(connection))


def line_of(item: Item) -> str:
    """Write one line of an export."""
    text = json.dumps(_document(item), sort_keys=True, separators=(",", ":"))
    # The one control sign that JSON does not escape by itself; terminals act on it.
    return text.replace("\x7f", "\\u007f")


def _document(item: Item) -> dict[str, Any]:
    match item:
        case Link():
            return item._asdict()
        case Head():
            return {"head": item._asdict()}
        case Unreadable():
            return {"head": None} if item.is_head else {"unreadable": item.why}


def _read(file: BinaryIO) -> Iterator[Item]:
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            yield Unreadable(f"its line is longer than {LONGEST_LINE:,} bytes", is_head=None)
            return
        yield _item(line)


def _item(line: bytes) -> Item:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return Unreadable("its line is not JSON", is_head=None)
    item: Item = Unreadable("its line is not that of a row", is_head=None)
    if isinstance(document, dict):
        if set(document) == set(Link._fields):
            item = link_of([document[name] for name in Link._fields])
        elif set(document) == {"head"}:
            item = _head(document["head"])
    # Another spelling could mean something else to another reader: a key twice, for example.
    if not isinstance(item, Unreadable) and line != (line_of(item) + "\n").encode():
        why = "its line is not written as an export writes it"
        return Unreadable(why, is_head=isinstance(item, Head))
    return item


def _head(document: object) -> Item:
    if isinstance(document, dict) and set(document) == set(Head._fields):
        return head_of([document[name] for name in Head._fields])
    return Unreadable("its line is not that of a head", is_head=True)


def _rows(connection: Connection, statement: sa.Select[Any]) -> Iterator[Any]:
    # SQLite hands out row by row by itself, and so names the row that cannot be read. Postgres
    # would send all of them at once.
    is_sqlite = connection.dialect.name == "sqlite"
    options = {} if is_sqlite else {"stream_results": True, "max_row_buffer": _BUFFERED}
    try:
        with connection.execute(statement, execution_options=options) as result:
            yield from result
    except DatabaseError as error:
        # SQLite stores any bytes as text, and its driver stops at those that are none.
        if "decode" not in str(error.orig).lower():
            raise
        yield Unreadable("a column holds bytes that are no text")


def _lock(connection: Connection) -> None:
    """Let nobody else append before this transaction has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)
        return
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        # The driver would begin at the insert only, and what was read before it could be stale.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _optional(text: str | None) -> str | None:
    return None if text is None else plain_text(text)


# One number for each company: a chain that grows holds up no other's.
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(current_setting('swarm.company'), "
    f"{_POSTGRES_LOCK}))"
)
_LAST = Prepared(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1))
_INSERT = Prepared(audit.insert())
_INSERT_HEAD = audit_heads.insert()
_columns = [audit.c[name] for name in Link._fields]
_head_columns = [audit_heads.c[name] for name in Head._fields]
_NEWEST = sa.select(*_columns).order_by(audit.c.seq.desc()).limit(1)
_HEAD = sa.select(*_head_columns).where(audit_heads.c.seq == sa.bindparam("seq"))
_ALL = (
    sa.select(*_columns, *_head_columns)
    .select_from(audit.outerjoin(audit_heads, audit.c.seq == audit_heads.c.seq))
    .order_by(audit.c.seq)
)
_LONE_HEADS = (
    sa.select(*_head_columns)
    .where(~sa.exists().where(audit.c.seq == audit_heads.c.seq))
    .order_by(audit_heads.c.seq)
)
