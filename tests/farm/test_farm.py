"""What the farm itself keeps, whatever the place: locks, deaths of the place, generations."""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.core.errors import Conflict, InvalidInput
from swarm.core.ids import RandomIds
from swarm.farm.base import EntryState, InstanceSpec, InstanceState, NoPlace, NotHealthy
from swarm.farm.fake import FakeDriver, FakePlace
from swarm.farm.farm import Farm
from swarm.farm.records import Records
from swarm.store.database import Store, sqlite_url
from tests.contracts.test_farm import SECRETS, site_in

SPEC = InstanceSpec("ada", "Ann", "swarm:1")


@dataclass
class Ground:
    """A farm, its place and its driver."""

    farm: Farm
    place: FakePlace
    driver: FakeDriver


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    site, place = site_in(tmp_path), FakePlace()
    driver = FakeDriver(site, place=place)
    store = Store(sqlite_url(tmp_path / "farm.db"))
    records = Records(store, SystemClock(), RandomIds())
    yield Ground(Farm(site=site, records=records, drivers=lambda _: driver), place, driver)
    store.close()


async def test_two_commands_on_one_instance_are_one_too_many(ground: Ground) -> None:
    await ground.farm.up(SPEC, SECRETS, driver="fake")
    with (ground.farm.site.folder / "locks" / "ada").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for work in (ground.farm.stop("ada"), ground.farm.up(SPEC, SECRETS, driver="fake")):
            with pytest.raises(Conflict, match="Another command works on 'ada'"):
                await work
    assert (await ground.farm.stop("ada")).state is InstanceState.STOPPED


async def test_what_gets_not_well_is_gone_with_its_name(ground: Ground) -> None:
    ground.place.fail("power_on", NotHealthy("It did not get well."))
    with pytest.raises(NotHealthy):
        await ground.farm.up(SPEC, SECRETS, driver="fake")
    assert ground.place.things() == {}
    assert ground.farm.records.all() == []
    assert not await ground.farm.site.journal.entries(only_open=True)
    assert (await ground.farm.up(SPEC, SECRETS, driver="fake")).is_new


async def test_a_call_whose_answer_was_lost_is_not_made_again(ground: Ground) -> None:
    for is_done in (True, False):
        ground.place.fail("create", NoPlace("unreachable"), is_done=is_done)
        with pytest.raises(NoPlace):
            await ground.farm.up(SPEC, SECRETS, driver="fake")
        (record,) = ground.farm.records.all()
        assert record.state == "coming"
    with pytest.raises(InvalidInput, match=r"give its secrets again.*ANTHROPIC_API_KEY"):
        await ground.farm.up(SPEC, {}, driver="fake")
    started = await ground.farm.up(SPEC, SECRETS, driver="fake")
    assert len(started.instance.resources) == len(ground.place.things()) == 3
    states = {e.state for e in await ground.farm.entries()}
    assert EntryState.INTENDED not in states


async def test_a_secret_given_again_may_be_another(ground: Ground) -> None:
    ground.place.fail("create", NoPlace("unreachable"))
    with pytest.raises(NoPlace):
        await ground.farm.up(SPEC, SECRETS, driver="fake")
    both = {**SECRETS, "SWARM_TELEGRAM__TOKEN": SecretStr("1:x")}
    started = await ground.farm.up(SPEC, both, driver="fake")
    assert started.record.secrets == ("ANTHROPIC_API_KEY", "SWARM_TELEGRAM__TOKEN")


async def test_a_removal_that_cannot_end_is_said_and_goes_on_later(ground: Ground) -> None:
    await ground.farm.up(SPEC, SECRETS, driver="fake")
    ground.place.fail("delete", NoPlace("unreachable"))
    with pytest.raises(NoPlace):
        await ground.farm.remove("ada")
    with pytest.raises(Conflict, match="is being removed"):
        await ground.farm.up(SPEC, SECRETS, driver="fake")
    await ground.farm.remove("ada")
    assert ground.place.things() == {}
    assert ground.farm.records.all() == []


async def test_a_place_that_cannot_be_asked_hides_no_instance(ground: Ground) -> None:
    await ground.farm.up(SPEC, SECRETS, driver="fake")
    ground.place.fail("list", NoPlace("The place is away."))
    (seen,) = await ground.farm.seen()
    assert seen.record is not None
    assert (seen.instance, seen.problem) == (None, "The place is away.")
