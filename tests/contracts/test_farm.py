"""What every farm driver does; each verb may be repeated.

Here it runs over the fake; `tests/image/test_farm_docker.py` runs the same over a real engine.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.farm.base import (
    Action,
    Driver,
    EntryState,
    Instance,
    InstanceSpec,
    InstanceState,
    Kind,
    Site,
    label_value,
)
from swarm.farm.fake import FakeDriver
from swarm.farm.fake_config import FakeConfig
from swarm.farm.journal import SqlJournal
from swarm.farm.registry import DRIVERS
from swarm.farm.steps import living
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import farm_instances, farm_journal, meta, metadata

CANARY = "canary-5d0e77"
SECRETS = {"ANTHROPIC_API_KEY": SecretStr(CANARY)}


@dataclass
class Ground:
    """A driver, its books, and what it runs."""

    driver: Driver
    site: Site
    image: str
    most_mib: int
    """More memory than this no size of the place has."""

    def spec(self, name: str = "ada", owner: str = "Ann Müller", **changes: object) -> InstanceSpec:
        made = InstanceSpec(name=name, owner=owner, image=self.image)
        return replace(made, **changes)  # type: ignore[arg-type]  # fields of the spec

    async def names(self) -> dict[str, InstanceState]:
        return {i.name: i.state for i in (await self.driver.list()).instances}

    async def alive(self) -> set[str]:
        """Return the ids of what the books say is there."""
        return {e.resource_id for e in living(await self.site.journal.entries())}

    async def there(self) -> set[str]:
        """Return the ids of what the place says is there."""
        return {r.id for r in (await self.driver.list()).resources}


def site_in(folder: Path) -> Site:
    """Return a site with books of its own."""
    store = Store(sqlite_url(folder / "farm.db"))
    metadata.create_all(store.engine, tables=[farm_instances, farm_journal, meta])
    clock = SystemClock()
    return Site(farm="ftest", journal=SqlJournal(store, clock), clock=clock, folder=folder)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    site = site_in(tmp_path)
    return Ground(FakeDriver(site, FakeConfig()), site, "swarm:1", 2048)


def holds(folder: Path, word: str) -> list[Path]:
    """Return the files below a folder in which a word stands."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if word.encode() in path.read_bytes()]


def test_every_driver_is_found_by_its_name() -> None:
    assert {"docker", "fake"} <= set(DRIVERS.names())
    assert DRIVERS.load("fake") is FakeDriver


async def test_an_instance_runs_once_it_is_created(ground: Ground) -> None:
    made = await ground.driver.create(ground.spec(), SECRETS)
    assert isinstance(made, Instance)
    assert (made.name, made.owner, made.state) == ("ada", "Ann Müller", InstanceState.RUNNING)
    assert made.image == ground.image
    assert not made.has_drifted
    assert await ground.names() == {"ada": InstanceState.RUNNING}
    assert await ground.driver.logs("ada")


async def test_creating_twice_makes_one_and_changes_nothing(ground: Ground) -> None:
    made = await ground.driver.create(ground.spec(), SECRETS)
    before = await ground.site.journal.entries()
    again = await ground.driver.create(ground.spec(memory_mib=600), SECRETS)
    assert {r.id for r in again.resources} == {r.id for r in made.resources}
    assert await ground.site.journal.entries() == before
    await ground.driver.stop("ada")
    assert (await ground.driver.create(ground.spec(), {})).state is InstanceState.STOPPED


async def test_everything_made_is_on_the_books_before_and_labelled(ground: Ground) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    entries = await ground.site.journal.entries()
    assert {e.state for e in entries} == {EntryState.DONE}
    assert {e.intent.action for e in entries} == {Action.CREATE}
    assert all(e.ended_at is not None for e in entries)
    assert await ground.alive() == await ground.there()
    for resource in (await ground.driver.list()).resources:
        assert (resource.instance, resource.generation) == ("ada", "g1")
        assert resource.owner == label_value("Ann Müller")


