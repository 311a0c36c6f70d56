"""The audit chain as values: its rows, its signed heads, and what both must fulfil.

Each row holds the hash of the row before it, and a signed head vouches for all rows up to its own.
Nothing here knows a database or a file: `check` takes rows and heads in their order.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from swarm.core.errors import InvalidInput
from swarm.store.audit_key import AuditKey, is_signed, key_id
from swarm.store.canonical import flat

GENESIS = "0" * 64
"""What the first row holds as the hash of the row before it."""
EVERY = 100
"""A head is signed at each multiple of it; one that is missing there is a fault of the chain."""
_LINE = re.compile(r"swarm-head:1:([1-9][0-9]{0,17}):([0-9a-f]{64}):([0-9a-f]{64}):([0-9a-f]{128})")


class Link(NamedTuple):
    """One row of the audit table."""

    seq: int
    at: str
    kind: str
    order_id: str | None
    actor: str
    initiator: str | None
    approver: str | None
    body: str
    previous: str
    hash: str

    def digest(self) -> str:
        """Return the SHA-256 over the canonical JSON of all columns but `hash`, in hexadecimal.

        Raises:
            ValueError: A text that UTF-8 cannot hold.
        """
        columns = self._asdict()
        del columns["hash"]
        return hashlib.sha256(flat(columns).encode()).hexdigest()


class Head(NamedTuple):
    """A row's hash, signed: it vouches for that row and for all before it."""

    seq: int
    hash: str
    key_id: str
    signature: str
    at: str
    """When its row was written; empty where it was read from a line."""

    @classmethod
    def signed(cls, link: Link, key: AuditKey) -> "Head":
        """Sign the hash of a row."""
        signature = key.sign(_message(link.seq, link.hash)).hex()
        return cls(link.seq, link.hash, key.id, signature, link.at)

    @classmethod
    def from_line(cls, line: str) -> "Head":
        """Read what `line` wrote.

        Raises:
            InvalidInput: Not such a line.
        """
        if (found := _LINE.fullmatch(line.strip())) is None:
            raise InvalidInput(
                "That is not a head of an audit chain: give the whole line that "
                "`swarm audit head --sign` printed, beginning with `swarm-head:1:`."
            )
        return cls(int(found[1]), found[2], found[3], found[4], "")

    def line(self) -> str:
        """Write the head as one word, to be kept where this machine's owner cannot change it."""
        return f"swarm-head:1:{self.seq}:{self.hash}:{self.key_id}:{self.signature}"

    def fault(self, public_keys: Sequence[bytes]) -> str | None:
        """Say what is wrong with the signature, or None where one of the keys made it."""
        key = next((k for k in public_keys if key_id(k) == self.key_id), None)
        if key is None:
            return f"it is signed with a key that was not given ({self.key_id[:16]}…)"
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            signature = b""
        is_good = is_signed(_message(self.seq, self.hash), signature, key)
        return None if is_good and self.signature == signature.hex() else "its signature is false"


class Unreadable(NamedTuple):
    """Something that stands where a row or a head should, and is neither."""

    why: str
    is_head: bool | None = False
    """None where nobody can tell: it is one where the row before it waits for its head."""


Item = Link | Head | Unreadable


@dataclass(frozen=True, slots=True)
class Report:
    """What a look at a chain found."""

    rows: int
    """Rows that were read; reading ends soon after the first bad one."""
    heads: int
    """Heads whose signature is good."""
    signed_to: int
    """The last row for which a good head, or the anchor, vouches; 0 where there is none."""
    first_bad: int | None
    """The first row that is not as it was written; None where all is well.

    Exact for what is edited, dropped, swapped, inserted or cut off. Where all hashes from some row
    on were computed anew, nobody can tell that row: it is the first without a good head, and `why`
    says up to which row it may be.
    """
    why: str
    """What is wrong, in a sentence; empty where all is well."""
    last: Link | None
    """The last row that was read."""

    @property
    def is_whole(self) -> bool:
        """True where nothing bad was found."""
        return self.first_bad is None


