"""A farm that costs nothing: a place in memory, or in a folder that outlives the process.

The driver keeps the room's rules like any other: journal first, labels, generations. What goes wrong
is scripted: `FakePlace.fail` lets coming calls fail, before or after they took effect. So is what runs
inside an instance: `FakePlace.inside`, or the file `answers.json` in the place's folder.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from swarm.core.clock import iso, parse_iso
from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.money import CostStatus
from swarm.farm.base import (
    FARM,
    GENERATION,
    INSTANCE,
    OWNER,
    Action,
    Instance,
    InstanceSpec,
    InstanceState,
    Intent,
    Kind,
    Listing,
    NotHealthy,
    PlaceError,
    Price,
    Ran,
    Resource,
    Secrets,
    Site,
    check_name,
    labels_of,
)
from swarm.farm.fake_config import FakeConfig
from swarm.farm.steps import Made, Steps

SERVER, VOLUME, ADDRESS = "server", "volume", "ipv4"


@dataclass(slots=True)
class Thing:
    """One thing that the place has."""

    id: str
    kind: str
    name: str
    labels: dict[str, str]
    made_at: str
    is_running: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


class FakePlace:
    """A provider that never loses a thing, and whose calls can be made to fail."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` keeps the things on disk, so that a process that is killed leaves them."""
        self._folder = folder
        self._memory: dict[str, Thing] = {}
        self._faults: list[tuple[str, Exception, bool]] = []
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.inside: Callable[[str, Sequence[str]], Ran] = self._scripted
        """Do a command inside an instance, by the instance's name and the command's words."""

    def fail(self, verb: str, error: Exception, *, is_done: bool = False) -> None:
        """Let the next call of a verb fail; with `is_done`, after it took effect."""
        self._faults.append((verb, error, is_done))

    def _scripted(self, name: str, words: Sequence[str]) -> Ran:
        """Return what the file says for a command's first two words."""
        path = None if self._folder is None else self._folder / "answers.json"
        told = json.loads(path.read_text()) if path is not None and path.exists() else {}
        answer = told.get(name, {}).get(" ".join(words[:2]))
        if answer is None:
            return Ran(127, "", "nothing runs inside a fake instance but what is scripted")
        return Ran(answer.get("code", 0), answer.get("stdout", ""), answer.get("stderr", ""))

    def things(self) -> dict[str, Thing]:
        """Return all things by name."""
        if self._folder is None:
            return self._memory
        path = self._folder / "things.json"
        if not path.exists():
            return {}
        return {name: Thing(**value) for name, value in json.loads(path.read_text()).items()}

    def call(self, verb: str, change: Callable[[dict[str, Thing]], None]) -> None:
        """Do one call of the place's interface."""
        self.before(verb)
        fault = next((f for f in self._faults if f[0] == verb), None)
        if fault is not None:
            self._faults.remove(fault)
        if fault is None or fault[2]:
            things = self.things()
            change(things)
            self._keep(things)
        if fault is not None:
            raise fault[1]
        self.after(verb)

    def _keep(self, things: dict[str, Thing]) -> None:
        if self._folder is None:
            self._memory = things
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / "things.part"
        part.write_text(json.dumps({name: asdict(thing) for name, thing in things.items()}))
        part.replace(self._folder / "things.json")


