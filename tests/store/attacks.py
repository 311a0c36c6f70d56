"""Ways to meddle with a chain, each with the row that must be named for it.

Rows are counted from 1 as in the chain; an attack changes the copy it is given.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from swarm.store.audit import verify_file
from swarm.store.chain import Head, Link, Report
from tests.store.chains import KEY, OTHER_KEY, Chain, changed, rehashed, renumbered

Attack = Callable[[Chain, random.Random], int]

TEXTS = ("at", "kind", "actor", "body", "previous", "hash")
OPTIONAL = ("order_id", "initiator", "approver")


def meddled(row: Link, rng: random.Random) -> Link:
    """Change one column that is not the number."""
    name = rng.choice(TEXTS + OPTIONAL)
    was = getattr(row, name)
    value: dict[str, Any] = {name: changed(was or "", rng)}
    if name in OPTIONAL and rng.random() < 0.3:
        value[name] = None if was is not None else ""
    return row._replace(**value)


def edit(chain: Chain, rng: random.Random) -> int:
    """Change one column."""
    index = rng.randrange(len(chain.rows))
    chain.rows[index] = meddled(chain.rows[index], rng)
    return index + 1


def edit_number(chain: Chain, rng: random.Random) -> int:
    index = rng.randrange(len(chain.rows))
    offset = rng.choice([-1, 1]) * rng.randrange(1, 2**31)
    chain.rows[index] = chain.rows[index]._replace(seq=index + 1 + offset)
    chain.heads.pop(index + 1, None)
    return index + 1


def edit_and_rehash(chain: Chain, rng: random.Random) -> int:
    """Change a row and its hash; the row after it gives it away."""
    index = rng.randrange(len(chain.rows) - 1)
    row = chain.rows[index]._replace(body=changed(chain.rows[index].body, rng))
    chain.rows[index] = row._replace(hash=row.digest())
    return index + 1


def edit_many(chain: Chain, rng: random.Random) -> int:
    """Change several rows; the first is named."""
    indices = rng.sample(range(len(chain.rows)), rng.randrange(2, 6))
    for index in indices:
        chain.rows[index] = meddled(chain.rows[index], rng)
    return min(indices) + 1


def rewrite_tail(chain: Chain, rng: random.Random) -> int:
    """Change a row and compute all hashes after it anew; heads stay, vanish or are forged."""
    index = rng.randrange(len(chain.rows))
    body = changed(chain.rows[index].body, rng)
    chain.rows[index] = chain.rows[index]._replace(body=body)
    rehashed(chain.rows, index)
    proven = chain.proven_before(index + 1)
    _treat_heads(chain, index + 1, rng)
    return proven + 1


def _treat_heads(chain: Chain, start: int, rng: random.Random) -> None:
    way = rng.choice(["stay", "vanish", "other key", "old signature", "other key, same name"])
    for seq in [seq for seq in chain.heads if seq >= start]:
        head = chain.heads[seq]
        if seq > len(chain.rows) or way == "vanish":
            del chain.heads[seq]
        elif way == "old signature":
            chain.heads[seq] = head._replace(hash=chain.rows[seq - 1].hash)
        elif way != "stay":
            forged = Head.signed(chain.rows[seq - 1], OTHER_KEY)
            named = forged._replace(key_id=head.key_id)
            chain.heads[seq] = named if way.endswith("name") else forged


def drop(chain: Chain, rng: random.Random) -> int:
    """Take rows out of the middle."""
    index = rng.randrange(len(chain.rows))
    count = rng.randrange(1, 4)
    del chain.rows[index : index + count]
    if rng.random() < 0.5:
        for seq in range(index + 1, index + 1 + count):
            chain.heads.pop(seq, None)
    return index + 1


def drop_and_renumber(chain: Chain, rng: random.Random) -> int:
    index = rng.randrange(len(chain.rows))
    del chain.rows[index]
    renumbered(chain.rows, index)
    return index + 1


def swap(chain: Chain, rng: random.Random) -> int:
    """Let two rows change places, with their numbers or without."""
    first, second = sorted(rng.sample(range(len(chain.rows)), 2))
    rows = chain.rows
    rows[first], rows[second] = rows[second], rows[first]
    if rng.random() < 0.5:
        renumbered(rows, first)
    elif first + 1 in chain.heads or second + 1 in chain.heads:
        # In a database rows come by their numbers; only a file can hold them in another order.
        renumbered(rows, first)
    return first + 1


def insert(chain: Chain, rng: random.Random) -> int:
    """Put a row in and move the others down: a copy, an invention, or one with a good hash."""
    index = rng.randrange(len(chain.rows))
    source = rng.randrange(len(chain.rows))
    row = chain.rows[source]
    bad = index + 1
    way = rng.choice(["copy", "invention", "good hash"])
    if way == "copy":
        # Where a row is doubled, the first of the two is as it was.
        bad += source == index
    else:
        row = row._replace(body='{"tool":"nothing"}', seq=index + 1, at="2026-11-23T00:00:00.0Z")
    chain.rows.insert(index, row)
    renumbered(chain.rows, index)
    if way == "good hash":
        forged = chain.rows[index]._replace(previous=chain.rows[index + 1].previous)
        chain.rows[index] = forged._replace(hash=forged.digest())
    return bad


def truncate(chain: Chain, rng: random.Random) -> int:
    """Cut the end off, with the heads of what is cut or without."""
    length = rng.randrange(len(chain.rows))
    del chain.rows[length:]
    if rng.random() < 0.5:
        chain.heads = {seq: head for seq, head in chain.heads.items() if seq <= length}
    return length + 1


def cut_and_grow(chain: Chain, rng: random.Random) -> int:
    """Cut the end off and let it grow again with other rows."""
    length = rng.randrange(len(chain.rows))
    tail = [row._replace(body='{"tool":"harmless"}') for row in chain.rows[length:]]
    chain.rows[length:] = tail
    rehashed(chain.rows, length)
    proven = chain.proven_before(length + 1)
    _treat_heads(chain, length + 1, rng)
    return proven + 1


def edit_head(chain: Chain, rng: random.Random) -> int:
    seq = rng.choice(sorted(chain.heads))
    name = rng.choice(["hash", "key_id", "signature", "at"])
    was = getattr(chain.heads[seq], name)
    others = [changed(was, rng), was.swapcase(), was[:-1]]
    value: dict[str, Any] = {name: rng.choice([other for other in others if other != was])}
    chain.heads[seq] = chain.heads[seq]._replace(**value)
    return seq


def drop_head(chain: Chain, rng: random.Random) -> int:
    seq = rng.choice(sorted(chain.heads))
    del chain.heads[seq]
    return seq


ATTACKS: tuple[Attack, ...] = (
    edit,
    edit,
    edit_number,
    edit_and_rehash,
    edit_many,
    rewrite_tail,
    drop,
    drop_and_renumber,
    swap,
    insert,
    truncate,
    cut_and_grow,
    edit_head,
    drop_head,
)


def change_byte(chain: Chain, rng: random.Random) -> int:
    """Change one byte of an export, but for line ends."""
    lines = chain.export()
    index = rng.randrange(len(lines))
    line = bytearray(lines[index])
    place = rng.randrange(len(line) - 1)
    line[place] = rng.choice([b for b in range(256) if b not in (line[place], 10)])
    bad = _row_of(chain, index)
    chain.lines = [*lines[:index], bytes(line), *lines[index + 1 :]]
    return bad


def drop_line(chain: Chain, rng: random.Random) -> int:
    lines = chain.export()
    index = rng.randrange(len(lines))
    bad = _row_of(chain, index)
    chain.lines = lines[:index] + lines[index + 1 :]
    return bad


def double_line(chain: Chain, rng: random.Random) -> int:
    lines = chain.export()
    index = rng.randrange(len(lines))
    bad = _row_of(chain, index) + isinstance(chain.items()[index], Link)
    chain.lines = [*lines[: index + 1], *lines[index:]]
    return bad


def swap_lines(chain: Chain, rng: random.Random) -> int:
    lines = chain.export()
    first, second = sorted(rng.sample(range(len(lines)), 2))
    bad = _row_of(chain, first)
    if isinstance(chain.items()[first], Head) and isinstance(chain.items()[second], Link):
        # Where a row stands in the place of a head, but for the next, nobody vouches for the rows
        # before any more.
        bad = bad if second == first + 1 else chain.proven_before(bad) + 1
    lines[first], lines[second] = lines[second], lines[first]
    chain.lines = lines
    return bad


def cut_file(chain: Chain, rng: random.Random) -> int:
    """Cut an export off anywhere, as a full disk would."""
    lines = chain.export()
    whole = b"".join(lines)
    length = rng.randrange(len(whole))
    rest = chain.items()[whole[:length].count(b"\n")]
    bad = _row_of(chain, chain.items().index(rest))
    if isinstance(rest, Head):
        # With its head gone too, nobody vouches for the rows since the head before.
        bad = chain.proven_before(bad) + 1
    chain.lines = [whole[:length]]
    return bad


FILE_ATTACKS: tuple[Attack, ...] = (
    change_byte,
    change_byte,
    drop_line,
    double_line,
    swap_lines,
    cut_file,
)


def _row_of(chain: Chain, index: int) -> int:
    """Return the row that a line of an export belongs to."""
    return chain.items()[index].seq  # type: ignore[union-attr]  # a whole chain is readable


def campaign(chain: Chain, *, count: int, seed: int) -> Counter[str]:
    """Meddle `count` times, each time with a fresh copy, and count what was done by its name.

    Raises:
        AssertionError: Something was not found, or another row was named.
    """
    done: Counter[str] = Counter()
    for number in range(seed * count, (seed + 1) * count):
        rng = random.Random(number)
        attack = rng.choice((*ATTACKS, *FILE_ATTACKS))
        copy = chain.copied()
        expected = attack(copy, rng)
        report = _look(copy, is_file=attack in FILE_ATTACKS)
        assert report.first_bad == expected, f"{attack.__name__}, seed {number}: {report.why}"
        done[attack.__name__] += 1
    return done


def _look(chain: Chain, *, is_file: bool) -> Report:
    if not is_file:
        return chain.check()
    keys = [KEY.public_key]
    return verify_file(chain.file(), public_keys=keys, anchor=chain.anchor, every=chain.every)