def check(
    items: Iterable[Item],
    *,
    public_keys: Sequence[bytes] | None,
    anchor: Head | None = None,
    every: int = EVERY,
) -> Report:
    """Check a chain from its first row on, in constant memory.

    Args:
        items: Rows in order, each followed by its head where it has one; heads without a row last.
        public_keys: The keys that may have signed heads, 32 bytes each. None leaves signatures and
            missing heads unchecked; with an empty sequence every head is false.
        anchor: A signed head kept elsewhere: the chain must still reach and hold its row.
        every: Heads are demanded at its multiples.

    Raises:
        InvalidInput: The anchor itself was not signed with one of the keys.
    """
    if anchor is not None and public_keys is not None and (fault := anchor.fault(public_keys)):
        raise InvalidInput(f"The given head proves nothing: {fault}.")
    walk = _Walk(public_keys, anchor, every)
    for item in items:
        if not walk.take(item):
            break
    return walk.end()


@dataclass(frozen=True, slots=True)
class _Tear:
    """A sound row that names another hash for the row before it than that row has."""

    seq: int

    def blame(self, *, is_vouched_for: bool) -> tuple[int, str]:
        """Blame the row before where this one is known to be as it was written."""
        first = self.seq - 1 if is_vouched_for and self.seq > 1 else self.seq
        return first, f"row {self.seq} was written after a row with another hash"


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """A row whose hash is not the one that was signed."""

    seq: int
    signed_hash: str
    is_anchor: bool


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A head that is missing or false. A later good one clears the rows, not the head."""

    seq: int
    why: str


class _Walk:
    """Where a check stands. A fault may need the next row before it is clear whom to blame."""

    def __init__(
        self, public_keys: Sequence[bytes] | None, anchor: Head | None, every: int
    ) -> None:
        self._keys = public_keys
        self._anchor = anchor
        self._every = every
        self._rows = self._heads = self._signed_to = 0
        self._last: Link | None = None
        self._seq, self._hash, self._hash_before = 0, GENESIS, GENESIS
        self._head_seq = 0
        """The row of the last head, good or not."""
        self._open: _Tear | _Rewrite | None = None
        self._doubt: _Doubt | None = None
        self._bad: tuple[int, str] | None = None

    def take(self, item: Item) -> bool:
        """Look at the next item; False where nothing further can be said."""
        match item:
            case Link():
                self._take_link(item)
            case Head():
                self._take_head(item)
            case Unreadable(why, is_head):
                if is_head or (is_head is None and self._is_head_due):
                    self._head_seq = self._seq
                    self._doubt_head(f"its head cannot be read: {why}")
                else:
                    self._settle(None)
                    self._blame(self._seq + 1, why)
        return self._bad is None

    def end(self) -> Report:
        """Say what was found, all items being seen."""
        self._settle(None)
        self._demand_head()
        if self._anchor is not None and self._seq < self._anchor.seq:
            self._blame(
                self._seq + 1,
                f"the given head vouches for row {self._anchor.seq}, the chain ends at {self._seq}",
            )
        if self._doubt is not None:
            self._blame(self._doubt.seq, self._doubt.why)
        first_bad, why = self._bad or (None, "")
        return Report(self._rows, self._heads, self._signed_to, first_bad, why, self._last)

    def _take_link(self, link: Link) -> None:
        self._settle(link)
        if link == self._last:
            self._bad = self._bad or (link.seq + 1, f"row {link.seq} stands in its place too")
        self._demand_head()
        seq = self._seq + 1
        if link.seq != seq:
            self._blame(seq, f"row {link.seq} stands in its place")
        elif not _is_sound(link):
            self._blame(*self._unsound(link))
        if self._bad is not None:
            return
        if link.previous != self._hash:
            self._open = _Tear(seq)
        self._rows += 1
        self._last, self._seq = link, seq
        self._hash_before, self._hash = self._hash, link.hash
        if self._anchor is not None and self._anchor.seq == seq:
            self._compare(self._anchor, is_anchor=True)

    def _unsound(self, link: Link) -> tuple[int, str]:
        """Say whom to blame for a row whose contents do not have its hash."""
        # A row that was moved down by one still follows the row before the last; so does a copy of
        # the last, which is the odd one itself.
        is_moved = link.previous == self._hash_before and link.hash != self._hash
        if self._seq and is_moved and link.previous != self._hash:
            return self._seq, f"it was put in before what is now row {link.seq}"
        return link.seq, "its contents do not have its hash"

    def _take_head(self, head: Head) -> None:
        if head.seq == self._seq and head.seq != self._head_seq:
            self._head_seq = self._seq
            self._take_own_head(head)
        elif self._doubt is not None and self._doubt.seq == head.seq:
            self._bad = self._bad or (head.seq, "its head stands in the wrong place")
        elif self._is_head_due:
            self._head_seq = self._seq
            self._doubt_head(f"its head is one of row {head.seq}")
        elif 0 < head.seq <= self._seq:
            self._bad = self._bad or (head.seq, "its head stands in the wrong place, or twice")
        else:
            self._settle(None)
            self._blame(self._seq + 1, f"a head stands for row {head.seq}, which is missing")

    def _take_own_head(self, head: Head) -> None:
        if self._keys is not None and (fault := head.fault(self._keys)):
            self._doubt_head(f"its head proves nothing: {fault}")
        elif self._compare(head):
            self._heads += self._keys is not None
            if self._last is not None and head.at != self._last.at:
                self._bad = self._bad or (head.seq, "the time of its head was changed")

    def _compare(self, head: Head, *, is_anchor: bool = False) -> bool:
        """Hold the last row against a hash that was signed; True where all up to it is proven."""
        is_same = head.hash == self._hash
        if isinstance(self._open, _Tear):
            self._blame(*self._open.blame(is_vouched_for=is_same))
        elif not is_same:
            self._open = self._open or _Rewrite(head.seq, head.hash, is_anchor)
        elif self._open is None:
            self._vouch(head.seq)
            return True
        return False

    def _vouch(self, seq: int) -> None:
        if self._keys is None:
            return
        self._signed_to = seq
        if self._doubt is not None:
            # The rows are proven, so it is the head alone that somebody meddled with.
            self._bad = self._bad or (self._doubt.seq, self._doubt.why)

    def _settle(self, following: Link | None) -> None:
        """Decide whom an open fault is blamed on, by the row that follows."""
        match self._open:
            case _Tear() as tear:
                # Where none follows, one changed row is likelier than two.
                is_vouched_for = following is None or following.previous == self._hash
                self._blame(*tear.blame(is_vouched_for=is_vouched_for))
            case _Rewrite(seq, signed_hash, is_anchor):
                source = "the given head" if is_anchor else "its signed head"
                # The row after it follows the row that was signed, or is that row, moved down.
                if following is not None and signed_hash in (following.previous, following.hash):
                    self._blame(seq, f"{source} and the row after it have another hash")
                else:
                    self._blame_range(seq, f"{source} has another hash", is_anchor=is_anchor)
            case None:
                pass
        self._open = None

    @property
    def _is_head_due(self) -> bool:
        return self._seq > 0 and self._seq % self._every == 0 and self._head_seq != self._seq

    def _demand_head(self) -> None:
        if self._keys is not None and self._is_head_due:
            self._doubt_head("its signed head is missing")

    def _doubt_head(self, why: str) -> None:
        if self._signed_to >= self._seq:
            self._bad = self._bad or (self._seq, why)
        self._doubt = self._doubt or _Doubt(self._seq, why)

    def _blame(self, seq: int, why: str) -> None:
        if self._bad is not None:
            return
        if self._doubt is not None:
            self._blame_range(self._doubt.seq, self._doubt.why)
        else:
            # What a good head vouches for is as it was written.
            self._bad = max(seq, self._signed_to + 1), why

    def _blame_range(self, to: int, why: str, *, is_anchor: bool = False) -> None:
        """Blame the first row after the last good head for something that went wrong up to `to`."""
        first = min(self._signed_to + 1, to)
        place = f"at row {to}, " if first < to else ""
        anew = f"; rows from {first} to {to} may have been written anew" if first < to else ""
        who = ", or earlier ones by somebody who has the key" if is_anchor else ""
        self._bad = self._bad or (first, f"{place}{why}{anew}{who}")


def _is_sound(link: Link) -> bool:
    try:
        return link.digest() == link.hash
    except ValueError:
        return False


def _message(seq: int, row_hash: str) -> bytes:
    return f"{seq}:{row_hash}".encode()


def link_of(values: Sequence[Any]) -> Link | Unreadable:
    """Return a row from its columns, or what is wrong with them."""
    link = Link(*values)
    texts = (link.at, link.kind, link.actor, link.body, link.previous, link.hash)
    optional = (link.order_id, link.initiator, link.approver)
    if type(link.seq) is not int or not all(type(value) is str for value in texts):
        return Unreadable("a column holds something else than text")
    if not all(value is None or type(value) is str for value in optional):
        return Unreadable("a column holds something else than text")
    return link


def head_of(values: Sequence[Any]) -> Head | Unreadable:
    """Return a head from its columns, or what is wrong with them."""
    head = Head(*values)
    if type(head.seq) is int and all(type(value) is str for value in head[1:]):
        return head
    return Unreadable("a column holds something else than text", is_head=True)
