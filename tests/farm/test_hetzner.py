"""What is particular to Hetzner Cloud."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.farm.base import Kind, PlaceRefused
from swarm.store.database import Store
from swarm.store.schema import upgrade
from tests.farm.clouds import Place, place
from tests.farm.machines import SECRETS, spec
from tests.servers.hetzner import contract
from tests.servers.hetzner.catalog import Type
from tests.servers.hetzner.server import HetznerServer
from tests.servers.hetzner.server import error as refusal


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    with place("hetzner", tmp_path) as made:
        yield made


def test_the_contract_sees_what_is_off() -> None:
    """The fake's own judge: a wrong request and a wrong answer are seen."""
    if contract.document() is None:
        pytest.skip(f"the published contract is not at hand: {contract.FILE}")
    with HetznerServer() as cloud:
        head = {"authorization": f"Bearer {cloud.token}"}
        cloud.answer("POST", "/v1/servers", head, WRONG)
        cloud.answer("GET", "/v1/servers?colour=red", head, b"")
        cloud.answer("GET", "/v1/nothing", head, b"")
        found = "\n".join(cloud.violations)
        cloud.violations.clear()
    assert "7 is not of type 'string'" in found
    assert "no parameter 'colour'" in found
    assert "no such operation" in found


async def test_a_place_outside_the_union_is_taken_only_if_it_was_allowed(at: Place) -> None:
    for row in at.types().values():
        row.locations = ("ash",)
    with pytest.raises(ConfigError, match="in the European Union"):
        await at.driver().create(spec(), SECRETS)
    assert at.servers() == []
    await at.driver(outside_eu=True).create(spec(), SECRETS)
    assert at.servers()[0].location == "ash"


async def test_a_retired_type_is_not_asked_for_and_a_new_one_is_taken(at: Place) -> None:
    types = at.types()
    for row in types.values():
        row.retired = True
    types["cx99"] = Type(999, "cx99", 2, 4, 40, Decimal("0.0050"), Decimal("3.10"))
    await at.driver().create(spec(), SECRETS)
    (call,) = at.cloud.asked("POST", "/v1/servers")
    assert call.body["server_type"] == "cx99"


async def test_a_making_that_fails_at_the_vendor_is_given_back_and_tried_elsewhere(
    at: Place,
) -> None:
    at.cloud.world.bad_ends["start_server"] = {"code": "action_failed", "message": "no host"}
    await at.driver().create(spec(), SECRETS)
    assert len(at.ever()) == 2
    assert len(at.servers()) == 1
    assert at.journal.open == []
    assert any("no host" in text for text in at.said)


async def test_a_quota_is_a_sentence(at: Place) -> None:
    at.cloud.server_limit = 0
    with pytest.raises(PlaceRefused, match="the project's limit is reached; ask Hetzner"):
        await at.driver().create(spec(), SECRETS)
    assert at.leftovers() == []


async def test_a_missing_token_and_a_token_that_may_only_read_are_sentences(at: Place) -> None:
    with pytest.raises(PlaceRefused, match=r"farm\.hetzner\.token is not set"):
        await at.driver(token=None).create(spec(), SECRETS)
    answer = refusal(403, "token_readonly", "token is only allowed to read")
    at.cloud.fail("POST", "/v1/ssh_keys", answer=answer, times=9)
    with pytest.raises(PlaceRefused, match="may only read"):
        await at.driver().create(spec(), SECRETS)
    assert at.leftovers() == []


async def test_a_key_that_the_project_knows_by_another_name_is_used_and_left(
    at: Place, tmp_path: Path
) -> None:
    await at.driver().create(spec(), SECRETS)
    (key,) = at.cloud.world.keys.values()
    await at.driver().destroy("ada")
    key.name, key.labels = "laptop", {}
    at.cloud.world.keys[key.id] = key
    await at.driver().create(spec(), SECRETS)
    assert at.servers()[0].keys == [key.id]
    await at.driver().destroy("ada")
    assert at.leftovers() == [key]


