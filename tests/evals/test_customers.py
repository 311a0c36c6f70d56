"""Customers' questions are recorded without their name, and come out the same with no network."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import InvalidInput
from swarm.evals.cassette import Cassette, read, write
from swarm.evals.disguise import Disguise, pseudonym_of, reached_at
from swarm.evals.house import House
from swarm.evals.recording import record
from swarm.evals.replaying import Replay, no_sockets, replay
from swarm.store.tables import orders
from tests.acceptance.at_work import kind_of, prompt_of
from tests.acceptance.test_customers import shop, support
from tests.evals import bakery_counter
from tests.evals.shelf import played
from tests.servers.replies import Body, Reply, completion

PHONE = "+33 6 12 34 56 78"
MAIL = "b.miller@post.example"
PACK = Path(__file__).parents[1] / "scenarios" / "safety"


def text_of(cassette: Cassette) -> str:
    document = [cassette.manifest.model_dump(mode="json"), *cassette.entries]
    return json.dumps(document, ensure_ascii=False)


def _company() -> tuple[asyncio.Event, Callable[[Body], Body | Reply | None]]:
    """Play Support, slow at first, confused later, and polite by name."""
    begun, seen = asyncio.Event(), set[str]()

    def play(request: Body) -> Body | Reply | None:
        made = support(request)
        if kind_of(request) != "reply" or made is None:
            return made
        if not begun.is_set():
            begun.set()
            return Reply(made, delay_s=1.5)
        if "loaf tomorrow" in prompt_of(request):
            if "confused" not in seen:
                seen.add("confused")
                return completion(text="Dear Benedikt, I am confused.")
            document = {"kind": "answer", "answer": "Dear Benedikt: 6 euros.", "sources": ["k1"]}
            return completion(document=document | {"reason": ""})
        return made

    return begun, play


async def recorded(home: Path) -> list[Cassette]:
    """Record what one customer asked: known, unknown, and said while an answer was written."""
    begun, play = _company()
    async with shop(home, play) as levain:  # type: ignore[arg-type]  # slow answers, too
        company = levain.company
        company.ada.starts()
        await company.sees("Welcome")
        ben = levain.customer("Benedikt Miller")
        ben.says(f"I am Benedikt, {PHONE} or {MAIL}. What does a loaf cost?")
        await begun.wait()
        ben.says("And do you deliver to Lyon, to Mr. MILLER?")
        await ben.sees("6 euros")
        await ben.sees("told a person")
        await company.sees("waits for a person")
        ben.says("Thank you, and what is a loaf tomorrow?")
        await company.until(lambda: len(ben.told) == 3)
        await company.settled()
        found = [row["id"] for row in levain.table(orders)]
        made = [record(company.app, id) for id in found]
        ben.says("/forget yes")
        await ben.sees("deleted")
        with pytest.raises(InvalidInput, match="had it forgotten"):
            record(company.app, found[0])
        return made


async def test_a_customers_questions_are_recorded_without_their_name_and_played_again(
    tmp_path: Path,
) -> None:
    cassettes = await recorded(tmp_path / "company")
    assert [len(cassette.lane("model")) for cassette in cassettes] == [1, 1, 2]
    assert [len(cassette.lane("inbound")) for cassette in cassettes] == [1, 0, 1]
    for number, cassette in enumerate(cassettes):
        for told in ("Benedikt", "Miller", PHONE, MAIL, '"Ada'):
            assert told.lower() not in text_of(cassette).lower(), (number, told)
        assert "Levain" in text_of(cassette)
        path = tmp_path / f"{number}.jsonl"
        write(cassette, path)
        assert read(path) == cassette
        again = await played(read(path), tmp_path)
        assert (number, again.misses, again.leftover) == (number, [], [])
        assert again.is_same
        assert any(message["key"].endswith("/reply") for message in again.as_document()["messages"])
    (name,) = {cassette.manifest.order["sender_id"] for cassette in cassettes}
    assert f"Dear {name}: 6 euros." in cassettes[2].lane("message")[0]["text"]
    assert cassettes[1].manifest.customer is not None
    assert cassettes[1].manifest.customer.handover is not None
    assert any(m["key"].startswith("handover/") for m in cassettes[1].lane("message"))


async def test_the_shipped_chat_comes_of_the_answers_that_stand_beside_it(tmp_path: Path) -> None:
    fresh = await bakery_counter.recorded(tmp_path / "home")
    for name, cassette in fresh.items():
        shipped = read(PACK / f"{name}.jsonl")
        assert shipped.manifest.provenance == cassette.manifest.provenance
        for lane in ("passage", "message", "turn"):
            assert _plain(cassette, lane) == _plain(shipped, lane), (name, lane)
        assert [e["answer"] for e in cassette.lane("model")] != []


def _plain(cassette: Cassette, lane: str) -> list[str]:
    """Return the words of a lane without what another day and another key give them."""
    name = cassette.manifest.order["sender_id"]
    customer = cassette.manifest.customer
    known = customer.handover.id if customer and customer.handover else "-"
    return [e["text"].replace(name, "X").replace(known, "H") for e in cassette.lane(lane)]


def facts(**changed: Any) -> Callable[[Cassette], Cassette]:
    """Return a change of what bounded an answer."""

    def change(cassette: Cassette) -> Cassette:
        assert cassette.manifest.customer is not None
        told = cassette.manifest.customer.model_copy(update=changed)
        return dataclasses.replace(
            cassette, manifest=cassette.manifest.model_copy(update={"customer": told})
        )

    return change


def handed(**changed: str) -> Callable[[Cassette], Cassette]:
    """Return a change of the hand-over that an answer led to."""

    def change(cassette: Cassette) -> Cassette:
        assert cassette.manifest.customer is not None
        assert cassette.manifest.customer.handover is not None
        return facts(handover=cassette.manifest.customer.handover.model_copy(update=changed))(
            cassette
        )

    return change


def limits(**changed: Any) -> Callable[[Cassette], Cassette]:
    """Return a change of the company's limits for customers."""

    def change(cassette: Cassette) -> Cassette:
        settings = cassette.manifest.settings
        told = {**settings, "customers": {**settings["customers"], **changed}}
        return dataclasses.replace(
            cassette, manifest=cassette.manifest.model_copy(update={"settings": told})
        )

    return change


