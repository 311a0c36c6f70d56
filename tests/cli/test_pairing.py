"""Letting people in and out at the terminal."""

import pytest

from swarm.app import App
from swarm.core.clock import SystemClock
from swarm.core.message import InboundMessage
from swarm.runtime.people import Person
from swarm.settings import load
from tests.cli.terminal import Terminal

TOKEN = "123456:" + "a" * 35


def stranger(sender: str = "77", text: str = "hello") -> InboundMessage:
    return InboundMessage(
        "telegram", "123456", "1", "77", None, sender, text, SystemClock().now(),
        sender_name="Ben",
    )  # fmt: skip


def redeemed(app: App, code: str) -> Person | None:
    return app.store.write(lambda c: app.pairing.redeem(c, code, stranger()))


@pytest.fixture
def app(terminal: Terminal) -> App:
    terminal.run("init")
    return App(load())


def test_init_gives_the_first_founder_a_code_once_telegram_is_set(terminal: Terminal) -> None:
    assert "founder_code" not in terminal.run("init", "--json").document
    terminal.set(SWARM_TELEGRAM__TOKEN=TOKEN)
    first, second = (terminal.run("init", "--json").document["founder_code"] for _ in range(2))
    assert first != second
    assert "/start " in terminal.run("init").out
    app = App(load())
    # Only the newest is good, and it makes a founder.
    newest = terminal.run("init", "--json").document["founder_code"]
    for code in (first, second):
        assert redeemed(app, code) is None
    person = redeemed(app, newest)
    assert person is not None
    assert person.role.value == "founder"
    assert "founder_code" not in terminal.run("init", "--json").document
    app.close()


def test_a_stranger_is_listed_approved_and_revoked(terminal: Terminal, app: App) -> None:
    code = app.store.write(lambda c: app.pairing.ask(c, stranger()))
    assert code is not None
    listed = terminal.run("pairing", "list", "--json").document
    assert [request["platform_id"] for request in listed["waiting"]] == ["77"]
    assert code in terminal.run("pairing", "list").out
    dashed = f"{code[:4].upper()}-{code[4:]}"
    seen = terminal.run("pairing", "approve", dashed, "--role", "team", "--json")
    assert seen.document["role"] == "team", seen.err
    again = terminal.run("pairing", "approve", code)
    assert (again.code, "already" in again.err) == (2, True)
    assert app.store.read(lambda c: app.people.find(c, "telegram", "77")) is not None
    assert terminal.run("pairing", "revoke", "77", "--json").document["revoked"]
    assert app.store.read(lambda c: app.people.find(c, "telegram", "77")) is None
    app.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("approve", "nonsense"), "Nobody was shown"),
        (("approve", "x", "--role", "fonder"), "did you mean 'founder'"),
        (("revoke", "nobody"), "swarm pairing list"),
    ],
)
def test_what_cannot_be_done_is_said(terminal: Terminal, words: tuple[str, ...], says: str) -> None:
    terminal.run("init")
    seen = terminal.run("pairing", *words)
    assert seen.code == 2
    assert says in seen.err


def test_a_founder_of_the_settings_is_taken_out_there(terminal: Terminal) -> None:
    terminal.set(SWARM_TELEGRAM__FOUNDERS="5, 6")
    terminal.run("init")
    seen = terminal.run("pairing", "revoke", "5")
    assert (seen.code, "telegram.founders" in seen.err) == (2, True)
    assert terminal.run("pairing", "list", "--json").document["founders_by_settings"] == {
        "telegram": ["5", "6"]
    }


def test_an_invitation_is_printed(terminal: Terminal, app: App) -> None:
    document = terminal.run("pairing", "invite", "--role", "observer", "--json").document
    assert document["role"] == "observer"
    person = redeemed(app, document["code"])
    assert person is not None
    assert person.role.value == "observer"
    app.close()


def test_channels_are_listed_and_one_that_is_not_set_up_is_not_tested(terminal: Terminal) -> None:
    terminal.run("init")
    assert [c["name"] for c in terminal.run("channels", "list", "--json").document] == ["console"]
    seen = terminal.run("channels", "test", "telegram")
    assert (seen.code, "not set up" in seen.err) == (2, True)
    terminal.set(SWARM_TELEGRAM__TOKEN=TOKEN)
    assert "telegram" in terminal.run("channels", "list").out
    seen = terminal.run("channels", "test", "telegram")
    assert (seen.code, "No founder" in seen.err) == (2, True)


def test_a_wrong_setting_is_named(terminal: Terminal) -> None:
    terminal.set(SWARM_TELEGRAM__TOKN="1")
    assert "did you mean 'token'" in terminal.run("init").err
