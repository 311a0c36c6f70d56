"""Let a farm's command be killed at one moment after the other, and do it again.

    python -m tests.farm.dying FOLDER '{"driver": "fake", "command": "up", "then": "up"}'

Moments are counted: each step of the journal and each call to the place, before and after it. For every
moment a child is killed there with SIGKILL, a second child runs the command again, and a third tells
what it finds, a JSON line each. Children are forked, because starting an interpreter takes longer than
all they do.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.core.ids import RandomIds
from swarm.farm.base import Driver, Entry, EntryState, InstanceSpec, Intent, Ran, Site
from swarm.farm.docker.client import DockerClient
from swarm.farm.docker.config import DockerConfig
from swarm.farm.docker.driver import DockerDriver
from swarm.farm.fake import FakeDriver, FakePlace
from swarm.farm.farm import Farm
from swarm.farm.journal import SqlJournal
from swarm.farm.reconcile import compare
from swarm.farm.records import Records
from swarm.farm.steps import living
from swarm.ledger.hosting.seats import events_of
from swarm.store.database import Store, sqlite_url
from swarm.store.tables import farm_instances, farm_journal, meta

MOST = 400
NAME = "ada"
FARM = "fdying"
KEPT = "kept.tar.gz"
SECRETS = {"ANTHROPIC_API_KEY": SecretStr("canary-77")}


@dataclass
class Plan:
    """What is tried."""

    driver: str = "fake"
    command: str = "up"
    then: str = "up"
    """What is run after the death."""
    image: str = "swarm:1"
    next_image: str = "swarm:2"
    config: dict[str, Any] | None = None
    every: int = 1
    """Only each so-many-th moment is tried."""


class Tripwire:
    """Kill this process at the n-th moment."""

    def __init__(self, at: int | None) -> None:
        self._left = at

    def step(self) -> None:
        """Pass one moment, or die."""
        if self._left is None:
            return
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


class WiredJournal(SqlJournal):
    """A journal whose steps are moments."""

    def __init__(self, store: Store, wire: Tripwire) -> None:
        super().__init__(store, SystemClock())
        self.wire = wire

    async def intend(self, intent: Intent) -> Entry:
        found = await super().intend(intent)
        self.wire.step()
        return found

    async def done(self, entry: Entry, **facts: Any) -> Entry:
        found = await super().done(entry, **facts)
        self.wire.step()
        return found

    async def undone(self, entry: Entry, *, why: str) -> Entry:
        found = await super().undone(entry, why=why)
        self.wire.step()
        return found


class WiredClient(DockerClient):
    """A client whose calls that change something are moments."""

    def __init__(self, config: DockerConfig, wire: Tripwire) -> None:
        super().__init__(config)
        self._wire = wire

    async def run(
        self, *words: str, stdin: bytes | None = None, stdout: IO[bytes] | None = None,
        source: IO[bytes] | None = None, timeout_s: float = 60,
    ) -> Ran:  # fmt: skip
        found = await super().run(
            *words, stdin=stdin, stdout=stdout, source=source, timeout_s=timeout_s
        )
        if words[0] not in ("ps", "logs", "info", "context", "exec") and words[1] not in (
            "inspect", "ls",
        ):  # fmt: skip
            self._wire.step()
        return found


def books(folder: Path) -> Store:
    """Open the books in a folder, made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(sqlite_url(folder / "farm.db"))
    tables = [farm_instances, farm_journal, meta]
    farm_journal.metadata.create_all(store.engine, tables=tables)
    return store


def farm_in(folder: Path, plan: Plan, wire: Tripwire, farm_id: str) -> tuple[Farm, Driver]:
    """Return the farm of a folder, with all its moments on a wire."""
    store = books(folder)
    site = Site(farm=farm_id, journal=WiredJournal(store, wire), clock=SystemClock(), folder=folder)
    driver: Driver
    if plan.driver == "docker":
        config = DockerConfig.model_validate(plan.config or {})
        driver = DockerDriver(site, config, client=WiredClient(config, wire))
    else:
        place = FakePlace(folder / "place")
        place.before = place.after = lambda verb: (
            wire.step() if verb not in ("list", "get") else None
        )
        driver = FakeDriver(site, place=place)
    records = Records(store, SystemClock(), RandomIds())
    return Farm(site=site, records=records, drivers=lambda _: driver), driver


async def command(name: str, plan: Plan, folder: Path, at: int | None, farm_id: str) -> None:
    """Run one command of the farm."""
    farm, _ = farm_in(folder, plan, Tripwire(at), farm_id)
    if name == "up":
        spec = InstanceSpec(name=NAME, owner="Ann", image=plan.image)
        await farm.up(spec, SECRETS, driver=plan.driver)
    elif name == "rm" and farm.records.find(NAME) is not None:
        await farm.remove(NAME, keeps_backup=False)
    elif name == "upgrade":
        await farm.upgrade(NAME, plan.next_image, within_s=60)
    elif name == "backup":
        await farm.backup(NAME, folder / KEPT)
    elif name == "restore":
        await farm.restore(NAME, folder / KEPT, identity=None)


async def told(plan: Plan, folder: Path, farm_id: str) -> dict[str, Any]:
    """Return what is there and what the books say."""
    farm, driver = farm_in(folder, plan, Tripwire(None), farm_id)
    listing, entries = await driver.list(), await farm.entries()
    findings = compare(listing, entries, farm.records.all(), provider=plan.driver)
    return {
        "instances": [(i.name, i.state.value, i.image) for i in listing.instances],
        "kinds": sorted(r.kind.value for r in listing.resources),
        "there": sorted(r.id for r in listing.resources),
        "alive": sorted(e.resource_id for e in living(entries)),
        "open": [e.intent.name for e in entries if e.state is EntryState.INTENDED],
        "records": [(r.name, r.state, r.pending) for r in farm.records.all()],
        "actions": sorted({e.intent.action.value for e in entries}),
        "findings": [(f.advice.value, f.name) for f in findings],
        # What is billed, and whether it goes on: of the same events comes the same bill.
        "billed": [f"{e['event']} {e['resource']}" for e in events_of(entries)],
    }


def forked(work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[int, Any]:
    """Run something in a child; return the signal that ended it, or 0, and what it gave."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            found = asyncio.run(_awaited(work()))
            os.write(writer, json.dumps(found).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001  # a child never comes back
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
    return code, json.loads(text) if text else None


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def tried(folder: Path, plan: Plan, at: int) -> dict[str, Any]:
    """Kill the command at one moment, run it again, and return what there is then."""
    place, farm_id = folder / str(at), f"{FARM}{at}"

    def run(name: str, until: int | None = None) -> int:
        return forked(lambda: command(name, plan, place, until, farm_id))[0]

    if plan.command != "up":
        assert run("up") == 0, "the start itself failed"
    if plan.command == "restore":
        assert run("backup") == 0, "the backup itself failed"
    ended, again = run(plan.command, at), run(plan.then)
    _, found = forked(lambda: told(plan, place, farm_id))
    if plan.driver == "docker":
        run("rm")
    return {"at": at, "signal": ended, "again": again, **(found or {})}


def main(folder: Path, plan: Plan) -> None:
    """Try every moment, until the command comes to its end alive."""
    for at in range(0, MOST, plan.every):
        line = tried(folder, plan, at)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if line["signal"] == 0:
            return
    raise AssertionError("it never came to its end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Plan(**json.loads(sys.argv[2])))
