"""What the doctor finds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Reply

MOMENT = "2026-01-02T03:04:05.000000Z"


@pytest.fixture
def company(terminal: Terminal) -> Terminal:
    terminal.use("http://127.0.0.1:1/v1")
    terminal.run("init")
    return terminal


def findings(terminal: Terminal, *options: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in terminal.run("doctor", "--json", *options).document["findings"]:
        found.setdefault(finding["name"], []).append(finding)
    return found


def change(terminal: Terminal, *statements: str) -> None:
    with closing(sqlite3.connect(terminal.home / "swarm.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def call(*, order: str = "o1", at: str = MOMENT, cost: int = 0, held: int = 0) -> str:
    return (
        "INSERT INTO ledger (order_id, node, seq, attempt, state, role, model, digest, prompt, "
        "prompt_base, reserved_pico, cost_pico, currency, cost_status, started_at) VALUES "
        f"('{order}', 'plan', 0, 1, 'used', 'ceo', 'x/y', '', '', 0, {held}, {cost}, 'USD', "
        f"'paid', '{at}')"
    )


def budget(scope: str, *, spent: int = 0, held: int = 0) -> str:
    return f"INSERT INTO budgets VALUES ('{scope}', NULL, {spent}, {held}, 'USD')"


def test_a_healthy_company_has_no_problem(company: Terminal) -> None:
    seen = company.run("doctor")
    assert seen.code == 0, seen.out
    assert "problem" not in seen.out
    names = {line.split()[1].rstrip(":") for line in seen.out.splitlines()}
    wanted = "python home disk roles model price sandbox extras company database integrity clock"
    assert {*wanted.split(), "worker", "orders", "ledger"} <= names


def test_without_a_company_the_doctor_says_how_to_make_one(terminal: Terminal) -> None:
    terminal.use("http://127.0.0.1:1/v1")
    seen = terminal.run("doctor")
    assert seen.code == 2
    assert "swarm init" in seen.out
    assert not terminal.home.exists()


def test_books_that_agree_are_sound(company: Terminal) -> None:
    change(
        company,
        call(cost=7, held=2),
        *(budget(s, spent=7, held=2) for s in ("order:o1", "day:2026-01-02", "company")),
    )
    assert [f["level"] for f in findings(company)["ledger"]] == ["ok"]


@pytest.mark.parametrize(
    ("spent", "held", "word"), [(8, 2, "spent"), (7, 1, "held"), (7, -2, "negative")]
)
def test_books_that_differ_are_a_problem(
    company: Terminal, spent: int, held: int, word: str
) -> None:
    change(
        company,
        call(cost=7, held=2),
        *(budget(s, spent=7, held=2) for s in ("day:2026-01-02", "company")),
        budget("order:o1", spent=spent, held=held),
    )
    found = findings(company)["ledger"]
    assert {f["level"] for f in found} == {"problem"}
    assert all("order:o1" in f["text"] for f in found)
    assert any(word in f["text"] for f in found)
    assert company.run("doctor").code == 2


def test_a_call_used_twice_is_a_problem(company: Terminal) -> None:
    change(
        company,
        "DROP INDEX ux_ledger_used",
        "DROP INDEX ux_ledger_call",
        call(),
        call(),
    )
    assert "o1/plan/0 is used 2 times" in findings(company)["ledger"][0]["text"]


def test_calls_in_another_currency_are_not_held_against_the_budget(company: Terminal) -> None:
    change(
        company,
        call(cost=7),
        "UPDATE ledger SET currency = 'EUR'",
        budget("order:o1", spent=8),
    )
    assert [f["level"] for f in findings(company)["ledger"]] == ["ok"]


def test_orders_left_at_work_will_go_on(company: Terminal) -> None:
    company.order()
    [found] = findings(company)["orders"]
    assert (found["level"], found["remedy"]) == ("warning", "swarm up")
    assert "1 will go on" in found["text"]


def test_a_clock_that_was_set_back_is_noticed(company: Terminal) -> None:
    change(company, call(at="2999-01-02T03:04:05.000000Z"))
    assert findings(company)["clock"][0]["level"] == "warning"


def test_a_home_others_can_look_into_is_a_warning(company: Terminal) -> None:
    company.home.chmod(0o755)
    assert findings(company)["home"][0]["remedy"] == f"chmod 700 {company.home}"


def test_a_damaged_database_is_a_problem_with_its_remedy(company: Terminal) -> None:
    path = company.home / "swarm.db"
    for file in company.home.glob("swarm.db-*"):
        file.unlink()
    path.write_bytes(b"not a database at all" * 1000)
    seen = company.run("doctor", "--json")
    assert seen.code == 2
    texts = [f["text"] for f in seen.document["findings"] if f["level"] == "problem"]
    assert any("backup" in text for text in texts)


def test_a_role_file_with_mistakes_is_a_problem(company: Terminal) -> None:
    roles = company.home / "roles"
    roles.mkdir()
    Path(roles / "cook.md").write_text("---\ntitle: Cook\nreports_to: nobody\n---\nCook.\n")
    assert findings(company)["roles"][0]["level"] == "problem"


def test_a_model_without_a_price_is_a_problem(company: Terminal) -> None:
    company.use("https://models.example/v1", model="openai/unheard-of-1")
    assert findings(company)["price"][0]["level"] == "problem"
    company.set(SWARM_LLM__ALLOW_UNPRICED="true")
    assert findings(company)["price"][0]["level"] == "warning"


def test_asking_makes_one_metered_call_with_a_receipt(company: Terminal) -> None:
    with ScriptedProvider().in_thread() as provider:
        company.use(provider.url)
        [found] = findings(company, "--ask")["answer"]
        assert len(provider.requests) == 1
    assert (found["level"], "'Hello.'" in found["text"]) == ("ok", True)
    [order] = company.run("orders", "--json").document
    assert (order["status"], order["receipt"]["calls"]) == ("delivered", 1)
    assert order["id"] in found["text"]
    assert [f["level"] for f in findings(company)["ledger"]] == ["ok"]


def test_an_answer_that_does_not_come_is_a_problem(company: Terminal) -> None:
    provider = ScriptedProvider(lambda request: Reply({"error": {"message": "no"}}, status=401))
    with provider.in_thread():
        company.use(provider.url)
        [found] = findings(company, "--ask")["answer"]
    assert found["level"] == "problem"
    [order] = company.run("orders", "--json").document
    assert order["status"] == "failed"
