"""What goes on at a vendor after a server was made: it is switched off, moved, forgotten, removed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import ConfigError, SwarmError
from swarm.farm.base import InstanceState, Kind, Listing, NoCapacity, NoPlace, PlaceRefused
from swarm.farm.cloud.keys import write_papers
from swarm.farm.cloud.user_data import render
from swarm.farm.findings import Advice, Finding
from swarm.farm.hetzner.config import HetznerConfig
from swarm.farm.reconcile import compare, mend
from swarm.farm.records import COMING, RUNNING, Record
from swarm.farm.scaleway.config import ScalewayConfig
from swarm.farm.steps import living
from swarm.ledger.hosting.seats import prices_now
from tests.farm.clouds import VENDORS, Place, place
from tests.farm.machines import SECRETS, spec
from tests.servers.cloud import Answer, Killed
from tests.servers.hetzner.server import error
from tests.servers.scaleway.server import error as scaleway_error

HOST = "swarm-f1-host1"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(params=VENDORS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def hetzner(tmp_path: Path) -> Iterator[Place]:
    with place("hetzner", tmp_path) as made:
        yield made


def record(at: Place, name: str, state: str = RUNNING) -> Record:
    return Record(name, at.vendor, spec(name), state, NOW)


async def differences(at: Place, *records: Record, **settings: Any) -> list[Finding]:
    listing = await at.driver(**settings).list()
    return compare(listing, at.journal.rows, records, provider=at.vendor)


def switched_off(at: Place) -> Any:
    (server,) = at.servers()
    if at.vendor == "hetzner":
        server.status = "off"
        failure = {"code": "resource_unavailable", "message": "no host has room"}
        at.cloud.world.always_bad = {"start_server": failure}
    else:
        server.state = "stopped"
        at.cloud.no_start.add(server.zone)
    return server


async def test_a_server_that_does_not_start_again_keeps_the_homes_that_are_on_it(
    at: Place,
) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    server = switched_off(at)
    with pytest.raises(NoPlace, match="holds bob, so it is left as it is"):
        await at.driver().create(spec("ada", generation="g2"), SECRETS)
    assert at.servers() == [server]
    if at.vendor == "hetzner":
        assert len(at.cloud.asked("POST", ".*/poweron")) == 3
        at.cloud.world.always_bad = {}
    else:
        at.cloud.no_start.clear()
    await at.driver().create(spec("ada", generation="g3"), SECRETS)
    assert at.ever() == [HOST]
    assert sorted(at.host().containers) == ["swarm-f1-ada", "swarm-f1-bob"]
    assert at.journal.open == []


async def test_what_failed_long_ago_does_not_make_a_server_broken(hetzner: Place) -> None:
    await hetzner.driver().create(spec("bob"), SECRETS)
    (server,) = hetzner.servers()
    server.status = "off"
    world = hetzner.cloud.world
    world.bad_ends["create_image"] = {"code": "failed", "message": "no room for the image"}
    world.action("create_image", hetzner.cloud.now_s, server=server.id).look()
    world.looks = 3
    await hetzner.driver().create(spec("ada", generation="g2"), SECRETS)
    assert hetzner.ever() == [HOST]
    assert server.status == "running"


async def test_a_token_that_is_too_old_makes_the_server_anew_once(at: Place) -> None:
    steps = 24 if at.vendor == "hetzner" else 46
    at.cloud.life.dies(steps, is_worked=True)
    assert await at.attempt()
    at.cloud.life.revives()
    (server,) = at.servers()
    at.shell.expired.add(str(server.id))
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == [HOST] * 2
    assert len(at.servers()) == 1
    assert any("takes its one-time token no more" in line for line in at.said)
    assert at.journal.open == []


async def test_an_operator_who_moved_is_let_in_to_the_server_that_is_there(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    await at.driver(ssh_from=("198.51.100.9", "2001:db8::/48")).create(
        spec("ada", generation="g2"), SECRETS
    )
    assert at.ever() == [HOST]
    if at.vendor == "hetzner":
        (wall,) = at.cloud.world.firewalls.values()
        (rule,) = wall.rules
        sources = rule["source_ips"]
    else:
        (group,) = at.cloud.groups.values()
        sources = [rule["ip_range"] for rule in group.rules]
    assert sorted(sources) == ["198.51.100.9/32", "2001:db8::/48"]


async def test_an_instance_whose_server_refuses_us_is_removed_with_it(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    await at.driver().create(spec("ada", generation="g2"), SECRETS)
    at.host().key = "ssh-ed25519 AAAA-somebody-else"
    with pytest.raises(PlaceRefused, match="host key"):
        await at.driver().destroy("ada")
    assert len(at.servers()) == 1
    at.journal.rows = [e for e in at.journal.rows if e.intent.instance != "bob"]
    for number, entry in enumerate(at.journal.rows, start=1):
        at.journal.rows[number - 1] = replace(entry, id=number)
    await at.driver().destroy("ada")
    assert at.leftovers() == []


async def test_an_instance_that_sits_is_found_though_nothing_is_sold_any_more(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    at.types().clear()
    found = await at.driver().create(spec(), SECRETS)
    assert found.state is InstanceState.RUNNING


async def test_an_operator_with_ipv6_alone_reaches_the_server_by_it(hetzner: Place) -> None:
    machine = hetzner.driver(ssh_from=("2001:db8::7",))
    await hetzner.driver().create(spec("bob"), SECRETS)
    (found,) = await machine._cloud.machines()
    (usual,) = await hetzner.driver()._cloud.machines()
    assert ":" in found.address
    assert "." in usual.address


def test_a_server_that_nobody_could_reach_is_refused_before_it_is_rented() -> None:
    with pytest.raises(ValueError, match="name your IPv6 network"):
        HetznerConfig(ipv4=False, ssh_from=("203.0.113.7",))
    with pytest.raises(ValueError, match="name your IPv4 network"):
        ScalewayConfig(ssh_from=("2001:db8::/64",))
    assert HetznerConfig(ssh_from=("203.0.113.7", " 203.0.113.7/32")).ssh_from == (
        "203.0.113.7/32",
    )


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_door_for_everybody_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="is everybody"):
        HetznerConfig(ssh_from=("203.0.113.7", network))


# -- the books


async def test_a_start_that_died_shows_its_server_and_what_it_costs_a_day(at: Place) -> None:
    """At whichever step: either nothing that costs is there, or it is told with a price."""
    for step in range(10, 46, 7):
        with place(at.vendor, at.folder / str(step)) as here:
            here.cloud.is_strict = False
            here.cloud.life.dies(step, is_worked=True)
            try:
                await here.driver().create(spec(), SECRETS)
            except (Killed, SwarmError):
                assert here.cloud.life.is_dead
            here.cloud.life.revives()
            found = await differences(here, record(here, "ada", COMING))
            assert any("run `swarm farm up ada` again" in each.why for each in found), step
            costing = {k for k, v in here.bill().items() if v}
            told = {str(f.kind) for f in found if f.per_day is not None}
            assert told >= costing, step
            # Somebody starts an instance now: what is asked for at this moment is not closed.
            assert not [f for f in found if f.advice is Advice.CLOSE and f.instance == ""], step
            gone = await differences(here)
            listed = {f.kind for f in gone if f.advice is Advice.DELETE}
            assert {str(kind) for kind in listed} >= costing, step
            await mend(here.driver(), here.journal, gone)
            assert here.leftovers() == [], step
            assert here.journal.open == [], step


async def test_a_server_without_seats_is_told_and_ended_unless_it_is_to_be_kept(at: Place) -> None:
    await at.driver(keep_empty=True).create(spec(), SECRETS)
    await at.driver(keep_empty=True).destroy("ada")
    kept = await differences(at, keep_empty=True)
    assert {f.advice for f in kept} == {Advice.ALERT}
    (server,) = [f for f in kept if f.kind is Kind.SERVER]
    assert server.per_day is not None
    assert server.per_day > 0
    assert "keep_empty" in server.why
    found = await differences(at)
    assert {f.advice for f in found} == {Advice.DELETE}
    assert {f.kind for f in found} >= {Kind.SERVER, Kind.IPV4, Kind.FIREWALL}
    await mend(at.driver(), at.journal, found)
    assert at.leftovers() == []


async def test_a_seat_that_a_silent_server_does_not_show_is_not_given_away(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    await at.driver().create(spec("ada", generation="g2"), SECRETS)
    at.shell.unreachable.add(HOST)
    wanted = record(at, "ada"), record(at, "bob")
    found = await differences(at, *wanted)
    assert {(f.advice, f.instance) for f in found} == {
        (Advice.ALERT, "ada"), (Advice.ALERT, "bob"),
    }  # fmt: skip
    await mend(at.driver(), at.journal, found)
    at.shell.unreachable.clear()
    await at.driver().destroy("ada")
    assert len(at.servers()) == 1
    assert await differences(at, wanted[1]) == []


async def test_a_making_that_was_not_noted_is_adopted_with_its_price(hetzner: Place) -> None:
    await hetzner.driver().create(spec(), SECRETS)
    rows = hetzner.journal.rows
    for number, entry in enumerate(rows):
        if entry.intent.kind is Kind.SERVER:
            rows[number] = replace(entry, state=type(entry.state).INTENDED, resource_id="")
    found = await differences(hetzner, record(hetzner, "ada"))
    assert [(f.advice, f.kind) for f in found] == [(Advice.ADOPT, Kind.SERVER)]
    await mend(hetzner.driver(), hetzner.journal, found)
    assert await differences(hetzner, record(hetzner, "ada")) == []


# -- what is sold, and for what


async def test_prices_are_in_the_currency_of_the_project(hetzner: Place) -> None:
    hetzner.cloud.world.currency = "USD"
    driver = hetzner.driver()
    assert (await driver.price(spec())).currency == "USD"
    await driver.create(spec(), SECRETS)
    kept = {e.intent.price.currency for e in hetzner.journal.rows if e.intent.price is not None}
    assert kept == {"USD"}
    listing: Listing = await hetzner.driver().list()
    told = {r.price.currency for r in listing.resources if r.price is not None}
    assert told == {"USD"}


async def test_an_address_without_a_price_leaves_no_sum_of_two_currencies(hetzner: Place) -> None:
    hetzner.cloud.world.currency = "USD"
    hetzner.cloud.is_strict = False
    told = await hetzner.driver()._cloud.offers()
    hetzner.types()["cx23"].locations = ("ash",)
    found = await hetzner.driver(outside_eu=True, types=("cx23",)).price(spec())
    assert told
    assert found.per_day is None
    assert "no price of an address in ash" in found.reason


async def test_types_that_say_no_places_are_sold_where_they_have_a_price(hetzner: Place) -> None:
    hetzner.cloud.world.says_places = False
    hetzner.cloud.is_strict = False
    offers = await hetzner.driver()._cloud.offers()
    assert {offer.type for offer in offers} == {"cx23", "cx33", "cx43", "cax11"}
    await hetzner.driver().create(spec(), SECRETS)
    assert hetzner.ever() == [HOST]


async def test_the_price_that_is_told_first_is_the_one_that_the_books_divide_by(at: Place) -> None:
    """Of a server whose type no list of ours knows, too."""
    (row,) = [row for row in at.types().values() if row.name in ("cx23", "DEV1-S")]
    row.name = f"new-{row.name}"
    at.types().clear()
    at.types()[row.name] = row
    told = await at.driver().price(spec())
    for name in ("ada", "bob"):
        await at.driver().create(spec(name), SECRETS)
    (made,) = [e.intent for e in at.journal.rows if e.intent.kind is Kind.SERVER and e.intent.cpus]
    whole = 4096 if at.vendor == "hetzner" else 2048
    assert (made.cpus, made.memory_mib) == (Decimal(16), whole - 512)
    now = prices_now(at.journal.rows)
    assert set(now) == {"ada", "bob"}
    for price in now.values():
        assert price.per_day is not None
        assert told.per_day is not None
        assert abs(price.per_day - told.per_day) < Decimal("1e-9")


async def test_an_address_that_is_gone_before_it_is_deleted_is_gone(hetzner: Place) -> None:
    await hetzner.driver().create(spec(), SECRETS)
    for address in hetzner.cloud.world.addresses.values():
        address.auto_delete = False
        address.labels = {"managed-by": "swarm", "farm": "f1", "generation": "g1"}
    hetzner.cloud.fail(
        "DELETE", r"/v1/primary_ips/\d+", answer=error(404, "not_found", "primary IP not found")
    )
    await hetzner.driver().destroy("ada")
    assert hetzner.journal.open == []


def test_the_operators_key_may_not_break_out_of_its_line(hetzner: Place) -> None:
    known = write_papers(hetzner.folder, HOST)
    with pytest.raises(ConfigError, match="cannot be told to a server"):
        render("hetzner", host=HOST, papers=known, public_key='ssh-ed25519 AAAA"')


# -- answers


@pytest.mark.parametrize("body", [b"<html>Log in to the network</html>", {}])
async def test_an_answer_that_cannot_be_read_makes_no_second_server(at: Place, body: Any) -> None:
    at.cloud.is_strict = False
    at.cloud.fail("POST", at.create_path, answer=Answer(200, body))
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == [HOST]
    assert at.journal.open == []
    at.cloud.fail("GET", ".*", answer=Answer(200, b"<html>"), times=10**6)
    with pytest.raises(SwarmError) as told:
        await at.driver().create(spec("bob", generation="g2"), SECRETS)
    assert "say the same again later" in str(told.value)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ('Server Type "cx23" is unavailable in "fsn1" and can no longer be ordered', []),
        ("invalid input", [{"name": "server_type", "messages": ["is gone"]}]),
    ],
)
async def test_a_type_that_is_refused_in_other_words_gives_way_to_the_next(
    hetzner: Place, message: str, fields: list[Any]
) -> None:
    hetzner.cloud.is_strict = False
    refused = error(422, "invalid_input", message, fields=fields)
    hetzner.cloud.fail("POST", "/v1/servers", answer=refused)
    await hetzner.driver().create(spec(), SECRETS)
    (server,) = hetzner.servers()
    assert server.location == "nbg1"


async def test_three_servers_that_do_not_run_are_enough(hetzner: Place) -> None:
    failure = {"code": "failed", "message": "the disk could not be made"}
    hetzner.cloud.world.always_bad = dict.fromkeys(("create_server", "start_server"), failure)
    with pytest.raises(NoCapacity, match="3 were made, did not run and were given back"):
        await hetzner.driver().create(spec(), SECRETS)
    assert hetzner.ever() == [HOST] * 3
    assert hetzner.leftovers() == []
    assert hetzner.journal.open == []


async def test_a_server_that_finds_no_host_at_its_first_start_is_not_left_behind(
    tmp_path: Path,
) -> None:
    with place("scaleway", tmp_path) as at:
        at.cloud.is_strict = False
        at.cloud.fail("POST", ".*/action", answer=scaleway_error(400, "out_of_stock", "no host"))
        await at.driver().create(spec(), SECRETS)
        (server,) = at.servers()
        assert server.zone == "nl-ams-1"
        assert len(at.cloud.ips) == len(at.cloud.volumes) == 1
        assert at.journal.open == []


# -- in long form


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_worked", [False, True])
async def test_a_removal_that_dies_at_any_step_leaves_nothing_and_ends_every_bill(
    at: Place, is_worked: bool
) -> None:
    step, died = 1, True
    while died:
        with place(at.vendor, at.folder / str(step)) as here:
            here.cloud.is_strict = False
            await here.driver().create(spec(), SECRETS)
            here.cloud.life.revives()
            here.cloud.life.dies(step, is_worked=is_worked)
            try:
                await here.driver().destroy("ada")
            except BaseException:  # noqa: BLE001  # it is dead
                assert here.cloud.life.is_dead
            died = here.cloud.life.is_dead
            here.cloud.life.revives()
            await here.driver().destroy("ada")
            assert here.leftovers() == [], step
            assert here.journal.open == [], step
            assert living(here.journal.rows) == [], step
        step += 1
    assert step > 20
