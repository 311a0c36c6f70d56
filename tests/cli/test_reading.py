"""What is read, set and remembered, in words and as documents."""

import sqlite3
from contextlib import closing

import pytest

from swarm.store import schema
from tests.cli.terminal import Terminal

READERS = [
    ["orders"],
    ["inbox"],
    ["ledger"],
    ["roles"],
    ["budget"],
    ["memory", "list"],
    ["memory", "search", "bakery"],
]


def test_init_creates_the_company_once(terminal: Terminal) -> None:
    first = terminal.run("init", "--json").document
    assert first == {
        "home": str(terminal.home),
        "settings": str(terminal.home / "company.yaml"),
        "is_new": True,
    }
    assert terminal.run("init", "--json").document["is_new"] is False
    assert "swarm order" in terminal.run("init").out
    assert terminal.home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("argv", READERS)
def test_reading_an_empty_company_says_something_and_lists_nothing(
    terminal: Terminal, argv: list[str]
) -> None:
    terminal.run("init")
    seen = terminal.run(*argv)
    assert (seen.code, seen.err) == (0, "")
    assert seen.out.strip()
    listed = terminal.run(*argv, "--json").document
    assert isinstance(listed, list)
    assert (len(listed) > 0) == (argv[0] in ("roles", "budget"))


@pytest.mark.parametrize("argv", [*READERS, ["show", "o1"], ["wait", "o1"], ["approve", "o1"]])
def test_reading_where_there_is_no_company_says_how_to_make_one(
    terminal: Terminal, argv: list[str]
) -> None:
    seen = terminal.run(*argv)
    assert (seen.code, seen.out) == (2, "")
    assert "swarm init" in seen.err
    assert not terminal.home.exists()


def test_a_home_of_a_newer_version_is_left_alone(terminal: Terminal) -> None:
    terminal.run("init")
    with closing(sqlite3.connect(terminal.home / "swarm.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    for argv in (["orders"], ["order", "x"], ["init"]):
        seen = terminal.run(*argv)
        assert seen.code == 2
        assert schema.HEAD in seen.err
        assert "newer" in seen.err


def test_orders_are_listed_newest_first_and_up_to_a_limit(terminal: Terminal) -> None:
    old, new = terminal.order("Bake."), terminal.order("Sell.")
    listed = terminal.run("orders", "--json").document
    assert [order["id"] for order in listed] == [new, old]
    assert len(terminal.run("orders", "--limit", "1").out.splitlines()) == 1
    assert "Sell." in terminal.run("orders").out


def test_show_tells_an_order_whole(terminal: Terminal) -> None:
    order_id = terminal.order("Bake a cake.", "--budget", "2.50")
    seen = terminal.run("show", order_id)
    assert seen.code == 0
    for part in (f"Order {order_id} waits to be taken up.", "Bake a cake.", "Budget: 2.50 USD"):
        assert part in seen.out


@pytest.mark.parametrize(
    "argv",
    [
        ["show"],
        ["wait"],
        ["cancel"],
        ["resume"],
        ["approve"],
        ["accept"],
        ["reject", "!", "why"],
        ["answer", "!", "yes"],
        ["choose", "!", "1"],
        ["ledger"],
        ["budget", "!", "5"],
        ["budget"],
    ],
)
def test_an_unknown_id_names_the_nearest(terminal: Terminal, argv: list[str]) -> None:
    order_id = terminal.order()
    wrong = f"{order_id}x"
    words = [wrong if word == "!" else word for word in argv]
    seen = terminal.run(*words if "!" in argv else [*argv, wrong])
    assert (seen.code, seen.out) == (2, "")
    assert f"did you mean '{order_id}'?" in seen.err
    assert seen.err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [["approve"], ["accept"], ["resume"], ["answer", "!", "yes"], ["reject", "!", "why"]]
)
def test_a_word_nobody_asked_for_changes_nothing(terminal: Terminal, argv: list[str]) -> None:
    order_id = terminal.order()
    words = [order_id if word == "!" else word for word in argv]
    seen = terminal.run(*words if "!" in argv else [*argv, order_id])
    assert seen.code == 2
    assert order_id in seen.err
    assert terminal.run("show", order_id, "--json").document["status"] == "queued"


def test_cancelling_is_told_once_and_refused_twice(terminal: Terminal) -> None:
    order_id = terminal.order()
    assert "Cancelled by ada" in terminal.run("cancel", order_id).out
    assert "already cancelled" in terminal.run("cancel", order_id).err


def test_budgets_are_shown_and_set(terminal: Terminal) -> None:
    terminal.set(SWARM_BUDGET__DAY="25")
    order_id = terminal.order()
    company, month, day = terminal.run("budget", "--json").document
    assert (month["scope"][:6], month["limit"]) == ("month:", None)
    assert (company["scope"], company["limit"], company["currency"]) == ("company", None, "USD")
    assert (day["limit"], day["spent"]) == ("25", "0")
    set_to = terminal.run("budget", order_id, "2.50", "--json").document
    assert (set_to["limit"], set_to["resumed"]) == ("2.5", [])
    assert terminal.run("budget", order_id).out == (
        f"order:{order_id}: limit 2.50 USD, spent 0 USD\n"
    )
    assert "no limit" in terminal.run("budget", "day", "none").out
    assert terminal.run("budget", "company", "100", "--json").document["limit"] == "100"


@pytest.mark.parametrize("amount", ["abc", "NaN", "0", "1e9"])
def test_a_budget_that_makes_no_sense_is_refused(terminal: Terminal, amount: str) -> None:
    order_id = terminal.order()
    seen = terminal.run("budget", order_id, amount)
    assert (seen.code, seen.out) == (2, "")


def test_roles_are_listed_with_their_head(terminal: Terminal) -> None:
    terminal.run("init")
    assert "ceo: " in terminal.run("roles").out
    roles = {role["name"]: role for role in terminal.run("roles", "--json").document}
    assert roles["ceo"]["reports_to"] is None
    assert {role["currency"] for role in roles.values()} == {"USD"}


def test_a_memory_is_found_and_forgotten(terminal: Terminal) -> None:
    order_id = terminal.order()
    with closing(sqlite3.connect(terminal.home / "swarm.db")) as database:
        database.execute(
            "INSERT INTO memories (id, kind, text, words, origin, order_id, observed_at) VALUES "
            "('m1', 'fact', 'The bakery\x1b[31m opens at six.', ' bakery opens ', 'team', ?, "
            "'2026-01-02T03:04:05.000000Z')",
            [order_id],
        )
        database.commit()
    found = terminal.run("memory", "search", "the bakery", "--json").document
    assert [(item["id"], item["order"]) for item in found] == [("m1", order_id)]
    assert "\x1b" not in terminal.run("memory", "list").out
    assert terminal.run("memory", "forget", "m1", "--json", "--yes").document == {"forgotten": "m1"}
    assert terminal.run("memory", "forget", "m1", "--yes").code == 2
    assert terminal.run("memory", "list", "--json").document == []
