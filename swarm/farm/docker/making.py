"""Make and end the parts of an instance, each with its row in the journal."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.farm.base import (
    FARM,
    INSTANCE,
    MANAGED_BY,
    SWARM,
    Action,
    Entry,
    EntryState,
    InstanceSpec,
    Intent,
    Kind,
    PlaceRefused,
    Price,
    Secrets,
    Site,
)
from swarm.farm.docker import health, words
from swarm.farm.docker.client import DockerClient, TakenError
from swarm.farm.docker.config import DockerConfig
from swarm.farm.docker.looking import Thing, moment
from swarm.farm.docker.words import HOME, NETWORK, SECRETS, SECRETS_FOLDER, Image, Names
from swarm.farm.steps import Made, Steps

PULL_S = 900.0
MOST_PORTS = 3
PROVIDER = "docker"
_LAST_PORT = 65535


class Making:
    """Turn a spec into a network, two volumes and a container."""

    def __init__(self, site: Site, config: DockerConfig, client: DockerClient) -> None:
        self._site = site
        self._config = config
        self._client = client
        self.steps = Steps(site.journal)

    async def image(self, name: str) -> Image:
        """Return an image by its name, fetched where the engine lacks it.

        Raises:
            InvalidInput: It is not fit for an instance.
            NotFound: It is nowhere to be had.
        """
        words.check_image(name)
        found = await self._client.inspect("image", name)
        if not found:
            self._site.say(f"fetching the image {name}")
            try:
                await self._client.do("pull", "--quiet", name, timeout_s=PULL_S)
            except (NotFound, PlaceRefused) as error:
                raise NotFound(_no_image(name)) from error
            found = await self._client.inspect("image", name)
            if not found:
                raise NotFound(_no_image(name))
        return words.read_image(name, found[0])

    async def furnish(self, spec: InstanceSpec, secrets: Secrets, image: Image) -> None:
        """Make the network and the volumes where they are missing, and write the secrets."""
        names = Names(self._site.farm, spec.name)
        await self.steps.ensure(
            self._intent(spec, Kind.NETWORK, names.stem),
            find=lambda: self._found("network", names.stem, spec.name),
            make=lambda: self._made("network", spec, NETWORK, names.stem),
        )
        await self.steps.ensure(
            self._intent(spec, Kind.VOLUME, names.home),
            find=lambda: self._found("volume", names.home, spec.name),
            make=lambda: self._made("volume", spec, HOME, names.home),
        )
        made, entry = await self.steps.create(
            self._intent(spec, Kind.SECRET, names.secrets),
            find=lambda: self._found("volume", names.secrets, spec.name),
            make=lambda: self._made("volume", spec, SECRETS, names.secrets),
        )
        if secrets:
            await self.write_secrets(spec, secrets, image)
        await self.steps.close(entry, made)

    async def write_secrets(self, spec: InstanceSpec, secrets: Secrets, image: Image) -> None:
        """Put secrets into their volume: through a pipe, into a container that never runs."""
        names = Names(self._site.farm, spec.name)
        await self._client.run("rm", "--force", "--volumes", names.helper)
        mount = f"type=volume,source={names.secrets},target={SECRETS_FOLDER}"
        await self._client.do(
            *words.helper_words(self._site, spec, verb="create"), "--mount", mount, image.id
        )
        try:
            archive = words.secrets_archive(secrets, image)
            await self._client.do("cp", "-", f"{names.helper}:{SECRETS_FOLDER}", stdin=archive)
        finally:
            await self._client.run("rm", "--force", "--volumes", names.helper)

    async def seat(
        self, spec: InstanceSpec, names_of_secrets: list[str], image: Image, price: Price | None, *,
        replaces: str = "",
    ) -> tuple[Made, Entry | None]:  # fmt: skip
        """Make the container where it is missing, and return it with its open entry."""
        name = Names(self._site.farm, spec.name).seat(spec.generation)
        intent = replace(self._intent(spec, Kind.CONTAINER, name), price=price)

        async def make() -> Made:
            # One that takes another's place takes its port too, once that one has stopped.
            chosen = spec if replaces else self._with_port(spec)
            said = words.seat_words(
                self._site, chosen, image, names_of_secrets,
                publish=self._config.publish, replaces=replaces,
            )  # fmt: skip
            await self._client.do(*said)
            made = await self._found("container", name, spec.name)
            if made is None:
                raise NotFound(f"The container {name} was made and is gone.")
            return made

        return await self.steps.create(
            intent, find=lambda: self._found("container", name, spec.name), make=make
        )

    async def start_seat(
        self, spec: InstanceSpec, names_of_secrets: list[str], image: Image, price: Price | None
    ) -> tuple[Made, Entry | None]:
        """Make the container and start it; where its port was taken meanwhile, with another one."""
        name = Names(self._site.farm, spec.name).seat(spec.generation)
        for left in reversed(range(MOST_PORTS)):
            made, entry = await self.seat(spec, names_of_secrets, image, price)
            try:
                await self._client.do("start", name)
            except TakenError:
                if spec.port is not None or self._config.publish is None or not left:
                    raise
                await self._client.do("rm", "--force", name)
            else:
                return made, entry
        raise AssertionError("the last try returns or raises")

    async def remove(self, thing: Thing) -> None:
        """End a thing; one that is gone already is ended."""
        verbs = {Kind.CONTAINER: ("rm", "--force"), Kind.NETWORK: ("network", "rm")}
        verb = verbs.get(thing.kind, ("volume", "rm"))

        async def call() -> None:
            try:
                await self._client.do(*verb, thing.name)
            except NotFound:
                return

        if thing.part == words.HELPER:
            return await call()
        if (opened := await self._opened(thing.instance, thing.name)) is not None:
            if not thing.was_started:
                # It never ran, so nothing of it is billed: neither its making nor its end.
                await call()
                await self._site.journal.undone(opened, why="taken back before it ran")
                return None
            # An end without a beginning would be no bill.
            began_at = moment(thing.state.get("StartedAt"))
            await self._site.journal.done(opened, resource_id=thing.id, at=began_at)
        return await self.steps.switch(self._intent_of(thing, Action.DELETE), thing.id, call)

    async def switch(
        self, seat: Thing, action: Action, call: Callable[[], Awaitable[object]]
    ) -> None:
        """Start or stop a seat."""
        await self.steps.switch(self._intent_of(seat, action), seat.id, call)

    async def close_switch(self, seat: Thing, action: Action) -> None:
        """Note on the books that a seat is as it was to be, where a run died before it could."""
        key = "StartedAt" if action is Action.START else "FinishedAt"
        for entry in await self._site.journal.entries(
            provider=PROVIDER, instance=seat.instance, only_open=True
        ):
            if entry.intent.name == seat.name and entry.intent.action is action:
                at = moment(seat.state.get(key))
                await self._site.journal.done(entry, resource_id=seat.id, at=at)

    async def is_open(self, instance: str, name: str) -> bool:
        """Say whether a thing's making has begun and its end is not on the books."""
        return await self._opened(instance, name) is not None

    async def _opened(self, instance: str, name: str) -> Entry | None:
        """Return the entry of a making whose end is not on the books."""
        entries = await self._site.journal.entries(
            provider=PROVIDER, instance=instance, only_open=True
        )
        making = (Action.CREATE, Action.ADOPT)
        return next(
            (
                e for e in entries
                if e.state is EntryState.INTENDED and e.intent.name == name
                and e.intent.action in making
            ),
            None,
        )  # fmt: skip

    def check_port(self, spec: InstanceSpec) -> None:
        """Refuse a port that could never be heard.

        Raises:
            InvalidInput: It is none, or no port of instances is published here.
        """
        if spec.port is None:
            return
        if not 1 <= spec.port <= _LAST_PORT:
            raise InvalidInput(f"--port {spec.port}: a port is a number from 1 to {_LAST_PORT}")
        if self._config.publish is None:
            raise InvalidInput(
                "no port of an instance is heard here, so --port has nothing to lead to: set "
                "SWARM_FARM__DOCKER__PUBLISH to the port inside, or leave --port out"
            )

    def _with_port(self, spec: InstanceSpec) -> InstanceSpec:
        """Choose a port that stays the same over restarts.

        Raises:
            InvalidInput: The one asked for is taken.
        """
        if self._config.publish is None:
            return spec
        if spec.port is None:
            return replace(spec, port=health.free_port())
        if not health.is_free(spec.port):
            raise InvalidInput(
                f"port {spec.port} of this machine is taken: name another with --port, or none"
            )
        return spec

    async def _made(self, kind: str, spec: InstanceSpec, part: str, name: str) -> Made:
        marked = words.label_words(words.labels(self._site, spec, part))
        await self._client.do(kind, "create", *marked, name)
        made = await self._found(kind, name, spec.name)
        if made is None:
            raise NotFound(f"The {kind} {name} was made and is gone.")
        return made

    async def _found(self, kind: str, name: str, instance: str) -> Made | None:
        """Return a thing by its name.

        Raises:
            Conflict: It has that name and is not this instance's.
        """
        found = await self._client.inspect(kind, name)
        if not found:
            return None
        raw = found[0]
        marked = (raw.get("Config") or {}).get("Labels") or raw.get("Labels") or {}
        wanted = {MANAGED_BY: SWARM, FARM: self._site.farm, INSTANCE: instance}
        if any(marked.get(key) != value for key, value in wanted.items()):
            raise Conflict(
                f"Docker has a {kind} {name} that is not this farm's: remove it, or choose another name."
            )
        return Made(
            str(raw.get("Id") or raw["Name"]), moment(raw.get("Created") or raw.get("CreatedAt"))
        )

    def _intent(self, spec: InstanceSpec, kind: Kind, name: str) -> Intent:
        return Intent(
            instance=spec.name, owner=spec.owner, generation=spec.generation, provider=PROVIDER,
            action=Action.CREATE, kind=kind, name=name,
            cpus=spec.cpus if kind is Kind.CONTAINER else None,
            memory_mib=spec.memory_mib if kind is Kind.CONTAINER else None,
        )  # fmt: skip

    def _intent_of(self, thing: Thing, action: Action) -> Intent:
        return Intent(
            instance=thing.instance, owner=words.owner_of(thing.labels), generation=thing.generation,
            provider=PROVIDER, action=action, kind=thing.kind, name=thing.name,
        )  # fmt: skip


def _no_image(name: str) -> str:
    return (
        f"There is no image {name!r} here, and it cannot be fetched: build it with `make image`, or "
        "name another with --image."
    )
