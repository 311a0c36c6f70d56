"""`swarm farm` at the terminal, over the farm that costs nothing."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.cli.farm_amounts import read_budget
from swarm.cli.farm_secrets import read_lines
from swarm.core.errors import InvalidInput
from swarm.settings import load
from tests.cli.terminal import Seen, Terminal

CANARY = "7000000001:canary-token-b7e2"
UP = ("farm", "up", "acme", "--for", "Ann Müller")


@pytest.fixture
def place(terminal: Terminal, tmp_path: Path) -> Path:
    """The folder where the fake place keeps its things."""
    folder = tmp_path / "place"
    terminal.set(SWARM_FARM__DRIVER="fake", SWARM_FARM__FAKE__FOLDER=str(folder))
    return folder


def up(terminal: Terminal, *more: str) -> Seen:
    return terminal.run(
        *UP, "--secrets", "-", *more, stdin=f"SWARM_TELEGRAM__TOKEN={CANARY}\n".encode()
    )


def test_an_instance_goes_from_one_command_to_ready_with_a_clock(
    terminal: Terminal, place: Path
) -> None:
    seen = up(terminal, "--budget", "20/month")
    assert seen.code == 0, seen.err
    assert "acme is ready after" in seen.out
    assert "It lacks a model" in seen.out
    assert "Budget: 20 USD a month, hosting included" in seen.out
    assert "It holds itself to 20.00 USD of models each month" in seen.out
    assert "0.1440 EUR net a day" in seen.out
    assert "s] starting acme for Ann Müller" in seen.err
    shown = terminal.run("farm", "status", "acme", "--json").document
    assert (shown["state"], shown["for"], shown["budget_month"]) == ("running", "Ann Müller", "20")
    assert shown["secrets"] == ["SWARM_TELEGRAM__TOKEN"]
    assert shown["price"]["per_day"] == "0.144"
    told = shown["environment"]
    assert (told["SWARM_FOUNDER"], told["SWARM_BUDGET__MONTH"]) == ("Ann Müller", "20")
    assert (told["SWARM_HOSTING__PRICE_MONTH"], told["SWARM_HOSTING__CURRENCY"]) == (
        "4.380000",
        "EUR",
    )
    assert load({"HOME": "/nowhere", **told}).settings.hosting.price_month == Decimal("4.38")
    assert [p["kind"] for p in shown["parts"]] == ["volume", "ipv4", "server"]
    assert CANARY not in f"{seen}{shown}"
    for path in [*terminal.home.rglob("*"), *place.rglob("*")]:
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_the_same_again_changes_nothing_and_another_person_is_refused(
    terminal: Terminal, place: Path
) -> None:
    assert up(terminal).code == 0
    again = up(terminal)
    assert (again.code, again.out) == (
        0, "acme is there already, for Ann Müller: running.\n",
    )  # fmt: skip
    other = terminal.run("farm", "up", "acme", "--for", "Bob")
    assert other.code == 2
    assert "'acme' is Ann Müller's instance: choose another name for Bob" in other.err
    assert len(json.loads((place / "things.json").read_text())) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("up", "Acme!", "--for", "Ann"), "small letters"),
        (("up", "acme", "--for", " "), "--for takes a person's name"),
        (("up", "acme", "--for", "Ann", "--budget", "x/month"), "is no number"),
        (("up", "acme", "--for", "Ann", "--budget", "-1"), "must be more than 0"),
        (("up", "acme", "--for", "Ann", "--budget", "5/year"), "month, day, order or company"),
        (("up", "acme", "--for", "Ann", "--cpus", "many"), "is no number"),
        (("up", "acme", "--for", "Ann", "--driver", "dokcer"), "did you mean 'docker'?"),
        (("up", "acme", "--for", "Ann", "--secret", "KEY=abc"), "never its value"),
        (("up", "acme", "--for", "Ann", "--secret", "NOT_SET"), "NOT_SET is not set"),
        (("up", "acme", "--for", "Ann", "--secrets", "/nowhere"), "cannot be read"),
        (("up", "acme", "--for", "Ann", "--memory", "999999"), "999999 MiB"),
        (("status", "nobody"), "There is no instance 'nobody'"),
        (("logs", "nobody"), "There is no instance 'nobody'"),
        (("rm", "nobody", "--yes"), "There is no instance 'nobody'"),
        (("cost", "--month", "May"), "is no month"),
        (("reconcile", "--driver", "moon"), "no farm driver 'moon'"),
    ],
)
def test_bad_input_gets_a_sentence_and_makes_nothing(
    terminal: Terminal, place: Path, words: tuple[str, ...], sentence: str
) -> None:
    seen = terminal.run("farm", *words)
    assert seen.code == 2, seen
    assert sentence in seen.err
    assert "Traceback" not in seen.err
    assert (
        not (place / "things.json").exists()
        or json.loads((place / "things.json").read_text()) == {}
    )
    assert terminal.run("farm", "ls", "--json").document == []


def test_an_engine_that_is_not_there_is_said_with_its_remedy_and_leaves_nothing(
    terminal: Terminal, tmp_path: Path
) -> None:
    client = tmp_path / "docker"
    client.write_text(
        "#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon "
        "running?' >&2\nexit 1\n"
    )
    client.chmod(0o755)
    terminal.set(
        SWARM_FARM__DOCKER__PROGRAM=str(client), SWARM_FARM__DOCKER__HOST="unix:///nowhere"
    )
    seen = terminal.run("farm", "up", "acme", "--for", "Ann")
    assert seen.code == 2
    assert "sudo systemctl start docker" in seen.err
    terminal.set(SWARM_FARM__DOCKER__PROGRAM="/nowhere/docker")
    assert "install Docker" in terminal.run("farm", "up", "acme", "--for", "Ann").err
    assert terminal.run("farm", "ls", "--json").document == []


def test_an_engine_on_another_machine_is_refused_unless_it_is_allowed(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.set(
        SWARM_FARM__DOCKER__HOST="tcp://10.9.8.7:2375", SWARM_FARM__DOCKER__PROGRAM="false"
    )
    seen = terminal.run("farm", "up", "acme", "--for", "Ann")
    assert seen.code == 2
    assert "another machine" in seen.err
    terminal.set(SWARM_FARM__DOCKER__ALLOW_REMOTE="true")
    assert "another machine" not in terminal.run("farm", "up", "acme", "--for", "Ann").err


def test_stop_start_logs_and_rm_do_what_they_say(terminal: Terminal, place: Path) -> None:
    up(terminal)
    assert terminal.run("farm", "stop", "acme").out == "acme: stopped.\n"
    assert terminal.run("farm", "ls", "--json").document[0]["state"] == "stopped"
    assert "swarm farm start acme" in up(terminal).out
    assert terminal.run("farm", "start", "acme", "--json").document["state"] == "running"
    assert "started swarm" in terminal.run("farm", "logs", "acme").out
    refused = terminal.run("farm", "rm", "acme")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert terminal.run("farm", "rm", "acme", "--yes").code == 0
    assert terminal.run("farm", "ls", "--json").document == []
    assert json.loads((place / "things.json").read_text()) == {}


def test_what_a_place_cannot_do_is_said(terminal: Terminal, place: Path) -> None:
    up(terminal)
    for words in (("upgrade", "acme"), ("backup", "acme")):
        seen = terminal.run("farm", *words)
        assert seen.code == 2
        assert "The driver fake cannot" in seen.err


def test_the_costs_of_seats_add_up_with_the_hosting_bill(terminal: Terminal, place: Path) -> None:
    for name in ("acme", "bolt"):
        terminal.run("farm", "up", name, "--for", "Ann")
    terminal.run("farm", "rm", "bolt", "--yes")
    report = terminal.run("farm", "cost", "--json").document
    assert report["currency"] == "EUR"
    sums = sum(Decimal(seat["amount"]) for seat in report["seats"])
    assert sums == Decimal(report["total"]) > 0
    assert {s["instance"]: s["is_there"] for s in report["seats"]} == {"acme": True, "bolt": False}
    events = terminal.run("farm", "cost", "--events").out
    bill = terminal.run(
        "hosting", "bill", "-", "--until", report["until"], "--json", stdin=events.encode()
    ).document
    assert (bill["total"], bill["currency"]) == (report["total"], "EUR")
    month = report["until"][:7]
    assert terminal.run("farm", "cost", "--month", month, "--json").document["seats"]
    assert terminal.run("farm", "cost", "--month", "2020-01", "--json").document["totals"] == []
    assert "Total until" in terminal.run("farm", "cost").out


def answers(place: Path, *, models: list[dict[str, str]], cpu_us: int = 30) -> None:
    """Let the instance say what its company spent, and how busy it was."""
    told = {
        "swarm report": {"stdout": json.dumps({"models": models})},
        "python3 -I": {"stdout": json.dumps({"cpu_us": cpu_us, "up_us": 1000})},
        "swarm budget": {"stdout": "{}"},
    }
    (place / "answers.json").write_text(json.dumps({"acme": told}))


def spent(amount: str, currency: str = "EUR", status: str = "paid", **more: str) -> dict[str, str]:
    return {"amount": amount, "currency": currency, "status": status} | more


def test_a_month_s_budget_is_warned_of_then_stops_and_is_raised(
    terminal: Terminal, place: Path
) -> None:
    terminal.set(SWARM_CURRENCY="EUR", SWARM_RATES="{USD: 0.5}")
    assert "is less than the hosting of acme alone, 4.46 EUR" in up(terminal, "--budget", "4").err
    assert up(terminal, "--budget", "20/month").code == 0
    told = terminal.run("farm", "status", "acme", "--json").document
    # 20 less 31 days of 0.144.
    assert told["environment"]["SWARM_BUDGET__MONTH"] == "15.536"
    assert told["budget"]["problems"] == ["what its company spent on models is not known"]
    answers(place, models=[spent("10"), spent("11.9", "USD")])
    fine = terminal.run("farm", "check", "--json")
    assert (fine.code, fine.document[0]["did"]) == (0, None)
    held = fine.document[0]["budget"]
    assert (held["models"], held["level"], held["is_at_least"]) == ("15.95", "ok", False)
    assert Decimal(held["spent"]) == Decimal("15.95") + Decimal(held["hosting"])
    answers(place, models=[spent("16")])
    near = terminal.run("farm", "check")
    assert "Warning: four fifths of its budget" in near.out
    assert "(80%)" in terminal.run("farm", "ls").out
    answers(place, models=[spent("20")])
    over = terminal.run("farm", "check")
    assert over.code == 5
    assert "is over its budget of the month and was stopped, with all it has" in over.out
    assert terminal.run("farm", "ls", "--json").document[0]["state"] == "stopped"
    refused = terminal.run("farm", "start", "acme")
    assert (refused.code, "has spent its budget of" in refused.err) == (2, True)
    assert "stays stopped" in terminal.run("farm", "check").out
    assert "its budget of" in terminal.run("farm", "ls").out
    assert terminal.run("farm", "budget", "acme", "40").code == 0
    assert terminal.run("farm", "check", "--json").document[0]["did"] == "started"
    assert terminal.run("farm", "budget", "acme", "--json").document["budget"]["limit"] == "40"
    assert (place / "things.json").exists()


def test_what_is_not_known_of_a_month_is_said_and_never_zero(
    terminal: Terminal, place: Path
) -> None:
    up(terminal, "--budget", "20")
    for models, words in (
        ([spent("3", "USD", "unpriced")], "some of its model calls are unpriced"),
        ([spent("3", "CHF")], "CHF is left out: company.yaml has no rate from it to USD"),
    ):
        answers(place, models=models)
        seen = terminal.run("farm", "check")
        assert words in seen.out
        assert "at least" in seen.out
    (place / "answers.json").write_text(
        json.dumps({"acme": {"swarm report": {"stdout": '{"models": [{"amount": "-1"}]}'}}})
    )
    assert "cannot be read" in terminal.run("farm", "check").out
    terminal.set(SWARM_BUDGET__NOTIONAL="false")
    answers(place, models=[spent("99", "USD", "notional", notional="99")])
    assert terminal.run("farm", "check", "--json").document[0]["budget"]["models"] == "0"


def test_the_farm_s_cost_shows_models_and_what_stands_idle(terminal: Terminal, place: Path) -> None:
    up(terminal)
    answers(place, models=[spent("1.25", "USD")], cpu_us=30)
    (seat,) = terminal.run("farm", "cost", "--json").document["seats"]
    assert (seat["idle_share"], seat["budget"]["models"]) == ("0.97", "1.25")
    shown = terminal.run("farm", "cost").out
    assert "97.0% idle" in shown
    assert "with 1.2500 USD of models" in shown
    terminal.run("farm", "stop", "acme")
    (seat,) = terminal.run("farm", "cost", "--json").document["seats"]
    assert seat["budget"]["models"] == "1.25"


def test_the_operator_s_own_books_hold_each_instance_s_bill(
    terminal: Terminal, place: Path
) -> None:
    assert terminal.run("init").code == 0
    assert terminal.run("report", "--json").document["farm"] is None
    up(terminal)
    cost = terminal.run("hosting", "farm", "--json").document
    farm = terminal.run("report", "--json").document["farm"]
    (seat,) = farm["seats"]
    assert (seat["instance"], seat["owner"], seat["currency"]) == ("acme", "Ann Müller", "EUR")
    assert farm["totals"][0]["amount"] == seat["amount"]
    assert Decimal(seat["amount"]) > Decimal(cost["total"]) > 0
    assert Decimal(seat["per_day"]) == Decimal("0.144")
    shown = terminal.run("report").out
    assert "EUR net, 1 instance" in shown
    assert "acme, for Ann Müller: " in shown
    assert "0.1440 EUR a day" in shown
    assert terminal.run("report", "--from", "2020-01-01", "--to", "2020-01-31").code == 0
    month = cost["until"][:7]
    again = terminal.run("hosting", "farm", "--month", month, "--json").document
    assert Decimal(again["total"]) > Decimal(seat["amount"])


def test_what_nobody_knows_of_is_found_with_its_price_and_mended(
    terminal: Terminal, place: Path
) -> None:
    up(terminal)
    things = json.loads((place / "things.json").read_text())
    orphan = json.loads(json.dumps(things["acme-server"]).replace("acme", "ghost"))
    (place / "things.json").write_text(json.dumps({**things, "ghost-server": orphan}))
    seen = terminal.run("farm", "reconcile", "--json")
    assert seen.code == 3
    (found,) = seen.document
    assert (found["advice"], found["name"]) == ("delete", "ghost-server")
    assert (found["per_day"], found["currency"]) == ("0.144", "EUR")
    assert terminal.run("farm", "reconcile", "--mend").code == 2
    assert terminal.run("farm", "reconcile", "--mend", "--yes").code == 0
    assert terminal.run("farm", "reconcile", "--json").document == []
    assert set(json.loads((place / "things.json").read_text())) == set(things)


def test_a_thing_that_vanished_and_one_that_was_not_noted_are_told_apart(
    terminal: Terminal, place: Path
) -> None:
    up(terminal)
    things = json.loads((place / "things.json").read_text())
    del things["acme-ipv4"]
    things["acme-volume"]["id"] = "another"
    (place / "things.json").write_text(json.dumps(things))
    advices = {
        (f["advice"], f["name"]) for f in terminal.run("farm", "reconcile", "--json").document
    }
    assert advices == {("close", "acme-ipv4"), ("adopt", "acme-volume"), ("close", "acme-volume")}
    terminal.run("farm", "reconcile", "--mend", "--yes")
    assert terminal.run("farm", "reconcile", "--json").document == []


def test_a_file_of_secrets_that_others_can_read_is_warned_of(
    terminal: Terminal, place: Path, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.write_text(f'# the bot\nexport SWARM_TELEGRAM__TOKEN="{CANARY}"\n')
    secrets.chmod(0o644)
    seen = terminal.run(*UP, "--secrets", str(secrets))
    assert f"chmod 600 {secrets}" in seen.err
    os.chmod(secrets, 0o600)  # noqa: PTH101
    assert "chmod" not in terminal.run(*UP, "--secrets", str(secrets)).err


def test_help_names_every_command(terminal: Terminal) -> None:
    shown = terminal.run("farm", "--help").out
    verbs = (
        "up", "ls", "status", "logs", "stop", "start", "upgrade", "backup", "restore", "rm", "cost",
        "reconcile",
        "budget", "check",
    )  # fmt: skip
    for verb in verbs:
        assert f"  {verb} " in shown
    assert "farm" in terminal.run("--help").out


@given(st.text())
def test_any_file_of_secrets_is_read_or_refused_without_showing_it(text: str) -> None:
    try:
        found = read_lines(text, "file")
    except InvalidInput as error:
        said = str(error)
    else:
        said = "file: line "
        assert all(value.get_secret_value() for value in found.values())
        assert len(found) <= len(text.splitlines())
    assert said.startswith("file: line ")


@given(st.text(max_size=12))
def test_any_budget_is_an_amount_of_a_period_or_refused(text: str) -> None:
    try:
        amount, period = read_budget(text)
    except InvalidInput:
        return
    assert amount > 0
    assert period in ("month", "day", "order", "company")
