"""What was heard while the database was away, on the disk of the machine that heard it.

One small SQLite file of the home, flushed before the platform is told `received`. It knows who is
known, as of when the database last answered, so that nobody else's words can fill it. Nothing here
is handled: rows move into the inbox, in their order, once the database is back (`shelter`).
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from swarm.channels.bound import is_for_customers
from swarm.core.clock import iso, parse_iso
from swarm.core.errors import Unavailable
from swarm.core.message import InboundMessage
from swarm.runtime import inbox as box

T = TypeVar("T")

FILE = "local-inbox.db"
MIB = 1024 * 1024


class Standing(StrEnum):
    """Say what somebody is to the company, as far as that is known without its database."""

    PERSON = "person"
    """A founder, a teammate or an observer."""
    CUSTOMER = "customer"
    STRANGER = "stranger"


class Share(NamedTuple):
    """How much may be kept of one sender, and of all senders of one standing."""

    one_rows: int
    one_bytes: int
    all_rows: int
    all_bytes: int


SHARES: Mapping[Standing, Share] = {
    Standing.PERSON: Share(5_000, 16 * MIB, 10_000, 32 * MIB),
    Standing.CUSTOMER: Share(200, 2 * MIB, 9_000, 28 * MIB),
    # Whoever is let in by a code needs a handful of messages; more of a stranger is never handled.
    Standing.STRANGER: Share(20, 256 * 1024, 1_000, 4 * MIB),
}
"""20,000 rows and 64 MiB in all. No standing can use up what another one needs."""


class Kept(StrEnum):
    """Say what became of a message."""

    STORED = "stored"
    KNOWN = "known"
    """It was here already: the platform brought it again."""
    PASSED_OVER = "passed_over"
    """A stranger's, beyond the share of strangers; counted, and kept by nobody."""


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody whom the company knew when its database last answered."""

    channel: str
    platform_id: str
    is_founder: bool
    language: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is kept, at a glance."""

    rows: int = 0
    bytes: int = 0
    oldest_at: datetime | None = None
    """When the oldest row was heard."""
    away_since: datetime | None = None
    """When the database was first missed; None where nothing is kept."""
    passed_over: int = 0
    """Strangers' messages beyond their share, since then."""
    broken: int = 0
    """Rows that the inbox would not take; they stay here, and hold up no other."""


class Held(NamedTuple):
    """One kept row."""

    id: int
    message: InboundMessage


class Told(NamedTuple):
    """A person's chat from which something was kept."""

    channel: str
    chat_id: str
    language: str | None
    rows: int


