"""The audit chain in a database: what is written with an effect, and what is found later."""

import asyncio
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from swarm.core.errors import Conflict, InvalidInput
from swarm.store.audit import AuditChain, export, items, verify, verify_file
from swarm.store.chain import GENESIS, Head, Report
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import audit, audit_heads, meta
from tests.store.chains import KEY, OTHER_KEY, Ticking, record
from tests.store.dying import EVERY, ROWS, WHERE

EVERY_TEN = 10


@pytest.fixture
def chain() -> AuditChain:
    return AuditChain(clock=Ticking(), key=KEY, every=EVERY_TEN)


def grow(store: Store, chain: AuditChain, rows: int) -> None:
    store.write(lambda c: [record(chain, c, n) for n in range(1, rows + 1)])


def look(store: Store, *, anchor: Head | None = None, every: int = EVERY_TEN) -> Report:
    return store.read(lambda c: verify(c, public_keys=[KEY.public_key], anchor=anchor, every=every))


def meddle(store: Store, *statements: str) -> None:
    """Do what only the owner of the file can: take the triggers away first."""

    def work(connection: Connection) -> None:
        for verb in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS audit_no_{verb}")
        for statement in statements:
            connection.exec_driver_sql(statement)

    store.write(work)


def rows_of(store: Store) -> Any:
    return store.read(lambda c: c.execute(sa.select(audit).order_by(audit.c.seq)).all())


def test_a_row_says_who_did_what_for_whom_and_who_signed(store: Store, chain: AuditChain) -> None:
    seq = store.write(
        lambda c: chain.append(
            c,
            kind="approval",
            order_id="o7",
            actor="marketcom",
            initiator="telegram:7",
            approver="slack:U8",
            body={"b": 1, "a": [True, None]},
        )
    )
    row = rows_of(store)[0]
    assert seq == row.seq == 1
    assert (row.kind, row.order_id, row.actor) == ("approval", "o7", "marketcom")
    assert (row.initiator, row.approver) == ("telegram:7", "slack:U8")
    assert (row.at, row.body) == ("2026-11-22T00:00:01.000000Z", '{"a":[true,null],"b":1}')


def test_each_hash_can_be_computed_by_hand_and_holds_the_one_before(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 25)
    previous = GENESIS
    for number, row in enumerate(rows_of(store), start=1):
        columns = dict(row._mapping)
        assert columns.pop("hash") == hashlib.sha256(rfc8785.dumps(columns)).hexdigest()
        assert (row.seq, row.previous) == (number, previous)
        previous = row.hash


def test_every_tenth_row_has_a_signed_head(store: Store, chain: AuditChain) -> None:
    grow(store, chain, 25)
    heads = store.read(lambda c: c.execute(sa.select(audit_heads)).all())
    assert [head.seq for head in heads] == [10, 20]
    report = look(store)
    assert (report.rows, report.heads, report.signed_to, report.first_bad) == (25, 2, 20, None)


def test_an_empty_chain_is_whole(store: Store, chain: AuditChain) -> None:
    assert look(store) == Report(0, 0, 0, None, "", None)
    assert store.write(chain.sign) is None


def test_a_row_is_undone_with_what_it_records(store: Store, chain: AuditChain) -> None:
    grow(store, chain, 3)

    def fails(connection: Connection) -> None:
        connection.execute(meta.insert().values(key="effect", value="made"))
        record(chain, connection)
        raise LookupError

    with pytest.raises(LookupError):
        store.write(fails)
    grow(store, chain, 1)
    assert [row.seq for row in rows_of(store)] == [1, 2, 3, 4]
    assert look(store).is_whole


async def test_a_unit_that_fails_in_a_grouped_commit_leaves_no_gap(
    store: Store, chain: AuditChain
) -> None:
    def unit(number: int) -> Callable[[Connection], int]:
        def work(connection: Connection) -> int:
            seq = record(chain, connection, number)
            if number % 3 == 0:
                raise LookupError
            return seq

        return work

    done = await asyncio.gather(
        *(store.awrite(unit(number)) for number in range(60)), return_exceptions=True
    )
    assert sum(isinstance(one, LookupError) for one in done) == 20
    assert sorted(one for one in done if isinstance(one, int)) == list(range(1, 41))
    report = look(store)
    assert (report.first_bad, report.rows, report.heads) == (None, 40, 4)


