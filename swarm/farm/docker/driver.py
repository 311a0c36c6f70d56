"""Instances as containers of one Docker engine."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.money import CostStatus
from swarm.farm.base import (
    Action,
    Instance,
    InstanceSpec,
    Listing,
    NotHealthy,
    PlaceRefused,
    Price,
    Ran,
    Secrets,
    Site,
    check_name,
)
from swarm.farm.docker import health, looking, words
from swarm.farm.docker.archive import Archive
from swarm.farm.docker.client import DockerClient
from swarm.farm.docker.config import DockerConfig
from swarm.farm.docker.looking import Thing, look, seats
from swarm.farm.docker.making import Making
from swarm.farm.docker.upgrading import Upgrading
from swarm.farm.docker.words import HELPER, HOME, NETWORK, SEAT, SECRETS
from swarm.farm.specs import SPEC, read_spec

MIB = 1024**2
STOP_TIMEOUT_S = words.STOP_S + 40.0
_ENDED_IN = {SEAT: 0, HELPER: 1, NETWORK: 2, SECRETS: 3, HOME: 4}
"""A network or a volume cannot go before its container."""


class DockerDriver:
    """Give each instance a container, a network and two volumes of its own."""

    name = "docker"

    def __init__(
        self, site: Site, config: DockerConfig, *, client: DockerClient | None = None
    ) -> None:
        self._site = site
        self._config = config
        self._client = client or DockerClient(config)
        self._making = Making(site, config, self._client)
        self._archive = Archive(site, self._client)
        self._upgrading = Upgrading(site, self._client, self._making, self._archive)

    async def price(self, spec: InstanceSpec) -> Price:
        """Return the seat's part of the machine's price, by the processors and memory it may take.

        Raises:
            InvalidInput: The machine is not that large, or no instance is that small.
        """
        config = self._config
        cpus, memory_mib = await self._machine()
        if spec.memory_mib > memory_mib:
            raise InvalidInput(
                f"an instance of {spec.memory_mib} MiB does not fit: the machine has {memory_mib:.0f}"
            )
        if spec.cpus > cpus:
            raise InvalidInput(
                f"an instance of {spec.cpus} processors does not fit: the machine has {cpus}"
            )
        if config.price_month is None:
            return Price.unknown(
                "what this machine costs is not known: set hosting.price_month with hosting.provider "
                "own, or farm.docker.price_month",
                config.currency,
            )
        part = config.cpu_part * spec.cpus / cpus
        part += (1 - config.cpu_part) * spec.memory_mib / memory_mib
        return Price(
            hourly=None, monthly=config.price_month * min(part, Decimal(1)), currency=config.currency,
            tax=config.tax, status=CostStatus.PAID if config.is_paid else CostStatus.NOTIONAL,
            source="the machine's price in the settings, by the part of its processors and memory",
        )  # fmt: skip

    async def create(self, spec: InstanceSpec, secrets: Secrets) -> Instance:
        """Create and start it and wait until it is healthy; see `base.Driver.create`."""
        check_name(spec.name)
        words.check_secrets(secrets)
        self._making.check_port(spec)
        things = await look(self._client, self._site, spec.name)
        _refuse_others(spec, things)
        found = seats(things, spec.name)
        if found and not await self._making.is_open(spec.name, found[0].name):
            return await self._instance(spec.name)
        for stale in (seat for seat in found if seat.generation != spec.generation):
            await self._making.remove(stale)
        try:
            await self._make(spec, secrets)
        except (NotHealthy, InvalidInput, PlaceRefused, NotFound):
            if await look(self._client, self._site, spec.name):
                self._site.say("it did not work: taking back what was made")
            await self.destroy(spec.name, generation=spec.generation)
            raise
        return await self._instance(spec.name)

    async def _make(self, spec: InstanceSpec, secrets: Secrets) -> None:
        price = await self.price(spec)
        image = await self._making.image(spec.image)
        self._site.say("making its network and volumes")
        await self._making.furnish(spec, secrets, image)
        self._site.say("starting the container")
        names = sorted(secrets)
        made, entry = await self._making.start_seat(spec, names, image, price)
        self._site.say("waiting for its first sign of life")
        await health.until_well(
            self._client,
            self._site,
            made.id,
            image,
            within_s=spec.healthy_within_s,
            secrets=secrets,
        )
        await self._making.steps.close(entry, made)

    async def start(self, name: str) -> None:
        """Start it and wait until it is healthy. Raises NotFound, NotHealthy."""
        seat = await self._seat(name)
        if not seat.is_running:
            await self._upgrading.start(seat)
        else:
            await self._making.close_switch(seat, Action.START)

    async def stop(self, name: str) -> None:
        """Stop it, keeping its data. Raises NotFound."""
        await self._upgrading.stop(await self._seat(name))

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote, both streams. Raises NotFound."""
        seat = await self._seat(name)
        ran = await self._client.run("logs", "--tail", str(max(lines, 0)), seat.name)
        if ran.code != 0:
            raise NotFound(f"The engine has no log of {name}.")
        return "\n".join(filter(None, (ran.stdout.rstrip("\n"), ran.stderr.rstrip("\n"))))

    async def destroy(self, name: str, *, generation: str | None = None) -> None:
        """Remove it, its data and all with its label; an unknown name is destroyed already."""
        things = await look(self._client, self._site, name)
        mine = [thing for thing in things if generation in (None, thing.generation)]
        for thing in sorted(mine, key=lambda t: _ENDED_IN.get(t.part, len(_ENDED_IN))):
            await self._making.remove(thing)
        await self._making.steps.settle(self.name, name, generation=generation)

    async def run(self, name: str, words: Sequence[str]) -> Ran:
        """Run a command inside a running instance, as its user. Raises NotFound."""
        seat = await self._seat(name)
        if not seat.is_running:
            raise NotFound(f"{name} does not run: `swarm farm start {name}`.")
        return await self._client.run("exec", seat.name, *words)

    async def save(self, name: str, target: Path) -> None:
        """Write the instance's home as one archive, consistent while it runs. Raises NotFound."""
        await self._archive.save(await self._seat(name), target)

    async def load(self, name: str, source: Path) -> None:
        """Put an archive's content in place of the home of a stopped instance. Raises NotFound."""
        seat = await self._seat(name)
        if seat.is_running:
            raise Conflict(f"{name} runs: stop it first.")
        await self._archive.load(seat, source)

    async def upgrade(self, name: str, image: str, *, generation: str, within_s: float) -> Instance:
        """Run another image on the same home; the old one runs again where the new gets not well."""
        await self._upgrading.upgrade(name, image, generation=generation, within_s=within_s)
        return await self._instance(name)

    # Last, because inside this class the word means the method from here on.
    async def list(self) -> Listing:
        """Return all that carries this farm's label."""
        return await looking.listing(self._client, self._site)

    async def _machine(self) -> tuple[Decimal, Decimal]:
        """Return the processors and the memory (MiB) of the engine's machine."""
        config = self._config
        if config.cpus is not None and config.memory_gib is not None:
            return config.cpus, config.memory_gib * 1024
        info = looking.read_json(await self._client.do("info", "--format", "{{json .}}"))
        if not info.get("NCPU"):
            # Some clients print what the daemon said to the end and succeed.
            raise PlaceRefused(
                "Docker's daemon does not say how large its machine is: `docker info`."
            )
        cpus = config.cpus or Decimal(info["NCPU"])
        gib = config.memory_gib
        return cpus, Decimal(info["MemTotal"]) / MIB if gib is None else gib * 1024

    async def _seat(self, name: str) -> Thing:
        found = seats(await look(self._client, self._site, name), name)
        if not found:
            raise NotFound(f"There is no container of {name!r} in this farm.")
        return found[0]

    async def _instance(self, name: str) -> Instance:
        things = await look(self._client, self._site, name)
        found = seats(things, name)
        wanted = read_spec(found[0].labels[SPEC])[0].image if found else ""
        known = await self._client.inspect("image", wanted) if wanted else []
        images = {wanted: str(known[0]["Id"])} if known else {}
        return looking.described(things, name, images, await looking.unfinished(self._site))


def _refuse_others(spec: InstanceSpec, things: Sequence[Thing]) -> None:
    owners = {words.owner_of(thing.labels) for thing in things}
    if owners - {spec.owner}:
        raise Conflict(
            f"The name {spec.name!r} belongs to {', '.join(sorted(owners - {spec.owner}))}: choose another."
        )
