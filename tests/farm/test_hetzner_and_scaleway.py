"""What holds for every vendor of servers: one server or none, an equal bill, nothing left behind."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError, Conflict, InvalidInput, NotFound
from swarm.farm.base import (
    Driver,
    EntryState,
    InstanceState,
    Kind,
    NoCapacity,
    NoPlace,
    NotHealthy,
    PlaceBusy,
    PlaceRefused,
)
from tests.farm.clouds import VENDORS, Place, place
from tests.farm.machines import OPERATOR, SECRETS, TOKEN, spec
from tests.servers.cloud import Answer
from tests.servers.hetzner.server import error as hetzner_error
from tests.servers.scaleway.server import error as scaleway_error

STEPS = 70
"""More than any creation takes."""


@pytest.fixture(params=VENDORS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as made:
        yield made


async def test_an_instance_gets_a_server_that_only_the_operator_reaches(at: Place) -> None:
    driver = at.driver()
    assert isinstance(driver, Driver)
    made = await driver.create(spec(), SECRETS)
    assert (made.name, made.owner, made.state) == ("ada", "Ada", InstanceState.RUNNING)
    assert at.ever() == [made.host]
    if at.vendor == "hetzner":
        (wall,) = at.cloud.world.firewalls.values()
        assert [(r["direction"], r["port"], r["source_ips"]) for r in wall.rules] == [
            ("in", "22", [OPERATOR])
        ]
        (server,) = at.servers()
        assert server.firewalls == [wall.id]
        assert (len(server.keys), at.cloud.world.mails) == (1, [])
    else:
        (group,) = at.cloud.groups.values()
        assert (group.inbound, group.outbound, group.stateful) == ("drop", "accept", True)
        assert [(r["ip_range"], r["dest_port_from"]) for r in group.rules] == [(OPERATOR, 22)]
        assert at.servers()[0].group == group.id


async def test_no_secret_is_anywhere_but_in_files_of_the_instance(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    host = at.host()
    told = at.user_data() + repr(host.commands) + repr(at.journal.rows) + repr(at.said)
    told += "".join(json.dumps(call.body, default=str) for call in at.cloud.calls)
    kept = [p for p in at.folder.rglob("*") if p.is_file()]
    told += "".join(p.read_text() for p in kept)
    for secret in (TOKEN, "sk-canary-4f1d9c27"):
        assert secret not in told
    assert host.files == {
        "/var/lib/swarm/ada/secrets/SWARM_TELEGRAM__TOKEN": (10001, 0o400, TOKEN.encode()),
        "/var/lib/swarm/ada/secrets/ANTHROPIC_API_KEY": (10001, 0o400, b"sk-canary-4f1d9c27"),
    }
    assert {oct(p.stat().st_mode & 0o777) for p in kept} == {"0o600"}


async def test_what_a_server_was_told_opens_nothing_once_it_is_enrolled(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    host = at.host()
    assert host.digest is None
    assert host.key not in at.user_data()
    papers = at.folder / "hosts" / at.ever()[0]
    assert sorted(p.name for p in papers.iterdir()) == ["enrolled", "known_hosts"]
    assert (papers / "known_hosts").read_text() == f"{at.ever()[0]} {host.key}\n"


async def test_a_container_has_no_rights_and_a_root_it_cannot_write(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    (container,) = at.host().containers.values()
    line = " ".join(container.words)
    for words in (
        "--cap-drop ALL", "--security-opt no-new-privileges", "--read-only", "--memory 512m",
        "--cpus 1", "--pids-limit 256", "--user 10001:10001", "--restart unless-stopped",
        "--log-opt max-size=10m", "ANTHROPIC_API_KEY_FILE=/run/secrets/ANTHROPIC_API_KEY",
    ):  # fmt: skip
        assert words in line
    assert "docker.sock" not in line
    assert "--publish" not in line


async def test_said_twice_it_is_the_same_instance(at: Place) -> None:
    first = await at.driver().create(spec(), SECRETS)
    rows = len(at.journal.rows)
    again = await at.driver().create(spec(generation="g2"), SECRETS)
    assert replace(again, since=None) == replace(first, since=None) or again.name == first.name
    assert len(at.ever()) == 1
    assert len(at.journal.rows) == rows
    with pytest.raises(Conflict, match="belongs to Ada"):
        await at.driver().create(replace(spec(), owner="Bob"), SECRETS)


async def test_everything_is_journalled_before_it_is_asked_for(at: Place) -> None:
    open_then: list[set[tuple[str, str]]] = []
    work = at.cloud.work

    def looked(call: object) -> Answer:
        if getattr(call, "method", "") == "POST":
            open_then.append({(e.intent.action, e.intent.kind) for e in at.journal.open})
        answer: Answer = work(call)
        return answer

    at.cloud.work = looked
    await at.driver().create(spec(), SECRETS)
    await at.driver().destroy("ada")
    assert all(len(each) > 1 or each for each in open_then)
    assert at.journal.open == []
    made = {e.intent.kind for e in at.journal.rows if e.intent.action == "create"}
    assert {Kind.SERVER, Kind.IPV4, Kind.CONTAINER, Kind.FIREWALL} <= made
    prices = [e.intent.price for e in at.journal.rows if e.intent.kind is Kind.SERVER]
    assert all(price is not None and price.hourly for price in prices[:1])


async def test_a_removed_instance_leaves_nothing_that_costs(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    await at.driver().destroy("ada")
    assert at.leftovers() == []
    assert not (at.folder / "hosts" / "swarm-f1-host1").exists()
    await at.driver().destroy("ada")
    await at.driver().destroy("never")
    listing = await at.driver().list()
    assert (listing.instances, listing.resources) == ((), ())


async def test_stop_start_and_logs_reach_the_container(at: Place) -> None:
    driver = at.driver()
    await driver.create(spec(), SECRETS)
    await driver.stop("ada")
    await driver.stop("ada")
    (found,) = (await driver.list()).instances
    assert found.state is InstanceState.STOPPED
    await driver.start("ada")
    assert await driver.logs("ada", lines=5) == "Swarm works in /data"
    (found,) = (await driver.list()).instances
    assert found.state is InstanceState.RUNNING
    stops = [e for e in at.journal.rows if e.intent.action == "stop"]
    assert [e.state for e in stops] == [EntryState.DONE]
    for verb in (driver.stop, driver.start, driver.logs):
        with pytest.raises(NotFound, match="no instance 'bob'"):
            await verb("bob")


# -- deaths


async def _dies_and_comes_again(vendor: str, folder: Path, step: int, *, is_worked: bool) -> bool:
    """Die at a step, run again, and hold what is there against one undisturbed run."""
    with place(vendor, folder) as at:
        at.cloud.is_strict = False
        at.cloud.life.dies(step, is_worked=is_worked)
        died = await at.attempt()
        at.cloud.life.revives()
        await at.driver().create(spec(generation="g2"), SECRETS)
        where = f"{vendor}, step {step}, {'worked' if is_worked else 'not worked'}"
        assert at.ever() == ["swarm-f1-host1"], where
        assert len(at.host().containers) == 1, where
        assert at.journal.open == [], where
        assert sum(at.bill().values()) == EQUAL_BILL[vendor], where
        await at.driver().destroy("ada")
        assert at.leftovers() == [], where
        assert at.journal.open == [], where
        return died


EQUAL_BILL = {"hetzner": Decimal("0.0072"), "scaleway": Decimal("0.018580")}
"""What one hour of one undisturbed instance costs: the server, its address, its disk."""


async def _dies_and_is_given_up(vendor: str, folder: Path, step: int, *, is_worked: bool) -> bool:
    with place(vendor, folder) as at:
        at.cloud.is_strict = False
        at.cloud.life.dies(step, is_worked=is_worked)
        died = await at.attempt()
        at.cloud.life.revives()
        await at.driver().destroy("ada")
        where = f"{vendor}, step {step}, {'worked' if is_worked else 'not worked'}"
        assert at.leftovers() == [], where
        assert at.journal.open == [], where
        return died


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_death_at_any_step_ends_with_one_server_and_an_equal_bill(
    vendor: str, tmp_path: Path
) -> None:
    """Every fifth step, before or after it is worked; `make chaos` has each of them both ways."""
    for step in range(3, STEPS, 5):
        folder = tmp_path / f"{step}"
        if not await _dies_and_comes_again(vendor, folder, step, is_worked=bool(step % 2)):
            return
    raise AssertionError("it took more steps than were tried")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_run_that_died_and_is_given_up_leaves_nothing(vendor: str, tmp_path: Path) -> None:
    for step in range(4, STEPS, 12):
        if not await _dies_and_is_given_up(vendor, tmp_path / f"{step}", step, is_worked=True):
            return


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_worked", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_death_at_every_step_ends_with_one_server_or_none(
    vendor: str, is_worked: bool, tmp_path: Path
) -> None:
    for what in (_dies_and_comes_again, _dies_and_is_given_up):
        step = 1
        while await what(vendor, tmp_path / f"{what.__name__}{step}", step, is_worked=is_worked):
            step += 1
        assert step > 30


@pytest.mark.parametrize("is_worked", [False, True])
async def test_a_removal_that_dies_is_finished_by_the_next(at: Place, is_worked: bool) -> None:
    for step in (4, 9, 14):
        at.cloud.is_strict = False
        await at.driver().create(spec(), SECRETS)
        at.cloud.life.revives()
        at.cloud.life.dies(step, is_worked=is_worked)
        try:
            await at.driver().destroy("ada")
        except BaseException:  # noqa: BLE001  # it is dead
            assert at.cloud.life.is_dead
        at.cloud.life.revives()
        await at.driver().destroy("ada")
        assert at.leftovers() == []
        assert at.journal.open == []


# -- the line, the vendor's moods


async def test_a_lost_answer_makes_no_second_server(at: Place) -> None:
    at.cloud.fail("POST", at.create_path, is_worked=True)
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]
    assert sum(at.bill().values()) == EQUAL_BILL[at.vendor]


async def test_a_lost_request_is_said_again(at: Place) -> None:
    at.cloud.fail("POST", at.create_path)
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]


async def test_a_failing_vendor_is_looked_at_before_it_is_asked_again(at: Place) -> None:
    broken = Answer(500, {"error": {"code": "server_error", "message": "oops", "details": None}})
    at.cloud.fail("POST", at.create_path, answer=broken)
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]


async def test_a_vendor_that_stays_away_is_a_sentence_and_nothing_is_made(at: Place) -> None:
    at.cloud.fail("POST", at.create_path, times=99)
    with pytest.raises(NoPlace, match=f"{at.vendor} cannot be reached"):
        await at.driver().create(spec(), SECRETS)
    assert at.servers() == []
    at.cloud.faults.clear()
    await at.driver().create(spec(generation="g2"), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]
    assert at.journal.open == []


async def test_runs_at_the_same_moment_share_one_server(at: Place) -> None:
    made = await asyncio.gather(
        *(at.driver().create(spec(generation=f"g{n}"), SECRETS) for n in range(3))
    )
    assert {each.host for each in made} == {"swarm-f1-host1"}
    assert [server.name for server in at.servers()] == ["swarm-f1-host1"]
    assert len(at.host().containers) == 1
    await at.driver().destroy("ada")
    assert at.leftovers() == []


async def test_a_wrong_key_is_a_sentence(at: Place) -> None:
    wrong = "0" * 64 if at.vendor == "hetzner" else "99999999-9999-4999-8999-999999999999"
    word = "token" if at.vendor == "hetzner" else "secret_key"
    with pytest.raises(PlaceRefused, match=r"is not valid.*farm\."):
        await at.driver(**{word: wrong}).create(spec(), SECRETS)
    assert at.leftovers() == []


async def test_patience_that_is_asked_for_is_had(at: Place) -> None:
    refuse = hetzner_error if at.vendor == "hetzner" else scaleway_error
    busy = refuse(429, "rate_limit_exceeded", "slow down")
    busy = Answer(429, busy.body, {"Retry-After": "1"})
    at.cloud.fail("POST", at.create_path, answer=busy)
    before = asyncio.get_running_loop().time()
    await at.driver().create(spec(), SECRETS)
    assert asyncio.get_running_loop().time() - before >= 1
    assert at.ever() == ["swarm-f1-host1"]
    assert len(at.cloud.asked("POST", at.create_path)) == 2


async def test_too_much_patience_is_said_with_its_time(at: Place) -> None:
    busy = Answer(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}, "message": ""},
                  {"Retry-After": "600"})  # fmt: skip
    at.cloud.fail("GET", ".*", answer=busy, times=99)
    with pytest.raises(PlaceBusy, match="wait 600 s") as caught:
        await at.driver().create(spec(), SECRETS)
    assert caught.value.retry_after_s == 600
    assert len(at.cloud.calls) == 1


async def test_a_sold_out_type_gives_way_to_the_next(at: Place) -> None:
    first, second = ("cx23", "cx33") if at.vendor == "hetzner" else ("DEV1-S", "DEV1-M")
    at.sells_out(first)
    await at.driver().create(spec(), SECRETS)
    (server,) = at.servers()
    assert server.type.name == second
    assert at.journal.open == []
    await at.driver().destroy("ada")
    assert at.leftovers() == []


async def test_no_capacity_anywhere_is_one_sentence_and_no_loop(at: Place) -> None:
    at.sells_out()
    with pytest.raises(NoCapacity, match=r"no server for ada now; asked for: .*Nothing was rented"):
        await at.driver().create(spec(), SECRETS)
    asked = [
        (call.body.get("server_type") or call.body.get("commercial_type"),
         call.body.get("location") or call.path)
        for call in at.cloud.asked("POST", at.create_path)
    ]  # fmt: skip
    assert len(asked) == len(set(asked)) >= 6
    assert at.leftovers() == []
    assert at.journal.open == []


async def test_what_says_that_it_is_sold_out_is_not_asked_for(at: Place) -> None:
    for row in at.types().values():
        row.short |= set(row.zones if at.vendor == "scaleway" else row.locations)
    with pytest.raises(NoCapacity):
        await at.driver().create(spec(), SECRETS)
    assert at.cloud.asked("POST", at.create_path) == []


# -- servers that come to nothing


async def test_a_server_that_never_gets_ready_is_given_back(at: Place) -> None:
    at.shell.boots_badly = True
    with pytest.raises(NotHealthy, match="did not get ready"):
        await at.driver().create(spec(), SECRETS)
    assert at.leftovers() == []
    assert at.journal.open == []


async def test_an_instance_that_stays_ill_takes_only_its_own_away(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    at.shell.is_ill = True
    with pytest.raises(NotHealthy, match="did not get well"):
        await at.driver().create(spec("ada", generation="g2"), SECRETS)
    (server,) = at.servers()
    assert list(at.host().containers) == ["swarm-f1-bob"]
    found = (await at.driver().list()).instances
    assert [each.name for each in found] == ["bob"]
    assert server.name == "swarm-f1-host1"


async def test_papers_that_are_lost_make_a_half_made_server_anew(at: Place) -> None:
    at.cloud.life.dies(24 if at.vendor == "hetzner" else 46, is_worked=True)
    await at.attempt()
    at.cloud.life.revives()
    assert len(at.servers()) == 1
    for file in (at.folder / "hosts" / "swarm-f1-host1").iterdir():
        file.unlink()
    await at.driver().create(spec(), SECRETS)
    assert at.ever() == ["swarm-f1-host1"] * 2
    assert len(at.servers()) == 1
    assert at.journal.open == []


async def test_a_server_that_holds_instances_is_never_made_anew(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    for file in (at.folder / "hosts" / "swarm-f1-host1").iterdir():
        file.unlink()
    with pytest.raises(PlaceRefused, match=r"holds bob and cannot be reached"):
        await at.driver().create(spec("ada", generation="g2"), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]
    assert list(at.host().containers) == ["swarm-f1-bob"]


async def test_a_server_with_another_host_key_gets_nothing(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    at.host().key = "ssh-ed25519 AAAA-somebody-else"
    commands = len(at.host().commands)
    with pytest.raises(PlaceRefused, match="host key"):
        await at.driver().create(spec("ada"), SECRETS)
    assert len(at.host().commands) == commands


async def test_a_server_of_a_stranger_with_our_name_is_left_alone(at: Place) -> None:
    await at.driver(seats="one").create(spec("ada"), SECRETS)
    (server,) = at.servers()
    if at.vendor == "hetzner":
        server.labels = {"team": "billing"}
    else:
        server.tags = ["team=billing"]
    at.journal.rows.clear()
    with pytest.raises(Conflict, match="this farm did not make"):
        await at.driver(seats="one").create(spec("ada", generation="g2"), SECRETS)
    await at.driver(seats="one").destroy("ada")
    assert at.servers() == [server]


# -- seats


async def test_instances_share_a_server_until_it_is_full(at: Place) -> None:
    type_ = "cx23" if at.vendor == "hetzner" else "DEV1-M"
    settings = {"types": (type_,), "host_memory_mib": 512}
    for name in ("ada", "bob", "cyd"):
        await at.driver(**settings).create(spec(name, memory_mib=1024), SECRETS)
    assert at.ever() == ["swarm-f1-host1"]
    await at.driver(**settings).create(spec("dan", memory_mib=1024), SECRETS)
    assert at.ever() == ["swarm-f1-host1", "swarm-f1-host2"]
    # A place that became free is taken before another server is rented.
    await at.driver(**settings).destroy("bob")
    made = await at.driver(**settings).create(spec("eve", memory_mib=1024), SECRETS)
    assert made.host == "swarm-f1-host1"
    await at.driver(**settings).destroy("dan")
    assert [server.name for server in at.servers()] == ["swarm-f1-host1"]
    for name in ("ada", "cyd", "eve"):
        await at.driver(**settings).destroy(name)
    assert at.leftovers() == []


async def test_the_journal_says_where_a_seat_is_and_how_large(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    (seat,) = [e.intent for e in at.journal.rows if e.intent.kind is Kind.CONTAINER]
    assert (seat.parent, seat.memory_mib, seat.cpus) == ("swarm-f1-host1", 512, Decimal(1))


async def test_seats_that_are_taken_at_the_same_moment_never_overfill(at: Place) -> None:
    type_ = "cx23" if at.vendor == "hetzner" else "DEV1-M"
    settings = {"types": (type_,), "host_memory_mib": 512}
    names = ("ada", "bob", "cyd", "dan", "eve")
    made = await asyncio.gather(
        *(at.driver(**settings).create(spec(n, memory_mib=1024), SECRETS) for n in names)
    )
    by_host: dict[str, int] = {}
    for each in made:
        by_host[each.host] = by_host.get(each.host, 0) + 1
    assert max(by_host.values()) <= 3
    assert len(at.servers()) == len(by_host) <= 3
    for name in names:
        await at.driver(**settings).destroy(name)
    assert at.leftovers() == []


async def test_a_server_each_is_named_after_its_instance(at: Place) -> None:
    for name in ("ada", "bob"):
        await at.driver(seats="one").create(spec(name), SECRETS)
    assert at.ever() == ["swarm-f1-ada", "swarm-f1-bob"]
    resources = (await at.driver(seats="one").list()).resources
    owners = {(r.instance, r.owner) for r in resources if r.kind is Kind.SERVER}
    assert owners == {("ada", "Ada"), ("bob", "Bob")}
    await at.driver(seats="one").destroy("ada")
    assert [server.name for server in at.servers()] == ["swarm-f1-bob"]


async def test_every_resource_says_what_it_costs_a_day(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    listing = await at.driver().list()
    paid = {r.kind: r.price for r in listing.resources if r.price is not None}
    assert {Kind.SERVER, Kind.IPV4} <= set(paid)
    for price in paid.values():
        assert price.per_day is not None
        assert (price.currency, price.tax) == ("EUR", "net")


# -- what is asked of the operator


async def test_the_operators_network_must_be_named_first(at: Place) -> None:
    with pytest.raises(ConfigError, match="ssh_from is not set"):
        await at.driver(ssh_from=()).create(spec(), SECRETS)
    assert at.cloud.calls == []


async def test_an_instance_that_fits_nowhere_is_refused_before_anything_is_made(at: Place) -> None:
    with pytest.raises(InvalidInput, match=r"no wanted type .* has room for 99999 MiB"):
        await at.driver().create(spec(memory_mib=99999), SECRETS)
    assert at.leftovers() == []


async def test_a_seat_costs_its_part_and_a_server_each_the_whole(at: Place) -> None:
    part = await at.driver().price(spec())
    whole = await at.driver(seats="one").price(spec())
    assert whole.hourly == EQUAL_BILL[at.vendor]
    assert part.hourly is not None
    assert part.hourly < whole.hourly / 3
    assert at.cloud.url in whole.source


async def test_without_its_vendor_a_price_is_from_the_dated_list(at: Place) -> None:
    at.cloud.fail("GET", ".*", times=999)
    price = await at.driver().price(spec())
    assert price.hourly is not None
    assert price.read is not None
    assert price.read.year in (2025, 2026)
    assert "http" not in price.source


async def test_an_unreachable_server_shows_its_instance_as_broken(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    at.shell.unreachable.add("swarm-f1-host1")
    (found,) = (await at.driver().list()).instances
    assert (found.name, found.state) == ("ada", InstanceState.BROKEN)
    assert "does not show it" in found.detail