class FakeDriver:
    """Do what a driver does, on a fake place: a server, a volume and an address per instance."""

    name = "fake"

    def __init__(
        self, site: Site, config: FakeConfig | None = None, *, place: FakePlace | None = None
    ) -> None:
        self._site = site
        self._config = config or FakeConfig()
        self.place = place or FakePlace(self._config.folder)
        self._steps = Steps(site.journal)

    async def price(self, spec: InstanceSpec) -> Price:
        """Return the price of the smallest size that holds the instance.

        Raises:
            InvalidInput: No size is large enough.
        """
        fitting = [size for size in self._config.hourly if size >= spec.memory_mib]
        if not fitting:
            largest = max(self._config.hourly, default=0)
            raise InvalidInput(
                f"no size with {spec.memory_mib} MiB of memory; the largest has {largest}"
            )
        return Price(
            self._config.hourly[min(fitting)], None, self._config.currency, source="fake",
            status=CostStatus.PAID,
        )  # fmt: skip

    async def create(self, spec: InstanceSpec, secrets: Secrets) -> Instance:
        """Create and start it; see `base.Driver.create`."""
        check_name(spec.name)
        mine = self._of(spec.name)
        if others := {thing.facts["owner"] for thing in mine} - {spec.owner}:
            raise Conflict(f"The name {spec.name!r} belongs to {others.pop()}: choose another.")
        if any(t.kind == SERVER for t in mine) and not await self._is_open(spec.name):
            return self._instance(spec.name)
        price = await self.price(spec)
        try:
            for kind in (VOLUME, ADDRESS):
                await self._steps.ensure(
                    self._intent(spec, kind, None),
                    find=lambda kind=kind: self._found(spec, kind),  # type: ignore[misc]  # bound now
                    make=lambda kind=kind: self._make(spec, kind, secrets),  # type: ignore[misc]  # bound now
                )
            made, entry = await self._steps.create(
                self._intent(spec, SERVER, price),
                find=lambda: self._found(spec, SERVER),
                make=lambda: self._make(spec, SERVER, secrets),
            )
            self.place.call(
                "power_on", lambda things: _turn(things[_name(spec.name, SERVER)], True)
            )
            await self._steps.close(entry, made)
        except (NotHealthy, InvalidInput):
            await self.destroy(spec.name, generation=spec.generation)
            raise
        return self._instance(spec.name)

    async def start(self, name: str) -> None:
        """Start it. Raises NotFound."""
        await self._switch(name, Action.START, is_on=True)

    async def stop(self, name: str) -> None:
        """Stop it, keeping its lines. Raises NotFound."""
        await self._switch(name, Action.STOP, is_on=False)

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote. Raises NotFound."""
        return "\n".join(self._server(name).lines[-lines:] if lines > 0 else [])

    async def run(self, name: str, words: Sequence[str]) -> Ran:
        """Run a command inside a running instance, as it is scripted. Raises NotFound."""
        if not self._server(name).is_running:
            raise NotFound(f"{name} does not run: `swarm farm start {name}`.")
        return self.place.inside(name, words)

    async def destroy(self, name: str, *, generation: str | None = None) -> None:
        """Remove it and its data; an unknown name is already destroyed."""
        for thing in self._of(name):
            if generation not in (None, thing.labels[GENERATION]):
                continue

            async def remove(thing: Thing = thing) -> None:
                self.place.call("delete", lambda things: _drop(things, thing.name))

            await self._steps.switch(_intent_of(thing, Action.DELETE), thing.id, remove)
        await self._steps.settle(self.name, name, generation=generation)

    def write(self, name: str, line: str) -> None:
        """Let an instance write a line to its log. Raises NotFound."""
        key = self._server(name).name
        self.place.call("write", lambda things: things[key].lines.append(line))

    # Last, because inside this class the word means the method from here on.
    async def list(self) -> Listing:
        """Return all that carries this farm's label."""
        self.place.call("list", lambda _: None)
        things = [t for t in self.place.things().values() if t.labels[FARM] == self._site.farm]
        names = sorted({t.labels[INSTANCE] for t in things})
        return Listing(
            tuple(self._instance(name) for name in names), tuple(self._resource(t) for t in things)
        )

    def _of(self, name: str) -> "tuple[Thing, ...]":
        self.place.call("list", lambda _: None)
        return tuple(
            thing
            for thing in self.place.things().values()
            if thing.labels[INSTANCE] == name and thing.labels[FARM] == self._site.farm
        )

    def _server(self, name: str) -> Thing:
        for thing in self._of(name):
            if thing.kind == SERVER:
                return thing
        raise NotFound(f"no instance {name!r} in this farm")

    async def _is_open(self, name: str) -> bool:
        entries = await self._site.journal.entries(
            provider=self.name, instance=name, only_open=True
        )
        return any(e.intent.action in (Action.CREATE, Action.ADOPT) for e in entries)

    async def _found(self, spec: InstanceSpec, kind: str) -> Made | None:
        self.place.call("get", lambda _: None)
        thing = self.place.things().get(_name(spec.name, kind))
        return None if thing is None else Made(thing.id, parse_iso(thing.made_at))

    async def _make(self, spec: InstanceSpec, kind: str, secrets: Secrets) -> Made:
        name = _name(spec.name, kind)
        marked = labels_of(
            self._site, instance=spec.name, generation=spec.generation, owner=spec.owner
        )
        made = Thing(
            f"id-{name}-{spec.generation}", kind, name, marked, iso(self._site.clock.now()),
            facts={
                "owner": spec.owner, "image": spec.image, "generation": spec.generation,
                "secrets": ",".join(sorted(secrets)), "memory_mib": str(spec.memory_mib),
            },
        )  # fmt: skip
        self.place.call("create", lambda things: _add(things, made))
        return Made(made.id, parse_iso(made.made_at))

    async def _switch(self, name: str, action: Action, *, is_on: bool) -> None:
        server = self._server(name)
        if server.is_running is is_on:
            return  # Said again, a verb changes nothing, not even the log.

        async def call() -> None:
            self.place.call(
                "power_on" if is_on else "power_off", lambda t: _turn(t[server.name], is_on)
            )

        await self._steps.switch(_intent_of(server, action), server.id, call)

    def _instance(self, name: str) -> Instance:
        mine = [t for t in self.place.things().values() if t.labels[INSTANCE] == name]
        server = next((t for t in mine if t.kind == SERVER), None)
        inside = tuple(self._resource(t) for t in mine)
        if server is None:
            facts = mine[0].facts
            return Instance(
                name, facts["owner"], InstanceState.BROKEN, facts["generation"], facts["image"],
                resources=inside, detail="its server is missing",
            )  # fmt: skip
        state = InstanceState.RUNNING if server.is_running else InstanceState.STOPPED
        return Instance(
            name, server.facts["owner"], state, server.labels[GENERATION], server.facts["image"],
            image_id=server.facts["image"], image_now=server.facts["image"], host=server.name,
            since=parse_iso(server.made_at), resources=inside,
        )  # fmt: skip

    def _resource(self, thing: Thing) -> Resource:
        return Resource(
            kind=Kind(thing.kind), id=thing.id, name=thing.name, instance=thing.labels[INSTANCE],
            generation=thing.labels[GENERATION], owner=thing.labels[OWNER],
            created_at=parse_iso(thing.made_at),
            is_running=thing.is_running if thing.kind == SERVER else None,
            price=self._listed(thing),
        )  # fmt: skip

    def _listed(self, thing: Thing) -> Price | None:
        if thing.kind != SERVER:
            return None
        size = min(s for s in self._config.hourly if s >= int(thing.facts["memory_mib"]))
        return Price(self._config.hourly[size], None, self._config.currency, source="fake")

    def _intent(self, spec: InstanceSpec, kind: str, price: Price | None) -> Intent:
        return Intent(
            instance=spec.name, owner=spec.owner, generation=spec.generation, provider=self.name,
            action=Action.CREATE, kind=Kind(kind), name=_name(spec.name, kind), price=price,
            cpus=spec.cpus, memory_mib=spec.memory_mib,
        )  # fmt: skip


def _name(instance: str, kind: str) -> str:
    return f"{instance}-{kind}"


def _intent_of(thing: Thing, action: Action) -> Intent:
    return Intent(
        instance=thing.labels[INSTANCE], owner=thing.facts["owner"],
        generation=thing.labels[GENERATION], provider=FakeDriver.name, action=action,
        kind=Kind(thing.kind), name=thing.name,
    )  # fmt: skip


def _add(things: dict[str, Thing], thing: Thing) -> None:
    if thing.name in things:
        raise PlaceError(f"There is a {thing.kind} {thing.name} already.")
    things[thing.name] = thing


def _drop(things: dict[str, Thing], name: str) -> None:
    things.pop(name, None)


def _turn(thing: Thing, is_on: bool) -> None:
    if thing.is_running is not is_on:
        thing.is_running = is_on
        thing.lines.append(f"{'started' if is_on else 'stopped'} {thing.facts['image']}")
