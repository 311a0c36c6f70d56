"""What is particular to Scaleway."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from swarm.farm.base import Kind, NoCapacity, PlaceRefused
from tests.farm.clouds import Place, place
from tests.farm.machines import SECRETS, spec
from tests.servers.scaleway.server import error as refusal


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    with place("scaleway", tmp_path) as made:
        yield made


async def test_a_server_knows_what_it_is_told_before_it_is_switched_on(at: Place) -> None:
    await at.driver().create(spec(), SECRETS)
    (server,) = at.servers()
    assert server.user_data_at_boot == server.user_data["cloud-init"]
    assert server.user_data_at_boot.startswith("#cloud-config\n")
    verbs = [
        call.path.rpartition("/")[2] for call in at.cloud.calls if call.method in ("PATCH", "POST")
    ]
    assert verbs.index("cloud-init") < verbs.index("action")


async def test_a_block_volume_is_tagged_and_goes_with_its_server(at: Place) -> None:
    await at.driver(types=("PLAY2-NANO",)).create(spec(), SECRETS)
    (volume,) = at.cloud.volumes.values()
    assert volume.type == "sbs_volume"
    assert {"managed-by=swarm", "farm=f1", "name=swarm-f1-host1-disk"} <= set(volume.tags)
    (row,) = [e for e in at.journal.rows if e.intent.kind is Kind.VOLUME]
    assert (row.resource_id, row.intent.size_gb) == (volume.id, Decimal(20))
    await at.driver().destroy("ada")
    assert at.leftovers() == []


async def test_a_server_that_finds_no_host_is_given_back_and_tried_in_the_next_zone(
    at: Place,
) -> None:
    at.cloud.no_start = {"fr-par-1"}
    await at.driver().create(spec(), SECRETS)
    (server,) = at.servers()
    assert server.zone == "nl-ams-1"
    assert {ip.zone for ip in at.cloud.ips.values()} == {"nl-ams-1"}
    assert at.journal.open == []
    await at.driver().destroy("ada")
    assert at.leftovers() == []


async def test_an_address_of_a_zone_that_has_no_server_is_not_kept(at: Place) -> None:
    for row in at.types().values():
        row.sold_out = {"fr-par-1", "nl-ams-1"}
    await at.driver().create(spec(), SECRETS)
    assert [ip.zone for ip in at.cloud.ips.values()] == ["pl-waw-2"]
    at.sells_out()
    with pytest.raises(NoCapacity):
        await at.driver(seats="one").create(spec("bob"), SECRETS)
    assert [ip.zone for ip in at.cloud.ips.values()] == ["pl-waw-2"]


async def test_of_two_servers_made_at_the_same_moment_the_older_stays(at: Place) -> None:
    at.cloud.life.dies(46, is_worked=True)
    await at.attempt()
    at.cloud.life.revives()
    (first,) = at.servers()
    listed = at.cloud.work
    blind = [2]

    def work(call: object) -> object:
        """Another run that looked a moment earlier sees no server yet."""
        path, method = getattr(call, "path", ""), getattr(call, "method", "")
        if method == "GET" and path.endswith("/fr-par-1/servers") and blind[0]:
            found = [s for s in at.cloud.servers.values() if s.id != first.id]
            blind[0] -= 1
            kept, at.cloud.servers = at.cloud.servers, {s.id: s for s in found}
            answer = listed(call)
            at.cloud.servers = kept
            return answer
        return listed(call)

    at.cloud.work = work
    await at.driver().create(spec(generation="g2"), SECRETS)
    assert [server.id for server in at.servers()] == [first.id]
    assert len(at.cloud.volumes) == len(at.cloud.ips) == 1


async def test_a_quota_and_missing_keys_are_sentences(at: Place) -> None:
    at.cloud.has_quota = False
    with pytest.raises(PlaceRefused, match="the project's quota is reached; ask Scaleway"):
        await at.driver().create(spec(), SECRETS)
    assert at.leftovers() == []
    with pytest.raises(PlaceRefused, match=r"farm\.scaleway\.access_key, \.secret_key"):
        await at.driver(secret_key=None).create(spec(), SECRETS)
    with pytest.raises(PlaceRefused) as caught:
        await at.driver(secret_key="hunter2").create(spec(), SECRETS)
    assert "hunter2" not in str(caught.value)
    denied = refusal(403, "permissions_denied", "insufficient permissions", details=[])
    at.cloud.fail("GET", ".*", answer=denied)
    with pytest.raises(PlaceRefused, match="InstancesFullAccess"):
        await at.driver().create(spec(), SECRETS)
