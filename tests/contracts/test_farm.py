"""What every farm driver does; each verb may be repeated."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.money import Money
from swarm.farm.base import Driver, Instance, InstanceSpec, InstanceState
from swarm.farm.fake import FakeDriver
from swarm.farm.registry import DRIVERS

PRICES = {512: Money(Decimal("0.006"), "EUR"), 2048: Money(Decimal("0.02"), "EUR")}
MAKERS: dict[str, Callable[[], Driver]] = {"fake": lambda: FakeDriver(PRICES)}


def spec(name: str = "a", owner: str = "ann", memory_mib: int = 512) -> InstanceSpec:
    return InstanceSpec(name=name, owner=owner, image="swarm:1", memory_mib=memory_mib)


@pytest.fixture(params=sorted(MAKERS))
def driver(request: pytest.FixtureRequest) -> Driver:
    return MAKERS[request.param]()


def test_every_driver_of_the_room_is_held_to_this() -> None:
    assert sorted(MAKERS) == DRIVERS.names()
    assert DRIVERS.load("fake") is FakeDriver


async def test_an_instance_runs_once_it_is_created(driver: Driver) -> None:
    created = await driver.create(spec())
    assert created == Instance("a", "ann", InstanceState.RUNNING)
    assert await driver.list() == [created]
    assert "started swarm:1" in await driver.logs("a")


async def test_creating_twice_makes_one_and_changes_nothing(driver: Driver) -> None:
    await driver.create(spec())
    await driver.stop("a")
    again = await driver.create(spec(memory_mib=2048))
    assert again.state is InstanceState.STOPPED
    assert len(await driver.list()) == 1


async def test_a_name_belongs_to_its_owner(driver: Driver) -> None:
    await driver.create(spec(owner="ann"))
    with pytest.raises(Conflict):
        await driver.create(spec(owner="bob"))
    assert [instance.owner for instance in await driver.list()] == ["ann"]


async def test_stopping_and_starting_may_be_repeated_and_keep_the_data(driver: Driver) -> None:
    await driver.create(spec())
    before = await driver.logs("a")
    for _ in range(2):
        await driver.stop("a")
        assert [i.state for i in await driver.list()] == [InstanceState.STOPPED]
    for _ in range(2):
        await driver.start("a")
        assert [i.state for i in await driver.list()] == [InstanceState.RUNNING]
    assert (await driver.logs("a")).startswith(before)


async def test_a_verb_on_nothing_says_so_except_for_destroying_it(driver: Driver) -> None:
    for verb in (driver.start, driver.stop, driver.logs):
        with pytest.raises(NotFound):
            await verb("a")
    await driver.destroy("a")


async def test_what_is_destroyed_is_gone_with_its_data_and_its_name_is_free(
    driver: Driver,
) -> None:
    await driver.create(spec(owner="ann"))
    await driver.stop("a")
    for _ in range(2):
        await driver.destroy("a")
    assert await driver.list() == []
    await driver.create(spec(owner="bob"))
    assert "stopped" not in await driver.logs("a")


async def test_several_instances_do_not_touch_each_other(driver: Driver) -> None:
    for name in ("b", "a"):
        await driver.create(spec(name))
    await driver.stop("b")
    states = {instance.name: instance.state for instance in await driver.list()}
    assert states == {"a": InstanceState.RUNNING, "b": InstanceState.STOPPED}


async def test_the_price_is_that_of_the_smallest_size_that_fits(driver: Driver) -> None:
    assert await driver.price(spec(memory_mib=512)) == PRICES[512]
    assert await driver.price(spec(memory_mib=513)) == PRICES[2048]
    with pytest.raises(InvalidInput, match="2048"):
        await driver.price(spec(memory_mib=4096))
    with pytest.raises(InvalidInput):
        await driver.create(spec(memory_mib=4096))
    assert await driver.list() == []


async def test_only_the_last_lines_asked_for_are_shown() -> None:
    driver = FakeDriver(PRICES)
    await driver.create(spec())
    for number in range(5):
        driver.write("a", str(number))
    assert await driver.logs("a", lines=2) == "3\n4"
    assert await driver.logs("a", lines=0) == ""