async def test_a_name_belongs_to_its_owner(ground: Ground) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    before = await ground.there()
    with pytest.raises(Conflict, match="Ann Müller"):
        await ground.driver.create(ground.spec(owner="Bob"), SECRETS)
    assert await ground.there() == before


async def test_stopping_and_starting_may_be_repeated_and_keep_the_data(ground: Ground) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    volumes = {r.id for r in (await ground.driver.list()).resources if r.kind is Kind.VOLUME}
    for _ in range(2):
        await ground.driver.stop("ada")
        assert await ground.names() == {"ada": InstanceState.STOPPED}
    for _ in range(2):
        await ground.driver.start("ada")
        assert await ground.names() == {"ada": InstanceState.RUNNING}
    assert volumes <= await ground.there()
    switched = [e.intent.action for e in await ground.site.journal.entries()][-2:]
    assert switched == [Action.STOP, Action.START]


async def test_a_verb_on_nothing_says_so_except_for_destroying_it(ground: Ground) -> None:
    for verb in (ground.driver.start, ground.driver.stop, ground.driver.logs):
        with pytest.raises(NotFound):
            await verb("ada")
    await ground.driver.destroy("ada")
    assert await ground.site.journal.entries() == []


async def test_what_is_destroyed_is_gone_with_its_data_and_its_name_is_free(ground: Ground) -> None:
    first = await ground.driver.create(ground.spec(), SECRETS)
    for _ in range(2):
        await ground.driver.destroy("ada")
    assert await ground.there() == await ground.alive() == set()
    again = await ground.driver.create(ground.spec(owner="Bob", generation="g2"), SECRETS)
    assert again.owner == "Bob"
    kinds = {r.kind for r in first.resources}
    assert {r.kind for r in again.resources} == kinds


async def test_several_instances_do_not_touch_each_other(ground: Ground) -> None:
    for name in ("bea", "ada"):
        await ground.driver.create(ground.spec(name, owner=name), SECRETS)
    await ground.driver.stop("bea")
    assert await ground.names() == {"ada": InstanceState.RUNNING, "bea": InstanceState.STOPPED}
    await ground.driver.destroy("bea")
    assert await ground.names() == {"ada": InstanceState.RUNNING}


async def test_ending_a_generation_leaves_another_as_it_is(ground: Ground) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    before = await ground.there()
    await ground.driver.destroy("ada", generation="g9")
    assert await ground.there() == before
    await ground.driver.destroy("ada", generation="g1")
    assert await ground.there() == set()


async def test_a_size_that_no_place_has_is_refused_and_nothing_is_made(ground: Ground) -> None:
    spec = ground.spec(memory_mib=ground.most_mib * 2)
    for verb in (ground.driver.price(spec), ground.driver.create(spec, SECRETS)):
        with pytest.raises(InvalidInput, match=str(spec.memory_mib)):
            await verb
    assert await ground.there() == set()
    assert await ground.alive() == set()


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "a--b", "é", "a/b", "a" * 31, "1a"])
async def test_a_name_that_fits_not_every_place_is_refused(ground: Ground, name: str) -> None:
    with pytest.raises(InvalidInput, match="small letters"):
        await ground.driver.create(ground.spec(name), SECRETS)
    assert await ground.site.journal.entries() == []


async def test_a_secret_is_nowhere_but_in_the_instance(ground: Ground, tmp_path: Path) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    shown = f"{await ground.driver.list()}{await ground.site.journal.entries()}"
    shown += await ground.driver.logs("ada")
    assert CANARY not in shown
    assert holds(tmp_path, CANARY) == []


async def test_only_the_last_lines_asked_for_are_shown(ground: Ground) -> None:
    await ground.driver.create(ground.spec(), SECRETS)
    assert len((await ground.driver.logs("ada", lines=1)).splitlines()) <= 2
    assert (await ground.driver.logs("ada", lines=0)).strip() == ""
