"""The founder's minutes at the terminal: noted, listed, corrected, added, weighed by week."""

import shutil
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.app import App
from swarm.cli.timing import seconds_of
from swarm.core.errors import InvalidInput, Unavailable
from swarm.settings import load
from swarm.store.database import Store
from tests.cli.terminal import Terminal


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company just made; tests copy it, since making one takes a second."""
    home = tmp_path_factory.mktemp("made") / "home"
    app = App(load({"SWARM_HOME": str(home)}))
    app.initialise()
    app.close()
    return home


@pytest.fixture(autouse=True)
def company(terminal: Terminal, made_home: Path) -> None:
    """Put a company of its own before each terminal."""
    shutil.copytree(made_home, terminal.home)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("+15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("90s", 90),
        ("2 hours 5 min", 7500),
        ("1 hour", 3600),
        ("0", 0),
        ("0m", 0),
        (" 3 MINUTES ", 180),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "m",
        "15x",
        "-5m",
        "5m5m",
        "30m1h",
        "1e3m",
        "0.0001s",
        "15m later",
        "\u06615m",
        "\u221e",
    ],
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="write it as 15m"):
        seconds_of(text)


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 10_000), st.integers(0, 10_000))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert seconds_of(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@settings(deadline=None)
@given(st.text(max_size=20))
def test_no_text_breaks_the_reading_of_a_duration(text: str) -> None:
    with suppress(InvalidInput):
        assert seconds_of(text) >= 0


def seconds_on(terminal: Terminal, order_id: str) -> Decimal:
    document = terminal.run("receipt", order_id, "--json").document
    return Decimal(document["founder"]["seconds"])


def test_a_look_is_noted_a_program_that_reads_is_not(terminal: Terminal) -> None:
    order_id = terminal.order()
    terminal.run("show", order_id, "--json")
    terminal.run("receipt", order_id, "--json")
    terminal.run("inbox", "--json")
    listed = terminal.run("time", "list", order_id, "--json").document
    assert [line["what"] for line in listed["minutes"]] == ["ordered"]
    terminal.run("show", order_id)
    listed = terminal.run("time", "list", order_id, "--json").document
    assert [line["what"] for line in listed["minutes"]] == ["ordered", "looked"]
    assert Decimal(listed["seconds"]) == seconds_on(terminal, order_id) > 0


def test_looking_at_a_receipt_counts_for_the_company_and_not_for_the_order(
    terminal: Terminal,
) -> None:
    order_id = terminal.order()
    terminal.run("receipt", order_id)
    assert seconds_on(terminal, order_id) == 0
    week = terminal.run("time", "week", "--json").document
    by_order = {line["order"]: Decimal(line["seconds"]) for line in week["orders"]}
    assert by_order[None] > 0
    assert by_order[order_id] == 0
    assert sum(by_order.values()) == Decimal(week["seconds"])


def test_minutes_are_added_corrected_and_revoked_by_rows_that_stay(terminal: Terminal) -> None:
    order_id = terminal.order()
    terminal.run("cancel", order_id)
    measured = seconds_on(terminal, order_id)
    added = terminal.run("time", "add", order_id, "15m", "reviewing", "--json").document
    assert (added["kind"], added["seconds"], added["note"]) == ("add", 900, "reviewing")
    assert Decimal(added["order_seconds"]) == seconds_on(terminal, order_id) == measured + 900
    away = terminal.run("time", "away", order_id, "--note", "at the door", "--json").document
    assert (away["kind"], len(away["gaps"])) == ("away", 1)
    assert seconds_on(terminal, order_id) == 900
    again = terminal.run("time", "away", order_id)
    assert again.code == 2
    assert f"swarm time revoke {away['id']}" in again.err
    for correction in (added, away):
        assert terminal.run("time", "revoke", correction["id"]).code == 0
    assert seconds_on(terminal, order_id) == measured
    listed = terminal.run("time", "list", order_id, "--json").document["corrections"]
    assert [(c["kind"], c["is_counted"]) for c in listed] == [
        ("add", False),
        ("away", False),
        ("revoke", False),
        ("revoke", False),
    ]
    shown = terminal.run("time", "list", order_id).out
    assert "15 min 00 s added: reviewing  (revoked)" in shown
    assert "at most 5 minutes each" in shown


def test_a_correction_is_in_the_audit_chain(terminal: Terminal) -> None:
    order_id = terminal.order()
    terminal.run("time", "add", order_id, "15m", "reviewing")
    assert "time_corrected" in terminal.run("audit", "export").out
    assert terminal.run("audit", "verify").code == 0


def test_added_minutes_count_in_the_week_they_were_spent_in(terminal: Terminal) -> None:
    order_id = terminal.order()
    terminal.run("time", "add", order_id, "1h", "--on", "2026-03-04")
    then = terminal.run("time", "week", "2026-03-08", "--json").document
    assert (then["start"], then["seconds"]) == ("2026-03-02T00:00:00.000000Z", "3600")
    assert Decimal(terminal.run("time", "week", "--json").document["seconds"]) < 60
    assert "Week of 2026-03-02: 1 h 00 min" in terminal.run("time", "week", "2026-03-04").out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["add", "!", "15"], "write it as 15m"),
        (["add", "!", "0m"], "more than nothing"),
        (["add", "!", "500h"], "at most a week"),
        (["add", "!", "1h", "--on", "2999-01-01"], "still to come"),
        (["add", "!", "1h", "--on", "yesterday"], "write it as 2026-03-21"),
        (["add", "o-nobody", "1h"], "There is no order"),
        (["away", "g12345"], "no gap"),
        (["away", "!"], "nothing to take away"),
        (["revoke", "c-nobody"], "There is no correction"),
        (["list", "o-nobody"], "There is no order"),
        (["week", "2026-13-01"], "is no day"),
    ],
)
def test_a_word_that_is_off_changes_nothing_and_gets_one_sentence(
    terminal: Terminal, argv: list[str], sentence: str
) -> None:
    order_id = terminal.order()
    seen = terminal.run("time", *[order_id if word == "!" else word for word in argv])
    assert (seen.code, seen.out) == (2, "")
    assert sentence in seen.err
    assert seen.err.count("\n") == 1
    assert terminal.run("time", "list", "--json").document["corrections"] == []


def test_a_home_that_cannot_be_written_is_still_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = terminal.order()

    def refuse(self: Store, work: object) -> None:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(Store, "write", refuse)
    seen = terminal.run("show", order_id)
    assert (seen.code, seen.err) == (0, "")
    assert "Receipt" in seen.out
