"""`swarm customers`: a human at the terminal sees who waits, answers, and forgets on request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import exits
from swarm.cli.entry import run
from swarm.store.tables import customer_turns, founder_actions, handovers
from tests.acceptance.at_work import settings_of
from tests.runtime.counters import SUPPORT, counter
from tests.runtime.fronts import BEN, EVE


async def test_a_human_answers_from_the_terminal_and_their_minutes_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    for name, value in settings_of(home, "http://127.0.0.1:9/v1", name="Levain").items():
        monkeypatch.setenv(name, value)

    async def swarm(*words: str, code: int = exits.DONE) -> Any:
        capsys.readouterr()
        found = await asyncio.to_thread(run, ["customers", *words, "--json"])
        seen = capsys.readouterr()
        assert found == code, seen.err
        return json.loads(seen.out) if code == exits.DONE else seen.err

    async with counter(home) as company:
        assert (await swarm("list"))["customers"] == []
        await company.asks("/help", by=BEN, sender_name="Ben")
        await company.asks("/human my bread is green")
        listed = await swarm("list")
        waiting, ben = listed["customers"]
        assert (waiting["customer"], waiting["handover_state"]) == (f"{SUPPORT}:{EVE}", "open")
        assert (ben["handover_id"], listed["total"]) == (None, 2)
        assert await asyncio.to_thread(run, ["inbox"]) == exits.DONE
        way = f'$ swarm customers answer {waiting["handover_id"]} "your answer"'
        assert way in capsys.readouterr().out
        page = await swarm("show", waiting["customer"])
        assert page["conversation"][0]["text"] == "/human my bread is green"
        assert page["handover"]["shown_at"] >= page["handover"]["asked_at"]
        assert (await swarm("take", waiting["handover_id"]))["state"] == "taken"
        await company.settled()
        assert "ada of Levain, a person" in company.shop.sent[-1].text
        # No chat reaches this terminal: whoever may serve reads what the customer writes.
        await company.asks("Hello?")
        assert "Hello?" in company.channel.sent[-1].text
        assert "already" in await swarm("take", EVE, code=exits.USAGE)
        row = await swarm("answer", EVE, "We bake you a new one.")
        assert row["answered_at"] is not None
        await company.settled()
        assert company.shop.sent[-1].text == "ada, Levain:\nWe bake you a new one."
        assert "needs words" in await swarm("answer", EVE, " ", code=exits.USAGE)
        assert (await swarm("give-back", EVE))["state"] == "closed"
        assert "waits for nobody" in await swarm("answer", EVE, "x", code=exits.USAGE)
        assert "no customer" in await swarm("show", "telegram_customers:7", code=exits.USAGE)
        (handover,) = company.rows(handovers)
        done = [row for row in company.rows(founder_actions) if handover["id"] in row["asks"]]
        # Shown to Ada's phone; looked at, taken over, answered and given back at the terminal.
        assert [row["kind"] for row in done] == [
            "shown", "looked", "looked", "looked", "answered", "looked",
        ]  # fmt: skip
        answered = done[-2]
        assert (answered["channel"], answered["since"]) == ("console", handover["shown_at"])
        assert done[0]["channel"] == "phone"


async def test_a_human_forgets_a_customer_after_saying_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    for name, value in settings_of(home, "http://127.0.0.1:9/v1").items():
        monkeypatch.setenv(name, value)
    async with counter(home) as company:
        await company.asks("What does a loaf cost?")
        monkeypatch.setattr("sys.stdin", None)
        words = ["customers", "forget", EVE]
        assert await asyncio.to_thread(run, words) == exits.USAGE
        assert "--yes" in capsys.readouterr().err
        assert len(company.rows(customer_turns)) == 1
        assert await asyncio.to_thread(run, [*words, "--yes"]) == exits.DONE
        assert "is forgotten: 1 message" in capsys.readouterr().out
        assert not any(row["text"] for row in company.rows(customer_turns))
        assert await asyncio.to_thread(run, ["customers", "list"]) == exits.DONE
        assert "No customer has written yet." in capsys.readouterr().out


async def test_pairing_leaves_customers_to_their_own_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    for name, value in settings_of(home, "http://127.0.0.1:9/v1").items():
        monkeypatch.setenv(name, value)
    async with counter(home) as company:
        await company.asks("/help")
        assert await asyncio.to_thread(run, ["pairing", "list"]) == exits.DONE
        said = capsys.readouterr().out
        assert "phone:1" in said
        assert EVE not in said
        assert "And 1 customer: `swarm customers list`." in said
        assert await asyncio.to_thread(run, ["pairing", "list", "--json"]) == exits.DONE
        people = json.loads(capsys.readouterr().out)["people"]
        assert [person["role"] for person in people] == ["founder"]