def test_appends_outside_of_the_stores_own_transactions_take_turns_too(
    store: Store, chain: AuditChain
) -> None:
    def work(number: int) -> None:
        with store.engine.begin() as connection:
            record(chain, connection, number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    assert look(store).rows == 40


def test_eight_threads_append_without_gap_or_fork(store: Store, chain: AuditChain) -> None:
    def work(thread: int) -> list[int]:
        return [store.write(lambda c: record(chain, c, thread)) for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        seqs = [seq for part in pool.map(work, range(8)) for seq in part]
    assert sorted(seqs) == list(range(1, 401))
    report = look(store)
    assert (report.first_bad, report.rows, report.heads) == (None, 400, 40)


def test_a_chain_on_postgres_takes_writers_one_after_another(
    on_postgres: Store, chain: AuditChain
) -> None:
    def work(thread: int) -> list[int]:
        return [on_postgres.write(lambda c: record(chain, c, thread)) for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        seqs = [seq for part in pool.map(work, range(8)) for seq in part]
    assert sorted(seqs) == list(range(1, 401))
    report = look(on_postgres)
    assert (report.first_bad, report.rows, report.heads) == (None, 400, 40)


def test_a_chain_on_postgres_is_checked_exported_and_signed_like_any_other(
    on_postgres: Store, chain: AuditChain
) -> None:
    grow(on_postgres, chain, 3)
    anchor = on_postgres.write(chain.sign)
    assert anchor is not None
    text = on_postgres.read(lambda c: "".join(line + "\n" for line in export(c)))
    keys = [KEY.public_key]
    report = verify_file(BytesIO(text.encode()), public_keys=keys, anchor=anchor, every=EVERY_TEN)
    assert report == look(on_postgres, anchor=anchor)
    assert (report.is_whole, report.signed_to) == (True, anchor.seq)


def test_postgres_refuses_to_change_delete_or_empty_the_chain(
    on_postgres: Store, chain: AuditChain
) -> None:
    grow(on_postgres, chain, 1)
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(DatabaseError, match="append-only"):
            on_postgres.write(lambda c, s=statement: c.exec_driver_sql(s))  # type: ignore[misc]


def test_sqlite_refuses_to_change_or_delete_rows_of_the_chain(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 1)
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(DatabaseError, match="append-only"):
            store.write(lambda c, s=statement: c.exec_driver_sql(s))  # type: ignore[misc]


ODD: dict[object, object] = {
    "nan": float("nan"),
    "infinity": [float("inf"), float("-inf"), 1e300, -0.0],
    "huge": [2**53, -(2**60), 10**5_000],
    "surrogate": "a\ud800b",
    "\udfff": "key",
    "nul": "a\0b",
    "bytes": b"\xff\0",
    "nobody knows": object(),
    7: {"seven": {1, 2}},
}


def odd_body() -> dict[Any, object]:
    body: dict[Any, object] = dict(ODD)
    body["itself"] = body
    return body


def append_odd(connection: Connection, chain: AuditChain) -> int:
    return chain.append(
        connection,
        kind="effect\0",
        order_id="\ud800",
        actor="a\0",
        initiator="\udc00",
        approver="b\0\ud83d",
        body=odd_body(),
    )


def test_no_body_makes_the_callers_transaction_fail(store: Store, chain: AuditChain) -> None:
    store.write(lambda c: append_odd(c, chain))
    row = rows_of(store)[0]
    body = json.loads(row.body)
    assert (body["nan"], body["surrogate"], body["nul"]) == ("nan", "a\\ud800b", "a\0b")
    assert (row.kind, row.actor, row.approver) == ("effect�", "a�", "b�\\ud83d")
    assert look(store).is_whole


def test_no_body_makes_a_transaction_on_postgres_fail(
    on_postgres: Store, chain: AuditChain
) -> None:
    on_postgres.write(lambda c: append_odd(c, chain))
    assert look(on_postgres).is_whole


@pytest.mark.parametrize(
    ("statement", "first_bad", "why"),
    [
        ("UPDATE audit SET body = '{}' WHERE seq = 12", 12, "contents"),
        ("UPDATE audit SET approver = NULL WHERE seq = 14", 14, "contents"),
        ("DELETE FROM audit WHERE seq = 9", 9, "row 10 stands in its place"),
        ("DELETE FROM audit WHERE seq >= 18", 18, "head stands for row 20"),
        ("DELETE FROM audit_heads", 10, "signed head is missing"),
        ("UPDATE audit SET body = CAST(body AS BLOB) WHERE seq = 5", 5, "else than text"),
        ("UPDATE audit SET actor = CAST(X'ff' AS TEXT) WHERE seq = 5", 5, "bytes that are no text"),
        ("UPDATE audit_heads SET hash = X'00' WHERE seq = 10", 10, "cannot be read"),
        ("INSERT INTO audit_heads SELECT -1, hash, key_id, signature, at FROM audit_heads LIMIT 1",
         26, "row -1"),
        ("INSERT INTO audit SELECT -1, at, kind, order_id, actor, initiator, approver, body, "
         "previous, hash FROM audit WHERE seq = 1", 1, "row -1 stands in its place"),
    ],
)  # fmt: skip
def test_what_the_owner_of_the_file_changes_is_found(
    store: Store, chain: AuditChain, statement: str, first_bad: int, why: str
) -> None:
    grow(store, chain, 25)
    anchor = store.write(chain.sign)
    meddle(store, statement)
    report = look(store, anchor=anchor)
    assert report.first_bad == first_bad
    assert why in report.why


def test_a_cut_end_is_found_by_a_head_that_was_kept_elsewhere(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 25)
    signed = store.write(chain.sign)
    assert signed is not None
    line = signed.line()
    meddle(store, "DELETE FROM audit WHERE seq > 17", "DELETE FROM audit_heads WHERE seq > 17")
    assert look(store).is_whole
    report = look(store, anchor=Head.from_line(line))
    assert report.first_bad == 18
    assert "vouches for row 25" in report.why


def test_a_history_written_anew_by_who_has_the_key_is_found_by_a_head_kept_elsewhere(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 25)
    anchor = store.write(chain.sign)
    meddle(store, "DELETE FROM audit", "DELETE FROM audit_heads")
    grow(store, chain, 30)
    assert look(store).is_whole
    report = look(store, anchor=anchor)
    assert report.first_bad is not None
    assert "somebody who has the key" in report.why


def test_a_head_signed_by_hand_also_protects_from_within(store: Store, chain: AuditChain) -> None:
    grow(store, chain, 15)
    assert store.write(chain.sign) == store.write(chain.sign)
    report = look(store)
    assert (report.heads, report.signed_to) == (2, 15)
    meddle(store, "DELETE FROM audit WHERE seq > 12")
    assert look(store).first_bad == 13


def test_a_head_that_another_key_made_is_neither_replaced_nor_believed(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 5)
    other = AuditChain(clock=Ticking(), key=OTHER_KEY)
    anchor = store.write(other.sign)
    with pytest.raises(Conflict, match="already has another head"):
        store.write(chain.sign)
    assert look(store).first_bad == 1
    with pytest.raises(InvalidInput, match="a key that was not given"):
        look(store, anchor=anchor)


def test_a_chain_that_two_keys_signed_is_whole_to_who_trusts_both(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 10)
    grow(store, AuditChain(clock=Ticking(), key=OTHER_KEY, every=EVERY_TEN), 10)
    assert look(store).first_bad == 11
    keys = [KEY.public_key, OTHER_KEY.public_key]
    assert store.read(lambda c: verify(c, public_keys=keys, every=EVERY_TEN)).is_whole


@pytest.mark.parametrize(
    "line", ["", "swarm-head:1:5", "swarm-head:2:{rest}", "x{whole}", "{whole}0"]
)
def test_what_is_no_line_of_a_head_is_refused_with_what_to_give(
    store: Store, chain: AuditChain, line: str
) -> None:
    grow(store, chain, 5)
    signed = store.write(chain.sign)
    assert signed is not None
    whole = signed.line()
    assert Head.from_line(f" {whole}\n").signature == signed.signature
    with pytest.raises(InvalidInput, match="swarm audit head --sign"):
        Head.from_line(line.format(whole=whole, rest=whole.removeprefix("swarm-head:1:")))


def test_a_chain_that_grows_while_it_is_read_looks_whole(store: Store, chain: AuditChain) -> None:
    grow(store, chain, 15)

    def work(connection: Connection) -> list[int]:
        stream = items(connection)
        seen = [next(stream)]
        grow(store, chain, 15)
        return [item.seq for item in [*seen, *stream] if not isinstance(item, str)]  # type: ignore[union-attr]

    assert store.read(work) == [*range(1, 11), 10, *range(11, 16)]
    assert look(store).rows == 30


def test_a_long_chain_is_checked_in_little_memory(store: Store, chain: AuditChain) -> None:
    body = {"text": "x" * 10_000}

    def work(connection: Connection) -> None:
        for _ in range(300):
            chain.append(
                connection, kind="effect", order_id=None, actor="cto", initiator=None,
                approver=None, body=body,
            )  # fmt: skip

    store.write(work)
    tracemalloc.start()
    try:
        assert look(store).rows == 300
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000, f"{peak:,} bytes for a chain of 3 MB"


def test_an_export_is_one_row_a_line_and_is_checked_like_the_database(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 25)
    lines = store.read(lambda c: list(export(c)))
    assert all(line.isascii() and line.isprintable() for line in lines)
    documents = [json.loads(line) for line in lines]
    assert [d.get("seq") for d in documents] == [
        *range(1, 11),
        None,
        *range(11, 21),
        None,
        *range(21, 26),
    ]
    assert documents[10]["head"]["seq"] == 10
    first = dict(documents[0])
    assert first.pop("hash") == hashlib.sha256(rfc8785.dumps(first)).hexdigest()
    file = BytesIO("".join(line + "\n" for line in lines).encode())
    assert verify_file(file, public_keys=[KEY.public_key], every=EVERY_TEN) == look(store)


def test_an_export_of_what_cannot_be_read_is_refused_at_that_place(
    store: Store, chain: AuditChain
) -> None:
    grow(store, chain, 25)
    meddle(store, "UPDATE audit SET actor = CAST(X'ff' AS TEXT) WHERE seq = 5")
    text = "".join(line + "\n" for line in store.read(lambda c: list(export(c))))
    report = verify_file(BytesIO(text.encode()), public_keys=None, every=EVERY_TEN)
    assert report.first_bad == 5


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"seq": NaN}\n', "not that of a row"),
        (b"\xff\xfe\n", "not JSON"),
        (b"\n", "not JSON"),
        (b'"text"\n', "not that of a row"),
        (b'{"head":[]}\n', "not that of a head"),
    ],
)
def test_a_line_of_an_export_that_is_no_row_is_named(
    store: Store, chain: AuditChain, line: bytes, why: str
) -> None:
    grow(store, chain, 3)
    text = "".join(row + "\n" for row in store.read(lambda c: list(export(c)))).encode()
    report = verify_file(BytesIO(text + line), public_keys=None, every=EVERY_TEN)
    assert report.first_bad is not None
    assert why in report.why


def test_a_row_that_is_spelt_in_another_way_is_refused(store: Store, chain: AuditChain) -> None:
    grow(store, chain, 3)
    text = "".join(row + "\n" for row in store.read(lambda c: list(export(c))))
    doubled = text.replace('"seq":2', '"seq":9,"seq":2')
    report = verify_file(BytesIO(doubled.encode()), public_keys=None)
    assert report.first_bad == 2
    assert "as an export writes it" in report.why


def test_killed_in_the_middle_of_an_append_the_chain_is_whole_and_grows_on(
    tmp_path: Path, template: Path
) -> None:
    for where in WHERE:
        shutil.copy(template, tmp_path / f"{where}.db")
    argv = [sys.executable, "-m", "tests.store.dying", str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(argv, cwd=root, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == dict.fromkeys(WHERE, -signal.SIGKILL)
    for where in WHERE:
        store = Store(sqlite_url(tmp_path / f"{where}.db"))
        try:
            report = look(store, every=EVERY)
            assert (report.rows, report.first_bad) == (ROWS, None), f"{where}: {report.why}"
            grow(store, AuditChain(clock=Ticking(), key=KEY, every=EVERY), 5)
            assert look(store, every=EVERY).rows == ROWS + 5
        finally:
            store.close()