class LocalInbox:
    """The file of one home. Every call blocks; safe from any thread and beside other processes."""

    def __init__(self, home: Path, *, shares: Mapping[Standing, Share] = SHARES) -> None:
        """Take where it is; nothing is opened yet.

        Args:
            home: The company's folder.
            shares: What may be kept of whom.
        """
        self.path = home / FILE
        self._shares = shares
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def keep(self, message: InboundMessage, *, at: datetime) -> Kept:
        """Keep a message; it is on disk when this returns `STORED`.

        Args:
            message: As the channel heard it.
            at: The present; the first row kept tells since when the database is away.

        Raises:
            Unavailable: There is no room for it, on the disk or in its sender's share.
        """

        def work(connection: sqlite3.Connection) -> Kept:
            key = (message.channel, message.account, message.update_id)
            if connection.execute(_FIND, key).fetchone() is not None:
                return Kept.KNOWN
            standing = self._standing(connection, message)
            body = box.write(message)
            size = len(body) + len(message.raw)
            if self._is_full(connection, message, standing, size):
                if standing is not Standing.STRANGER:
                    raise Unavailable(_FULL.format(path=self.path))
                connection.execute(_COUNT_PASSED)
                return Kept.PASSED_OVER
            connection.execute(_SINCE, (iso(at),))
            row = (standing.value, message.chat_id, message.sender_id, body, message.raw)
            connection.execute(_ADD, (*key, *row, iso(message.received_at), size))
            return Kept.STORED

        return self._write(work)

    def _standing(self, connection: sqlite3.Connection, message: InboundMessage) -> Standing:
        if is_for_customers(message.channel):
            return Standing.CUSTOMER
        found = connection.execute(_WHO, (message.channel, message.sender_id)).fetchone()
        return Standing.STRANGER if found is None else Standing.PERSON

    def _is_full(
        self, connection: sqlite3.Connection, message: InboundMessage, standing: Standing, size: int
    ) -> bool:
        share = self._shares[standing]
        one = connection.execute(_OF_ONE, (message.channel, message.sender_id)).fetchone()
        every = connection.execute(_OF_ALL, (standing.value,)).fetchone()
        return any(
            (
                one[0] >= share.one_rows,
                one[1] + size > share.one_bytes,
                every[0] >= share.all_rows,
                every[1] + size > share.all_bytes,
            )
        )

    def oldest(self, *, most: int = 100) -> list[Held]:
        """Return the rows that were kept first, in their order."""
        rows = self._read(lambda c: c.execute(_OLDEST, (most,)).fetchall())
        return [Held(row.id, box.read(row)) for row in map(_Row._make, rows or ())]

    def drop(self, ids: Sequence[int]) -> None:
        """Delete rows that are in the inbox now."""
        self._write(lambda c: c.executemany(_DROP, [(number,) for number in ids]))

    def put_aside(self, row_id: int, why: str) -> None:
        """Leave a row here that the inbox will not take, so that others can pass it."""
        self._write(lambda c: c.execute(_ASIDE, (why[:500], row_id)))

    def waiting(self) -> Waiting:
        """Return what is kept. Makes no file where there is none."""
        found = self._read(_look)
        return Waiting() if found is None else found

    def know(self, people: Sequence[Known], *, is_all: bool = True) -> None:
        """Write down whom the company knows now: all of them, or some besides those known here."""

        def work(connection: sqlite3.Connection) -> None:
            rows = {(p.channel, p.platform_id, int(p.is_founder), p.language) for p in people}
            if not is_all:
                connection.executemany(_KNOW_TOO, sorted(rows, key=repr))
                return
            if rows == set(connection.execute(_EVERYBODY).fetchall()):
                return
            connection.execute("DELETE FROM known")
            connection.executemany("INSERT INTO known VALUES (?, ?, ?, ?)", sorted(rows, key=repr))

        self._write(work)

    def begin_notice(self, message: InboundMessage) -> Known | None:
        """Return whom to tell that the database is away, once in each outage; None for all others.

        The word is given before it is sent: it goes out once or never, but not twice.
        """

        def work(connection: sqlite3.Connection) -> Known | None:
            who = (message.channel, message.sender_id)
            found = connection.execute(_WHO, who).fetchone()
            if found is None or not found[2] or not message.is_private:
                return None
            chat = (message.channel, message.chat_id)
            if connection.execute(_BEGIN_NOTICE, chat).rowcount == 0:
                return None
            return Known(found[0], found[1], bool(found[2]), found[3])

        return self._write(work)

    def told(self) -> list[Told]:
        """Return the chats of known people from which something was kept in this outage."""
        rows = self._read(lambda c: c.execute(_CHATS).fetchall())
        return [Told(*row) for row in rows or ()]

    def count_chats(self, held: Sequence[Held]) -> None:
        """Note of whom rows came that move into the inbox; counted before they are dropped."""
        chats = [(h.id, h.message.channel, h.message.chat_id, h.message.sender_id) for h in held]
        self._write(lambda c: c.executemany(_COUNT_CHAT, chats))

    def end_outage(self) -> bool:
        """Forget the outage, once all that was kept is moved; False where something came meanwhile."""

        def work(connection: sqlite3.Connection) -> bool:
            if connection.execute(_ANY).fetchone() is not None:
                return False
            for table in ("notices", "chats", "outage"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of ours
            return True

        return self._write(work)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, flushed when this returns.

        Raises:
            Unavailable: The disk takes nothing.
        """
        with self._lock, _explained(self.path):
            if self._connection is None:
                self._connection = _opened(self.path)
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Read, beside whoever writes; None where there is no file."""
        if not self.path.exists():
            return None
        with _explained(self.path):
            address = f"file:{self.path.absolute().as_posix().replace('?', '%3f')}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
                connection.isolation_level = None
                is_made = connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
                return work(connection) if is_made else None


class _Row(NamedTuple):
    """What `inbox.read` reads a message from."""

    id: int
    update_id: str
    received_at: str
    body: str
    raw: bytes


BUSY_S = 5.0
VERSION = 1
_FULL = (
    "The database is away, and {path} holds as much of this sender as it may: nothing was lost, the "
    "platform brings the message again. Bring the database back."
)


def _opened(path: Path) -> sqlite3.Connection:
    # Before SQLite would make it, readable to others; its journal gets the same rights.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    connection.isolation_level = None
    # No WAL: its shared memory does not work on the network folders that homes on Postgres lie on.
    connection.execute("PRAGMA journal_mode=DELETE")
    # FULL would flush the file, but not that the journal is gone from its folder.
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA secure_delete=ON")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.executescript(_SCHEMA)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return connection


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise Unavailable(f"Nothing can be kept in {path} ({error}): check its disk.") from error


def _look(connection: sqlite3.Connection) -> Waiting:
    rows, size, oldest = connection.execute(_SUM).fetchone()
    outage = connection.execute("SELECT since, passed_over FROM outage").fetchone()
    broken = connection.execute("SELECT count(*) FROM heard WHERE fault IS NOT NULL").fetchone()[0]
    return Waiting(
        rows=rows,
        bytes=size,
        oldest_at=parse_iso(oldest) if oldest else None,
        away_since=parse_iso(outage[0]) if outage and outage[0] else None,
        passed_over=outage[1] if outage else 0,
        broken=broken,
    )


_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS heard (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, account TEXT NOT NULL,
    update_id TEXT NOT NULL, standing TEXT NOT NULL, chat_id TEXT NOT NULL,
    sender_id TEXT NOT NULL, body TEXT NOT NULL, raw BLOB NOT NULL, received_at TEXT NOT NULL,
    bytes INTEGER NOT NULL, fault TEXT, UNIQUE (channel, account, update_id));
CREATE INDEX IF NOT EXISTS heard_of_one ON heard (channel, sender_id, bytes);
CREATE INDEX IF NOT EXISTS heard_of_all ON heard (standing, bytes);
CREATE TABLE IF NOT EXISTS known (
    channel TEXT NOT NULL, platform_id TEXT NOT NULL, is_founder INTEGER NOT NULL, language TEXT,
    PRIMARY KEY (channel, platform_id));
CREATE TABLE IF NOT EXISTS outage (
    id INTEGER PRIMARY KEY CHECK (id = 1), since TEXT, passed_over INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS notices (
    channel TEXT NOT NULL, chat_id TEXT NOT NULL, PRIMARY KEY (channel, chat_id));
CREATE TABLE IF NOT EXISTS chats (
    heard_id INTEGER PRIMARY KEY, channel TEXT NOT NULL, chat_id TEXT NOT NULL,
    sender_id TEXT NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""
_FIND = "SELECT 1 FROM heard WHERE channel = ? AND account = ? AND update_id = ?"
_WHO = (
    "SELECT channel, platform_id, is_founder, language FROM known "
    "WHERE channel = ? AND platform_id = ?"
)
_EVERYBODY = "SELECT channel, platform_id, is_founder, language FROM known"
_KNOW_TOO = "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_OF_ONE = "SELECT count(*), coalesce(sum(bytes), 0) FROM heard WHERE channel = ? AND sender_id = ?"
_OF_ALL = "SELECT count(*), coalesce(sum(bytes), 0) FROM heard WHERE standing = ?"
_COUNT_PASSED = (
    "INSERT INTO outage (id, passed_over) VALUES (1, 1) "
    "ON CONFLICT (id) DO UPDATE SET passed_over = passed_over + 1"
)
_SINCE = (
    "INSERT INTO outage (id, since) VALUES (1, ?) "
    "ON CONFLICT (id) DO UPDATE SET since = coalesce(since, excluded.since)"
)
_ADD = (
    "INSERT INTO heard (channel, account, update_id, standing, chat_id, sender_id, body, raw, "
    "received_at, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OLDEST = (
    "SELECT id, update_id, received_at, body, raw FROM heard WHERE fault IS NULL "
    "ORDER BY id LIMIT ?"
)
_ANY = "SELECT 1 FROM heard WHERE fault IS NULL LIMIT 1"
_DROP = "DELETE FROM heard WHERE id = ?"
_ASIDE = "UPDATE heard SET fault = ? WHERE id = ?"
_SUM = "SELECT count(*), coalesce(sum(bytes), 0), min(received_at) FROM heard WHERE fault IS NULL"
_BEGIN_NOTICE = "INSERT INTO notices VALUES (?, ?) ON CONFLICT DO NOTHING"
_COUNT_CHAT = "INSERT INTO chats VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_CHATS: Any = (
    "SELECT c.channel, c.chat_id, k.language, count(*) FROM chats c "
    "JOIN known k ON k.channel = c.channel AND k.platform_id = c.sender_id "
    "GROUP BY c.channel, c.chat_id, k.language ORDER BY 1, 2"
)