async def test_volumes_of_the_farm_go_with_a_server_and_a_strangers_is_told(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    (server,) = at.servers()
    ours = dict(server.labels)
    at.cloud.add_volume("swarm-data", server=server.id, labels=ours)
    strange = at.cloud.add_volume("db-of-bob", server=server.id, labels={})
    await at.driver().destroy("ada")
    assert at.leftovers() == [strange]
    (told,) = [text for text in at.said if "goes on costing" in text]
    assert "db-of-bob" in told
    assert "0.0188 EUR per day" in told


async def test_an_address_that_outlives_its_server_is_told(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    (server,) = at.servers()
    four = next(each for each in server.addresses if each.type == "ipv4")
    four.auto_delete = False
    await at.driver().destroy("ada")
    assert at.leftovers() == [four]
    assert any("ipv4" in text and "0.0164 EUR per day" in text for text in at.said)


async def test_strangers_by_the_hundred_are_read_past_and_untouched(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    (mine,) = at.servers()
    at.cloud.server_limit = 500
    for number in range(120):
        at.cloud.add_volume(f"v{number}", server=None, labels={"team": "billing"})
    await at.driver().destroy("bob")
    assert len(at.leftovers()) == 120
    assert mine.id not in at.cloud.world.servers


async def test_without_an_ipv4_address_none_is_paid_for(at: Place) -> None:
    driver = at.driver(ipv4=False, ssh_from=("2001:db8::7/128",))
    at.shell._booted = lambda _: None
    price = await driver.price(spec())
    with_one = await at.driver().price(spec())
    assert price.hourly is not None
    assert with_one.hourly is not None
    assert price.hourly < with_one.hourly


async def test_a_changed_address_of_the_operator_changes_the_firewall(at: Place) -> None:
    await at.driver().create(spec("bob"), SECRETS)
    await at.driver(ssh_from=("198.51.100.9/32",)).create(
        spec("ada", memory_mib=3584, generation="g2"), SECRETS
    )
    (wall,) = at.cloud.world.firewalls.values()
    assert [rule["source_ips"] for rule in wall.rules] == [["198.51.100.9/32"]]


async def test_what_costs_is_in_the_journal_with_its_price_and_time(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    rows = {e.intent.kind: e for e in at.journal.rows}
    server, address = rows[Kind.SERVER], rows[Kind.IPV4]
    assert server.intent.price is not None
    assert (server.intent.price.monthly, server.intent.price.tax) == (Decimal("3.99"), "net")
    assert (server.intent.type, server.intent.location) == ("cx23", "fsn1")
    assert server.ended_at is not None
    assert server.ended_at.timestamp() == at.cloud.now_s
    assert address.intent.parent == server.intent.name
    assert address.resource_id in {str(key) for key in at.cloud.world.addresses}


WRONG = b'{"name": "x", "server_type": "cx23", "image": "debian-12", "location": "fsn1", "ssh_keys": [7]}'
CHILD = """
    import asyncio, sys
    from pathlib import Path
    from pydantic import SecretStr
    from swarm.core.clock import SystemClock
    from swarm.farm.base import Ran, Site
    from swarm.farm.hetzner.config import HetznerConfig
    from swarm.farm.hetzner.driver import HetznerDriver
    from swarm.farm.journal import SqlJournal
    from swarm.store.database import Store
    from tests.farm.machines import FARM, OPERATOR, spec
    from tests.servers.hetzner import TOKEN

    url, folder, database = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    store = Store("sqlite:///" + database)
    site = Site(FARM, SqlJournal(store, SystemClock()), SystemClock(), folder)
    config = HetznerConfig(token=SecretStr(TOKEN), api_endpoint=url, ssh_from=(OPERATOR,), poll_s=0.01)
    driver = HetznerDriver(site, config)
    offers = asyncio.run(driver._cloud.offers())
    asyncio.run(driver._hosts._make("swarm-f1-host1", spec(), driver._hosts.ranked(offers)))
    store.close()
"""


@pytest.mark.parametrize("request_number", [8, 10, 12])
def test_a_killed_process_leaves_one_server_to_the_next(
    request_number: int, tmp_path: Path
) -> None:
    """SIGKILL, after the request was worked and before its answer arrived; the books are on a disk."""
    database = tmp_path / "farm.db"
    store = Store(f"sqlite:///{database}")
    upgrade(store)
    store.close()
    with HetznerServer() as cloud:
        children: list[subprocess.Popen[bytes]] = []

        def run() -> int:
            children.append(
                subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(CHILD), cloud.api, str(tmp_path),
                     str(database)], cwd=Path(__file__).parents[2],
                )
            )  # fmt: skip
            return children[-1].wait(60)

        cloud.life.on_death = lambda: os.kill(children[-1].pid, signal.SIGKILL)
        cloud.life.dies(request_number, is_worked=True)
        assert run() == -signal.SIGKILL
        cloud.life.revives()
        cloud.life.on_death = lambda: None
        assert run() == 0
        assert cloud.world.ever == ["swarm-f1-host1"]
        assert len(cloud.world.keys) == len(cloud.world.firewalls) == 1
        assert cloud.bill() == {"server": Decimal("0.0064"), "ipv4": Decimal("0.0008")}
