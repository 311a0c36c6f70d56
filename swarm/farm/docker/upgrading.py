"""Start and stop seats, and put one seat in another's place."""

from dataclasses import replace

from swarm.core.errors import InvalidInput, NotFound
from swarm.farm.base import Action, NotHealthy, PlaceRefused, Price, Site
from swarm.farm.docker import health, words
from swarm.farm.docker.archive import Archive
from swarm.farm.docker.client import DockerClient
from swarm.farm.docker.looking import Thing, look, moment, seats
from swarm.farm.docker.making import PROVIDER, Making
from swarm.farm.docker.words import Image
from swarm.farm.specs import SPEC, read_spec
from swarm.farm.steps import Made, living

STOP_TIMEOUT_S = words.STOP_S + 40.0
GLANCE_S = 3.0
"""How long a seat on trial that a dead run left may take to show that it is well."""


class Upgrading:
    """Run another image on the same home, so that a death at any moment leaves one seat in office."""

    def __init__(self, site: Site, client: DockerClient, making: Making, archive: Archive) -> None:
        self._site = site
        self._client = client
        self._making = making
        self._archive = archive

    async def start(self, seat: Thing) -> None:
        """Start a seat and wait until it is well. Raises NotHealthy."""
        spec, _ = read_spec(seat.labels[SPEC])
        image = await self._image_of(seat)
        await self._making.switch(seat, Action.START, lambda: self._client.do("start", seat.name))
        await health.until_well(
            self._client, self._site, seat.name, image, within_s=spec.healthy_within_s, secrets={}
        )

    async def stop(self, seat: Thing) -> None:
        """Stop a seat; one that does not run stays as it is."""
        # One that ends again and again is between two starts now and then.
        if seat.is_running or seat.state.get("Status") == "restarting":
            await self._making.switch(
                seat, Action.STOP,
                lambda: self._client.do("stop", seat.name, timeout_s=STOP_TIMEOUT_S),
            )  # fmt: skip
        else:
            await self._making.close_switch(seat, Action.STOP)

    async def upgrade(self, name: str, image: str, *, generation: str, within_s: float) -> None:
        """Run another image on the same home; the old one runs again where the new gets not well.

        Raises:
            NotHealthy: The old one runs.
        """
        old = await self.recover(name)
        wanted = await self._making.image(image)
        spec, secret_names = read_spec(old.labels[SPEC])
        if str(old.raw["Image"]) == wanted.id and spec.image == image:
            return await self.start(old) if not old.is_running else None
        spec = replace(spec, image=image, generation=generation, healthy_within_s=within_s)
        self._site.say("making the new container beside the old one")
        made, _ = await self._making.seat(
            spec, secret_names, wanted, await self._price_of(old), replaces=old.generation
        )
        self._site.say("stopping the old one")
        await self.stop(old)
        await self._archive.keep(old)
        try:
            self._site.say("starting the new one, and waiting for its first sign of life")
            await self._client.do("start", made.id)
            await health.until_well(
                self._client, self._site, made.id, wanted, within_s=within_s, secrets={}
            )
        except (NotHealthy, InvalidInput, PlaceRefused, NotFound) as error:
            self._site.say("it does not get well: going back to the old one")
            await self._go_back(name)
            text = f"{error} The old image runs again, with all it had."
            raise NotHealthy(text, lines=getattr(error, "lines", "")) from error
        await self._settle(name)

    async def recover(self, name: str) -> Thing:
        """Return the seat in office, once an upgrade that a dead run left is finished or undone.

        Raises:
            NotFound: There is none.
        """
        found = await self._seats(name)
        for trial in found[1:]:
            self._site.say("an earlier upgrade did not end: looking at what it left")
            if await self._is_well(trial):
                await self._settle(name)
            else:
                await self._go_back(name)
            break
        else:
            await self._close(found[0])
        return (await self._seats(name))[0]

    async def _settle(self, name: str) -> None:
        """Let the newest seat take office: the old one ends."""
        found = await self._seats(name)
        for old in found[:-1]:
            await self._making.remove(old)
        await self._close(found[-1])

    async def _close(self, seat: Thing) -> None:
        """Note on the books that a seat is in office, and drop what was kept for going back."""
        if not seat.labels.get(words.REPLACES):
            return
        for entry in await self._site.journal.entries(
            provider=PROVIDER, instance=seat.instance, only_open=True
        ):
            if entry.intent.name == seat.name and entry.intent.action is Action.CREATE:
                await self._archive.forget(seat)
                made = Made(seat.id, moment(seat.state.get("StartedAt")) or seat.created_at)
                await self._making.steps.close(entry, made)

    async def _go_back(self, name: str) -> None:
        """Let the old seat serve again, on the books it had if the new one changed their form."""
        old, *trials = await self._seats(name)
        for trial in trials:
            await self._making.remove(trial)
            await self._making.steps.settle(PROVIDER, name, generation=trial.generation)
        await self._archive.put_back(old)
        fresh = (await self._seats(name))[0]
        if not fresh.is_running:
            await self.start(fresh)

    async def _price_of(self, seat: Thing) -> Price | None:
        entries = await self._site.journal.entries(provider=PROVIDER, instance=seat.instance)
        prices = [e.intent.price for e in living(entries) if e.intent.name == seat.name]
        return prices[-1] if prices else None

    async def _is_well(self, trial: Thing) -> bool:
        if not trial.is_running:
            return False
        try:
            await health.until_well(
                self._client, self._site, trial.name, await self._image_of(trial),
                within_s=GLANCE_S, secrets={},
            )  # fmt: skip
        except NotHealthy:
            return False
        return True

    async def _seats(self, name: str) -> list[Thing]:
        found = seats(await look(self._client, self._site, name), name)
        if not found:
            raise NotFound(f"There is no container of {name!r} in this farm.")
        return found

    async def _image_of(self, seat: Thing) -> Image:
        found = await self._client.inspect("image", str(seat.raw["Image"]))
        if not found:
            raise NotFound(f"The image of {seat.name} is gone from the engine.")
        return words.read_image(str(seat.raw["Image"]), found[0])