def words(lane: str, number: int = -1) -> Callable[[Cassette], Cassette]:
    """Return a change of one word of a line."""

    def change(cassette: Cassette) -> Cassette:
        entries = [dict(entry) for entry in cassette.entries]
        of_lane = [entry for entry in entries if entry["lane"] == lane]
        of_lane[number]["text"] = of_lane[number]["text"].replace("a", "o", 1)
        return dataclasses.replace(cassette, entries=tuple(entries))

    return change


def waiting(cassette: Cassette) -> Cassette:
    """Let the customer have been handed over before."""
    assert cassette.manifest.customer is not None
    before = cassette.manifest.customer.handover
    assert before is not None
    open_one = before.model_copy(update={"id": "hbefore"})
    return facts(waiting=open_one)(cassette)


CHANGES: dict[str, tuple[Callable[[Cassette], Cassette], str]] = {
    "what was spent on them": (facts(spent="0.9"), "budget"),
    "what was spent on all": (facts(spent_by_all="9.9"), "budget"),
    "the most for an answer": (limits(answer_budget="0.4"), "budget"),
    "an answer beyond the day": (facts(spent="1.0"), "inbound"),
    "an amount that no ledger holds": (facts(spent="9" * 24), "inbound"),
    "messages in a minute": (limits(burst=1), "inbound"),
    "messages in an hour": (limits(per_hour=1), "inbound"),
    "cards in an hour": (facts(cards=20), "message handover/"),
    "somebody who waits already": (waiting, "message handover/"),
    "why it was handed over": (handed(reason="No reason."), "hand-over"),
    "the words of the hand-over": (handed(words="Nothing."), "hand-over"),
    "a passage": (words("passage"), "model"),
    "what was said before": (words("turn", 0), "model"),
    "what is asked": (words("inbound"), "model"),
    "the answer": (words("message", 0), "message"),
    "the card": (words("message", 1), "message handover/"),
}


async def _play(cassette: Cassette, folder: Path) -> Replay:
    async with House(folder) as house:
        home = await house.fresh_home()
        with no_sockets():
            return await replay(cassette, home, house=house)


@pytest.mark.parametrize("what", CHANGES)
async def test_a_customers_recording_refuses_every_change(what: str, tmp_path: Path) -> None:
    change, lane = CHANGES[what]
    shipped = read(PACK / "a-loaf-with-glass.jsonl")
    found = await _play(change(shipped), tmp_path)
    assert not found.is_same
    assert found.misses
    expected = f"{shipped.manifest.order['id']} t1/" if lane == "model" else lane
    assert any(miss.lane.startswith(expected) for miss in found.misses), found.misses


def test_a_pseudonym_hides_a_name_however_it_is_written() -> None:
    told = {"Zoë O'Neill-Smith", "33612345678", *reached_at([f"{MAIL} {PHONE}, on 2026-11-22"])}
    hidden = Disguise("customer-x", told, spared=["## The customer: smith"])
    said = f"ZOË o'neill, 33612345678, {PHONE}; {json.dumps('Zoë')} {MAIL} on 2026-11-22"
    text = hidden.text(said)
    for left in ("zo", "neill", "336", "12 34", "miller"):
        assert left not in text.lower(), text
    assert "2026-11-22" in text
    assert hidden.text("smith, a customer") == "smith, a customer"
    assert hidden.within({"Zoë": ["Zoë", 3]}) == {"Zoë": ["customer-x", 3]}
    assert Disguise("customer-x", ["Al", ""]).text("Al is all") == "Al is all"


def test_a_pseudonym_is_one_in_a_company_and_another_in_the_next(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir(mode=0o700)
    one, other = (pseudonym_of(home, "telegram_customers:42") for home in homes)
    assert one == pseudonym_of(homes[0], "telegram_customers:42")
    assert one != other
