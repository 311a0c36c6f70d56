"""What is kept on the machine's own disk while the database is away."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import Unavailable
from swarm.core.message import InboundFile, InboundKind, InboundMessage
from swarm.core.origin import Origin
from swarm.runtime.local_inbox import FILE, Kept, Known, LocalInbox, Share, Standing, Told

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADA = Known("phone", "1", True, "fr")
BEN = Known("phone", "2", False, None)
SMALL = {
    Standing.PERSON: Share(3, 10_000, 4, 20_000),
    Standing.CUSTOMER: Share(2, 10_000, 3, 20_000),
    Standing.STRANGER: Share(2, 10_000, 3, 20_000),
}


def message(
    update: str, *, by: str = "1", channel: str = "phone", text: str = "hello"
) -> InboundMessage:
    return InboundMessage(
        channel=channel,
        account="bot",
        update_id=update,
        chat_id=f"c{by}",
        thread_id=None,
        sender_id=by,
        text=text,
        received_at=NOW,
        raw=text.encode(),
    )


@pytest.fixture
def kept(tmp_path: Path) -> LocalInbox:
    found = LocalInbox(tmp_path, shares=SMALL)
    found.know([ADA, BEN])
    return found


def test_what_is_kept_is_for_its_owner_alone_and_looking_makes_no_file(tmp_path: Path) -> None:
    kept = LocalInbox(tmp_path)
    assert kept.waiting().rows == 0
    assert kept.oldest() == []
    assert list(tmp_path.iterdir()) == []
    old = os.umask(0)
    try:
        assert kept.keep(message("1"), at=NOW) is Kept.STORED
    finally:
        os.umask(old)
    kept.close()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


texts = st.text(max_size=40)
messages = st.builds(
    InboundMessage,
    channel=st.just("phone"),
    account=texts,
    update_id=texts,
    chat_id=texts,
    thread_id=st.none() | texts,
    sender_id=texts,
    text=texts,
    received_at=st.datetimes(timezones=st.just(UTC)),
    origin=st.sampled_from(Origin),
    kind=st.sampled_from(InboundKind),
    data=texts,
    click_id=st.none() | texts,
    is_private=st.booleans(),
    files=st.tuples(
        st.builds(InboundFile, file_id=texts, name=texts, bytes=st.none() | st.integers(0, 9))
    ),
    raw=st.binary(max_size=40),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=messages)
def test_a_message_comes_back_as_it_was_heard(tmp_path: Path, told: InboundMessage) -> None:
    kept = LocalInbox(tmp_path)
    try:
        kept.keep(told, at=NOW)
    except UnicodeEncodeError:
        # A lone surrogate is no text that a channel gives.
        return
    finally:
        held = kept.oldest()
        kept.drop([row.id for row in held])
        kept.close()
    assert [row.message for row in held] == [told]


def test_twenty_copies_from_as_many_threads_are_one_row_and_the_order_stays(
    kept: LocalInbox,
) -> None:
    kept.keep(message("1"), at=NOW)
    outcomes: list[Kept] = []
    copies = [
        threading.Thread(target=lambda: outcomes.append(kept.keep(message("2"), at=NOW)))
        for _ in range(20)
    ]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    kept.keep(message("3"), at=NOW)
    assert sorted(outcomes) == [Kept.KNOWN] * 19 + [Kept.STORED]
    assert [row.message.update_id for row in kept.oldest()] == ["1", "2", "3"]


def test_strangers_are_passed_over_and_counted_beyond_their_share_and_nobody_else_is(
    kept: LocalInbox,
) -> None:
    done = [kept.keep(message(f"e{n}", by="66"), at=NOW) for n in range(4)]
    assert done == [Kept.STORED] * 2 + [Kept.PASSED_OVER] * 2
    done = [kept.keep(message(f"m{n}", by=f"{n}000"), at=NOW) for n in range(7, 10)]
    # All strangers together have a share as well: many accounts are worth no more.
    assert done == [Kept.STORED] + [Kept.PASSED_OVER] * 2
    assert kept.keep(message("a1"), at=NOW) is Kept.STORED
    assert kept.waiting().passed_over == 4
    assert kept.keep(message("e0", by="66"), at=NOW) is Kept.KNOWN


@pytest.mark.parametrize(("by", "channel"), [("1", "phone"), ("9", "shop_customers")])
def test_what_a_known_sender_says_beyond_their_share_is_never_confirmed(
    kept: LocalInbox, by: str, channel: str
) -> None:
    share = SMALL[Standing.CUSTOMER if channel == "shop_customers" else Standing.PERSON]
    for n in range(share.one_rows):
        kept.keep(message(str(n), by=by, channel=channel), at=NOW)
    with pytest.raises(Unavailable, match="nothing was lost"):
        kept.keep(message("more", by=by, channel=channel), at=NOW)
    assert kept.keep(message("0", by=by, channel=channel), at=NOW) is Kept.KNOWN
    assert kept.waiting().rows == share.one_rows
    big = message("big", by="2", text="x" * 9_000)
    with pytest.raises(Unavailable):
        kept.keep(big, at=NOW)


def test_the_outage_is_counted_by_chats_of_known_people_and_forgotten_with_the_last_row(
    kept: LocalInbox,
) -> None:
    for update, by in (("1", "1"), ("2", "66"), ("3", "1")):
        kept.keep(message(update, by=by), at=NOW)
    kept.keep(message("4", by="2"), at=NOW + timedelta(minutes=5))
    assert kept.waiting().away_since == NOW
    held = kept.oldest(most=3)
    for _ in range(2):
        # A crash in between counts nothing twice.
        kept.count_chats(held)
    kept.drop([row.id for row in held])
    assert not kept.end_outage()
    rest = kept.oldest()
    kept.count_chats(rest)
    kept.put_aside(rest[0].id, "odd")
    assert kept.told() == [Told("phone", "c1", "fr", 2), Told("phone", "c2", None, 1)]
    assert kept.end_outage()
    assert kept.told() == []
    assert (kept.waiting().away_since, kept.waiting().broken) == (None, 1)


def test_a_founder_is_told_once_in_an_outage_and_others_never(kept: LocalInbox) -> None:
    assert kept.begin_notice(message("1")) == ADA
    assert kept.begin_notice(message("2")) is None
    assert kept.begin_notice(message("3", by="2")) is None
    assert kept.begin_notice(message("4", by="66")) is None
    other = replace(message("5"), chat_id="group", is_private=False)
    assert kept.begin_notice(other) is None
    assert kept.end_outage()
    assert kept.begin_notice(message("6")) == ADA


def test_a_kill_after_each_row_loses_none_that_was_confirmed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from tests.runtime.test_local_inbox import NOW, message\n"
        "from swarm.runtime.local_inbox import LocalInbox\n"
        "kept = LocalInbox(Path(sys.argv[1]))\n"
        "kept.keep(message(sys.argv[2]), at=NOW)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for number in range(2):
        argv = [sys.executable, "-c", program, str(tmp_path), str(number)]
        ended = subprocess.run(argv, check=False, cwd=Path(__file__).parents[2])
        assert ended.returncode == -9
    assert [row.message.update_id for row in LocalInbox(tmp_path).oldest()] == ["0", "1"]


def test_a_file_that_is_no_database_is_said_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, " * 100)
    kept = LocalInbox(tmp_path)
    with pytest.raises(Unavailable, match="check its disk"):
        kept.keep(message("1"), at=NOW)
    with pytest.raises(Unavailable):
        kept.waiting()
    assert (tmp_path / FILE).read_bytes().startswith(b"not a database")


def test_every_commit_is_flushed_with_its_folder(
    kept: LocalInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = sqlite3.connect

    def connect(*args: object, **named: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **named)  # type: ignore[call-overload]  # passed through
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    kept.close()
    kept.keep(message("1"), at=NOW)
    assert "PRAGMA synchronous=EXTRA" in seen
