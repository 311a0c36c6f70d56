"""The founder's word on their own minutes: rows that are added, listed and revoked."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.ledger.attention import (
    ActionKind,
    FounderTime,
    FounderTimeConfig,
    corrections,
    founder_time,
    founder_week,
    minutes_of,
)
from swarm.ledger.attention.correct import Word, add, away, revoke
from swarm.ledger.attention.corrections import Correction, shares
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.ledger.founder_log import asked, at, did, noted, placed

K = ActionKind
CONFIG = FounderTimeConfig()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database; to copy one is far faster than to create it."""
    path = tmp_path_factory.mktemp("template") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Iterator[Store]:
    """An order placed at 9:00, looked at at 9:03, its question answered at 9:05."""
    shutil.copy(template, tmp_path)
    store = Store(sqlite_url(tmp_path / template.name))
    placed(store, "o1", 0)
    asked(store, "q1", "o1", 2)
    noted(store, did(K.LOOKED, 3), did(K.ANSWERED, 5, since=2, asks=("q1",)))
    yield store
    store.close()


def word(name: str = "c1", minutes: float = 30, note: str = "") -> Word:
    return Word(name, at(minutes), "console:1000", note)


def say_away(store: Store, target: str, seconds: int = 0, name: str = "c1") -> Correction:
    return store.write(lambda c: away(c, target, seconds, word=word(name), config=CONFIG))


def spent(store: Store) -> FounderTime:
    return store.read(lambda c: founder_time(c, "o1", config=CONFIG))


def test_without_a_word_the_rule_alone_counts(store: Store) -> None:
    assert spent(store).seconds == spent(store).measured_seconds == 300


def test_elsewhere_counts_the_gap_of_a_question_as_nothing(store: Store) -> None:
    said = say_away(store, "q1")
    assert said.gaps == {"g2": 0}
    assert spent(store).seconds == 180
    assert spent(store).measured_seconds == 300
    assert spent(store).corrections == 1


def test_elsewhere_may_state_what_counts_instead(store: Store) -> None:
    say_away(store, "q1", 30)
    assert spent(store).seconds == 210


def test_elsewhere_for_an_order_takes_all_that_was_measured_so_far(store: Store) -> None:
    say_away(store, "o1", 200)
    assert spent(store).seconds == 200
    noted(store, did(K.ACCEPTED, 7))
    assert spent(store).seconds == 320


def test_a_gap_is_named_as_the_list_names_it(store: Store) -> None:
    keys = [line.key for line in store.read(lambda c: minutes_of(c, "o1", config=CONFIG))]
    assert keys == ["placed:o1", "g1", "g2"]
    say_away(store, "g1")
    assert spent(store).seconds == 120


def test_a_gap_about_no_order_can_be_taken_away_too(store: Store) -> None:
    noted(store, did(K.LOOKED, 8, None))
    assert store.read(lambda c: founder_week(c, at(0))).by_order[None].seconds == 180
    assert say_away(store, "g3").order_id is None
    assert store.read(lambda c: founder_week(c, at(0))).by_order[None].seconds == 0


def test_minutes_are_added_and_count_in_their_week(store: Store) -> None:
    store.write(lambda c: add(c, "o1", 900, word=word(note="reviewing"), about_at=at(-60 * 24 * 7)))
    assert spent(store).seconds == 1200
    assert store.read(lambda c: founder_week(c, at(0))).seconds == 300
    assert store.read(lambda c: founder_week(c, at(-60 * 24 * 7))).seconds == 900


def test_a_correction_is_revoked_by_a_new_row_and_stays_listed(store: Store) -> None:
    say_away(store, "q1")
    store.write(lambda c: revoke(c, "c1", word=word("c2")))
    assert spent(store).seconds == 300
    rows = store.read(lambda c: corrections.all_of(c, "o1"))
    assert [(row.id, row.kind.value, row.revokes) for row in rows] == [
        ("c1", "away", None),
        ("c2", "revoke", "c1"),
    ]
    assert corrections.live(rows) == []
    # What was revoked may be said again.
    say_away(store, "q1", 60, name="c3")
    assert spent(store).seconds == 240


def test_a_gap_corrected_before_is_not_corrected_again(store: Store) -> None:
    say_away(store, "q1", 60)
    with pytest.raises(Conflict, match="swarm time revoke c1"):
        say_away(store, "q1", name="c2")
    say_away(store, "o1", name="c3")
    assert spent(store).seconds == 60


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("nothing", NotFound, "no correction 'nothing'"),
        ("c2", Conflict, "a revocation itself"),
        ("c1", Conflict, "was revoked before"),
    ],
)
def test_only_a_live_correction_is_revoked(
    store: Store, name: str, error: type[Exception], sentence: str
) -> None:
    say_away(store, "q1")
    store.write(lambda c: revoke(c, "c1", word=word("c2")))
    with pytest.raises(error, match=sentence):
        store.write(lambda c: revoke(c, name, word=word("c3")))


@pytest.mark.parametrize(
    ("target", "seconds", "error", "sentence"),
    [
        ("o9", 0, NotFound, "no order, question or gap 'o9'; known: o1"),
        ("g99", 0, NotFound, "no gap 'g99'"),
        ("g99999999999999999999", 0, NotFound, "no order, question or gap"),
        ("placed:o1", 0, NotFound, "nothing to take away"),
        ("q1", 121, InvalidInput, "Only 120 s were measured"),
        ("q1", -1, InvalidInput, "0 or more"),
    ],
)
def test_a_word_about_nothing_or_too_much_changes_nothing(
    store: Store, target: str, seconds: int, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        say_away(store, target, seconds)
    assert store.read(corrections.all_of) == []


@pytest.mark.parametrize(
    ("order_id", "seconds", "minutes", "error"),
    [
        ("o9", 60, 0, NotFound),
        ("o1", 0, 0, InvalidInput),
        ("o1", -60, 0, InvalidInput),
        ("o1", 8 * 24 * 3600, 0, InvalidInput),
        ("o1", 60, 31, InvalidInput),
    ],
)
def test_time_that_makes_no_sense_is_not_added(
    store: Store, order_id: str, seconds: int, minutes: float, error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.write(lambda c: add(c, order_id, seconds, word=word(), about_at=at(minutes)))
    assert store.read(corrections.all_of) == []


def test_the_price_follows_what_counts(store: Store) -> None:
    say_away(store, "o1", 90)
    config = FounderTimeConfig(rate_per_hour=Decimal(40))
    cost = store.read(lambda c: founder_time(c, "o1", config=config)).cost
    assert cost is not None
    assert cost.amount == 1


LENGTHS = st.lists(st.integers(1, 10**9).map(lambda us: timedelta(microseconds=us)), max_size=12)


@settings(deadline=None)
@given(LENGTHS, st.floats(0, 1))
def test_what_is_stated_is_what_the_gaps_count_together(
    lengths: list[timedelta], part: float
) -> None:
    measured = [(f"g{n}", length) for n, length in enumerate(lengths)]
    total = sum(lengths, timedelta())
    stated = int(total.total_seconds() * part)
    counted = shares(measured, stated)
    assert sum(counted.values()) == stated * 1_000_000
    assert all(0 <= counted[key] <= length // timedelta(microseconds=1) for key, length in measured)
