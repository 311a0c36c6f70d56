"""Who listens to a platform: leases in the database."""

from pathlib import Path

from swarm.app import App
from swarm.runtime.station import DatabaseStation
from swarm.settings import load


async def test_what_a_killed_worker_of_a_home_held_its_heir_holds_at_once(tmp_path: Path) -> None:
    environment = {"SWARM_HOME": str(tmp_path / "home"), "SWARM_TELEGRAM__TOKEN": f"1:{'A' * 35}"}
    first, second = App(load(environment)), App(load(environment))
    first.initialise()
    killed = first.channel("telegram")._station  # type: ignore[attr-defined]
    heir = second.channel("telegram")._station  # type: ignore[attr-defined]
    assert await killed.hold("telegram:1", seconds=60)
    assert await heir.hold("telegram:1", seconds=60)
    stranger = DatabaseStation(store=first.store, clock=first.clock)
    assert not await stranger.hold("telegram:1", seconds=60)
    first.close()
    second.close()
